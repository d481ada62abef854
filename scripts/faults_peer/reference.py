"""What transformers makes of a folder: its token ids and, by the published code of each format, the steps' scores."""
import os

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from transformers import PreTrainedTokenizerFast

from case import HEADS

TRACE = {"id": "a", "problem": "A shelf holds 4 rows of 9 books; 5 are lent out. How many are left?",
         "response_steps": ["There are 4 * 9 = 36 books.", "Wait, some are lent out: 36 - 5 = 31.", "The shelf still holds \\boxed{31} books."]}
PROBLEM, STEPS = TRACE["problem"], TRACE["response_steps"]


def tokenizer(folder):
    """What tokenizer.json says. AutoTokenizer of transformers 5 builds some model types' tokenizers anew instead, with a normalizer and a
    pattern of their class: for Qwen2 whatever the file says."""
    return PreTrainedTokenizerFast.from_pretrained(folder)


def scores(case, dtype=torch.float32):
    """The scores of TRACE's steps, of the whole for an outcome format; and what transformers passed over or made up, by name."""
    tok = tokenizer(case.folder)
    text = texts(case, tok)  # first: whether the text can be laid out is no matter of the weights
    model, info = HEADS[case.format][1].from_pretrained(case.folder, dtype=torch.float32, output_loading_info=True)
    model.eval().to(dtype)
    if case.format == "math_shepherd" and len(text[0][1]) != len(STEPS):
        raise ValueError("the step tag is not one token")
    strange = sorted(info["missing_keys"]) + sorted(k for k in info["unexpected_keys"] if not expected(case, k)) + sorted(map(str, info["mismatched_keys"]))
    with torch.no_grad():
        return FORMATS[case.format](case, tok, model, text), strange


def expected(case, name):
    """Tensors that a class may pass over: a head that is read beside it, a vocabulary's head that is not used, and buffers."""
    return name in case.head or name.startswith("lm_head") and HEADS[case.format][0] != "ForCausalLM" or name == "lm_head.weight" and case.format in ("skywork", "reasonflux_1_5b") or "rotary_emb" in name


def plain(tok, text):
    return tok(text, add_special_tokens=False)["input_ids"]


def chat(tok, turns):
    return tok.apply_chat_template([{"role": r, "content": c} for r, c in turns], tokenize=False)


def texts(case, tok):
    """Token ids, and where they are read."""
    bos = tok.bos_token
    if case.format == "math_shepherd":
        tag = plain(tok, " ки")[-1]
        ids = tok(PROBLEM + " " + "\n".join(f"Step {i + 1}: {s} ки" for i, s in enumerate(STEPS)))["input_ids"]
        return [(ids, [i for i, t in enumerate(ids) if t == tag])]
    if case.format == "rlhflow":
        out, turns = [], []
        for k, step in enumerate(STEPS):
            turns += [("user", PROBLEM + " " + step if k == 0 else step), ("assistant", "+")]
            whole = chat(tok, turns)
            e = tok(whole, add_special_tokens=False, return_offsets_mapping=True)
            answer = whole.rindex("+")
            out.append((e["input_ids"], [max(i for i, (a, b) in enumerate(e["offset_mapping"]) if a <= answer) - 1]))
        return out
    if case.format in ("token_classification", "pure"):
        ids = ([tok.convert_tokens_to_ids(bos)] if bos and case.format != "pure" else []) + plain(tok, PROBLEM)
        at = []
        for s in STEPS:
            ids = ids + plain(tok, s) + plain(tok, "\n\n" if case.format == "pure" else "\n")
            at.append(len(ids) - 1)
        return [(ids, at)]
    if case.format == "skywork":
        ids, newline, at = plain(tok, (bos or "<|im_start|>") + PROBLEM + "\n"), plain(tok, "\n")[-1], []
        for s in STEPS:
            ids = ids + plain(tok, s) + [newline]
            at.append(len(ids) - 1)
        return [(ids, at)]
    if case.format == "qwen_math_prm":
        ids = plain(tok, chat(tok, [("user", PROBLEM), ("assistant", "<extra_0>".join(STEPS) + "<extra_0>")]))
        mark = tok.convert_tokens_to_ids("<extra_0>")
        return [(ids, [i for i, t in enumerate(ids) if t == mark])]
    if case.format == "reasonflux_1_5b":
        list = [tok(PROBLEM + "\n\n".join(STEPS[:i + 1]))["input_ids"] for i in range(len(STEPS))]
        return [(ids, [len(ids) - 1]) for ids in list]
    answer = "\n\n".join(STEPS) if case.format == "sequence_classification" else None
    return [(plain(tok, chat(tok, [("user", PROBLEM), ("assistant", answer)])), [])] if answer else None  # eurus: by itself


def logits(model, ids):
    return model(torch.tensor([ids])).logits[0]


def hidden(model, ids):
    return model(torch.tensor([ids])).last_hidden_state[0]


def good_bad(case, tok, model, list):
    plus, minus = plain(tok, "+")[-1], plain(tok, "-")[-1]
    return [p for ids, at in list for p in logits(model, ids)[at][:, [plus, minus]].softmax(-1)[:, 0].tolist()]


def two_classes(case, tok, model, list):
    (ids, at), = list
    p = logits(model, ids)[at].softmax(-1)
    good = p[:, case.good]
    return (good if case.format == "token_classification" else good - p[:, 1 - case.good]).tolist()


def sequence(case, tok, model, list):
    (ids, _), = list
    return logits(model, ids).tolist()


def mlp(case, tok, model, list):
    (ids, at), = list
    d = stored(case, case.head, model.dtype)
    x = F.relu(F.linear(hidden(model, ids)[at], d["score.0.weight"], d["score.0.bias"]))
    return F.linear(x, d["score.2.weight"], d["score.2.bias"]).softmax(-1)[:, 1].tolist()


def value(case, tok, model, list):
    d = stored(case, case.head, model.dtype)
    return [v for ids, at in list for v in F.linear(hidden(model, ids)[at], d["v_head.summary.weight"], d["v_head.summary.bias"]).sigmoid()[:, 0].tolist()]


def stored(case, head, dtype):
    """The head as its file holds it: rounded, where it lies among the weights."""
    if case.format == "reasonflux_1_5b" or any((case.folder / f"value_head.{e}").exists() for e in ("bin", "safetensors")):
        return {k: v.to(dtype) for k, v in head.items()}
    return {k: v.to(case.stored_dtype(k)).to(dtype) for k, v in head.items()}


def eurus(case, tok, model, _):
    other = HEADS["eurus"][1].from_pretrained(case.reference, dtype=torch.float32).eval().to(model.dtype)
    answer = [f"Step {i + 1}: {s}" for i, s in enumerate(STEPS)]
    said = lambda steps: chat(tok, [("user", PROBLEM), ("assistant", "\n\n".join(steps))])
    ids, last = plain(tok, said(answer)), []
    for k in range(len(answer) + 1):
        last.append(len(plain(tok, said(answer[:k]).strip() + ("\n\n" if 0 < k < len(answer) else ""))) - 2)
    mask = torch.tensor([0] * last[0] + [1] * (len(ids) - last[0]))
    log_probs = lambda m: logits(m, ids)[:-1].log_softmax(-1).gather(-1, torch.tensor(ids)[1:, None])[:, 0]
    total = (0.001 * (log_probs(model) - log_probs(other)) * mask[1:]).cumsum(-1)[last[1:]]
    return torch.diff(total, prepend=torch.zeros(1, dtype=total.dtype)).tolist()


FORMATS = {"math_shepherd": good_bad, "rlhflow": good_bad, "token_classification": two_classes, "pure": two_classes, "sequence_classification": sequence, "qwen_math_prm": mlp,
           "skywork": value, "reasonflux_1_5b": value, "eurus": eurus}
