#!/usr/bin/env python3
"""Writes internal/parity/testdata/heads: public reward formats, rotary scalings and sliding windows on tiny random models, with
PyTorch's numbers.

    venv/bin/python scripts/goldens/heads.py internal/parity/testdata/heads     (the venv that make.py needs)

"f32" is transformers as it is. "f64" is float64 throughout: norms and rotary angles are computed here, the angles by the formulas of
the papers, so the two columns are two implementations. Every weight is exact in bf16.
"""
import copy
import importlib
import json
import math
import shutil
import sys
from pathlib import Path

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import (LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification, MistralConfig, MistralForCausalLM, PreTrainedTokenizerFast, Qwen2Config,
                          Qwen2ForCausalLM, Qwen2ForSequenceClassification, Qwen2ForTokenClassification, Qwen3Config,
                          Qwen3ForSequenceClassification)

from make import in_bf16, worst

PROBLEM = "A tank holds 20 litres; 7 are poured out, then 5 in. How many are in it?"
STEPS = ["It holds 20 - 7 = 13 litres.", "Then 13 + 5 = 18, hm, that is right.", "The answer is \\boxed{18}."]
DTYPES = {"f64": torch.float64, "f32": torch.float32}
SPLIT = {digits: rf"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
         for digits in ("", "{1,3}")}
CHATML = ("{%- for m in messages %}{{- '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>' + '\\n' }}{%- endfor %}")
LLAMA = ("{{- bos_token }}{%- for m in messages %}{{- '<|start_header_id|>' + m['role'] + '<|end_header_id|>\\n\\n' + m['content'] | trim"
         " + '<|eot_id|>' }}{%- endfor %}")


def frequencies(config):
    """Angles per position, and the factor of the rotated vectors, in float64."""
    p, d = config.rope_parameters, getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    base, kind = p["rope_theta"], p["rope_type"]
    plain = [base ** (-2 * i / d) for i in range(d // 2)]
    if kind == "linear":
        return [f / p["factor"] for f in plain], 1.0
    if kind == "llama3":
        out = []
        for f in plain:
            length = 2 * math.pi / f
            if length < p["original_max_position_embeddings"] / p["high_freq_factor"]:
                out.append(f)
            elif length > p["original_max_position_embeddings"] / p["low_freq_factor"]:
                out.append(f / p["factor"])
            else:
                s = (p["original_max_position_embeddings"] / length - p["low_freq_factor"]) / (p["high_freq_factor"] - p["low_freq_factor"])
                out.append((1 - s) * f / p["factor"] + s * f)
        return out, 1.0
    if kind == "yarn":
        pair = lambda turns: d * math.log(p["original_max_position_embeddings"] / (turns * 2 * math.pi)) / (2 * math.log(base))
        low, high = max(math.floor(pair(p.get("beta_fast", 32))), 0), min(math.ceil(pair(p.get("beta_slow", 1))), d - 1)
        ramp = [min(1, max(0, (i - low) / (high - low if high > low else 0.001))) for i in range(d // 2)]
        return [f / p["factor"] * r + f * (1 - r) for f, r in zip(plain, ramp)], 0.1 * math.log(p["factor"]) + 1
    return plain, 1.0  # default, and dynamic within the trained length


def truly_float64():
    for name, prefix in (("qwen2", "Qwen2"), ("qwen3", "Qwen3"), ("llama", "Llama"), ("mistral", "Mistral")):
        module = importlib.import_module(f"transformers.models.{name}.modeling_{name}")
        norm, rotary = getattr(module, prefix + "RMSNorm"), getattr(module, prefix + "RotaryEmbedding")

        def patch(norm=norm, rotary=rotary, norm_forward=norm.forward, rotary_forward=rotary.forward):
            def exact_norm(self, x):
                if x.dtype != torch.float64:
                    return norm_forward(self, x)
                return self.weight * x / torch.sqrt((x * x).mean(-1, keepdim=True) + self.variance_epsilon)

            def exact_rotary(self, x, position_ids, *args, **kwargs):
                if x.dtype != torch.float64:
                    return rotary_forward(self, x, position_ids, *args, **kwargs)
                f, amplitude = frequencies(self.config)
                angle = (position_ids.double()[..., None] * torch.tensor(f, dtype=torch.float64)).repeat(1, 1, 2)
                return angle.cos() * amplitude, angle.sin() * amplitude

            norm.forward, rotary.forward = exact_norm, exact_rotary

        patch()


def fill(model, seed):
    """Weights of order one at every place that matters, exact in bf16."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            scale = 0.3 if p.ndim == 1 else 1.5 / math.sqrt(p.shape[-1])
            p.copy_((torch.randn(p.shape, generator=g) * scale + (1.0 if "norm" in name else 0.0)).bfloat16().float())
    return model.eval()


def byte_level(folder, template, digits, specials, bos=None, more=()):
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pairs = [("Ġ", "t"), ("h", "e"), ("Ġt", "he"), ("i", "n"), ("e", "r"), ("Ċ", "Ċ"), ("Ġ", "i"), ("1", "8"), ("l", "i"), *more]
    vocab = {t: i for i, t in enumerate(alphabet + [a + b for a, b in pairs])}
    t = Tokenizer(models.BPE(vocab=vocab, merges=pairs, ignore_merges=digits != ""))
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(SPLIT[digits]), "isolated"), level])
    t.decoder = decoders.ByteLevel()
    t.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in specials])
    if bos:
        t.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A $B", special_tokens=[(bos, t.token_to_id(bos))])])
    return finish(t, folder, template, bos=bos, eos=specials[-1])


def sentencepiece(folder):
    letters = sorted(set("▁" + PROBLEM + "".join(STEPS) + "Step 123: ки+-") - {" "})
    pairs = [("▁", "t"), ("h", "e"), ("▁t", "he"), ("к", "и"), ("▁", "ки"), ("▁", "+"), ("▁", "-"), ("S", "t"), ("▁", "St"), ("▁St", "e"), ("▁Ste", "p")]
    vocab = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)] + letters + [a + b for a, b in pairs]
    t = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(vocab)}, merges=pairs, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    t.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in ("<unk>", "<s>", "</s>")])
    t.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 1)])
    return finish(t, folder, None, bos="<s>", eos="</s>")


def finish(t, folder, template, bos, eos):
    folder.mkdir(parents=True)
    (folder / "tokenizer.json").write_text(t.to_str())
    config = {"bos_token": bos, "eos_token": eos, "pad_token": eos}
    if template:
        config["chat_template"] = template
    (folder / "tokenizer_config.json").write_text(json.dumps({k: v for k, v in config.items() if v}) + "\n")
    return PreTrainedTokenizerFast(tokenizer_object=t, chat_template=template, bos_token=bos, eos_token=eos)


def save(model, folder, old_style=False):
    copy.deepcopy(model).to(torch.bfloat16).save_pretrained(folder)  # a copy: in bf16 the rotary buffers lose what they hold
    (folder / "generation_config.json").unlink(missing_ok=True)
    path = folder / "config.json"
    config = json.loads(path.read_text())
    if old_style:  # as models were published before transformers 5
        scaling = config.pop("rope_parameters")
        config["rope_theta"] = scaling.pop("rope_theta")
        config["rope_scaling"] = scaling
        config["torch_dtype"] = config.pop("dtype")
    path.write_text(json.dumps(config) + "\n")


def outputs(fn, *models):
    found, exact = {}, {}
    for key, dtype in DTYPES.items():
        with torch.no_grad():
            values = fn(*[m.to(dtype) for m in models])
        exact = exact or values
        found[key] = {k: v.tolist() for k, v in values.items()}
    for m in models:
        m.to(torch.float32)
    found["bf16_error"] = worst(bf16_errors(exact, fn, models, attention) for attention in ("eager", "sdpa"))
    gap = max(abs(a - b) for a, b in zip(found["f64"]["scores"], found["f32"]["scores"]))
    print(f"{found['f64']['scores']}  f32 off by {gap:.1e}")
    return found


def bf16_errors(exact, fn, models, attention):
    """How far PyTorch's own bf16 is from float64, by quantity, in internal/parity's measure."""
    for m in models:
        in_bf16(m).set_attn_implementation(attention)
    with torch.no_grad():
        got = fn(*models)
    for m in models:
        m.set_attn_implementation("sdpa")
        m.to(torch.float32)
    one_by_one = ("scores", "accumulated")
    return {k: (((got[k].double() - v) / v).abs().max() if k in one_by_one else (got[k].double() - v).norm() / v.norm()).item()
            for k, v in exact.items()}


def write(folder, expected):
    (folder / "expected.json").write_text(json.dumps(expected) + "\n")


def sizes(tok, **kw):
    return dict(vocab_size=len(tok), max_position_embeddings=512, attn_implementation="sdpa", use_cache=False, bos_token_id=None,
                eos_token_id=None, pad_token_id=None, tie_word_embeddings=False) | kw


def rlhflow(out):
    folder = out / "rlhflow"
    tok = byte_level(folder, LLAMA, "{1,3}", ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"], bos="<|begin_of_text|>")
    model = fill(LlamaForCausalLM(LlamaConfig(hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
                 rope_parameters={"rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                                  "original_max_position_embeddings": 64}, rms_norm_eps=1e-5, **sizes(tok))), 21)
    save(model, folder, old_style=True)
    plus, minus = (tok(s, add_special_tokens=False)["input_ids"][-1] for s in "+-")
    turns, beginnings = [], []
    for k, step in enumerate(STEPS):
        turns += [{"role": "user", "content": PROBLEM + " " + step if k == 0 else step}, {"role": "assistant", "content": "+"}]
        beginnings.append(tok(tok.apply_chat_template(turns, tokenize=False), add_special_tokens=False)["input_ids"])

    def f(m):  # as RLHFlow's evaluation: a pass a step, read at the third token from the end
        z = torch.stack([m(torch.tensor([ids])).logits[0, -3, [plus, minus]] for ids in beginnings])
        return {"logits": z, "scores": z.softmax(-1)[:, 0]}

    write(folder, {"format": "rlhflow", "text": tok.apply_chat_template(turns, tokenize=False), "input_ids": beginnings[-1], "plus_id": plus, "minus_id": minus,
                   "read_positions": [len(ids) - 3 for ids in beginnings], **outputs(f, model)})


def versaprm(out):
    folder = out / "versaprm"
    tok = byte_level(folder, None, "{1,3}", ["<|begin_of_text|>", "<|eot_id|>"], bos="<|begin_of_text|>", more=[("ĊĊ", "ĊĊ"), ("Ġ", "ĊĊ"), ("Ġ", "ĊĊĊĊ")])
    model = fill(LlamaForCausalLM(LlamaConfig(hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
                 rope_parameters={"rope_type": "default", "rope_theta": 10000.0}, rms_norm_eps=1e-5, **sizes(tok))), 22)
    save(model, folder)
    candidates = [tok(s, add_special_tokens=False)["input_ids"][-1] for s in "-+"]
    text = PROBLEM + " \n\n" + "".join(s + " \n\n\n\n" for s in STEPS)
    ids, tag = tok(text)["input_ids"], tok(" \n\n\n\n")["input_ids"][-1]
    at = [i for i, t in enumerate(ids) if t == tag]
    assert len(at) == len(STEPS)

    def f(m):  # as the model's card
        z = m(torch.tensor([ids])).logits[0][at][:, candidates]
        return {"logits": z, "scores": z.softmax(-1)[:, 1]}

    write(folder, {"format": "versaprm", "text": text, "input_ids": ids, "read_positions": at, **outputs(f, model)})


def eurus(out):
    folder = out / "eurus"
    tok = byte_level(folder, CHATML, "", ["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    config = lambda: Qwen2Config(hidden_size=24, intermediate_size=32, num_hidden_layers=1, num_attention_heads=3, num_key_value_heads=1,
                                 rope_parameters={"rope_type": "default", "rope_theta": 10000.0}, **sizes(tok))
    policy, reference = fill(Qwen2ForCausalLM(config()), 31), fill(Qwen2ForCausalLM(config()), 32)
    save(policy, folder)
    save(reference, folder / "reference")
    answer = [f"Step {i + 1}: {s}" for i, s in enumerate(STEPS)]
    chat = lambda steps: tok.apply_chat_template([{"role": "user", "content": PROBLEM}, {"role": "assistant", "content": "\n\n".join(steps)}], tokenize=False)
    ids = tok(chat(answer), add_special_tokens=False)["input_ids"]
    last = []  # as the models' card counts
    for k in range(len(answer) + 1):
        text = chat(answer[:k]).strip() + ("\n\n" if 0 < k < len(answer) else "")
        last.append(len(tok(text, add_special_tokens=False)["input_ids"]) - 2)
    mask = torch.tensor([0] * last[0] + [1] * (len(ids) - last[0]))

    def log_probs(m):
        x = torch.tensor([ids])
        return m(x).logits[0, :-1].log_softmax(-1).gather(-1, x[0, 1:, None])[:, 0]

    def f(p, r):
        ratio = log_probs(p) - log_probs(r)
        total = (0.001 * ratio * mask[1:]).cumsum(-1)[last[1:]]
        return {"log_ratios": ratio, "accumulated": total, "scores": torch.diff(total, prepend=torch.zeros(1, dtype=total.dtype))}

    write(folder, {"format": "eurus", "text": chat(answer), "input_ids": ids, "first_position": last[0] - 1, "read_positions": last[1:],
                   **outputs(f, policy, reference)})


def stepwise(out, name, fmt, separator, score, seed, old_style=False, **kw):
    folder = out / name
    tok = byte_level(folder, CHATML, "", ["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    model = fill(Qwen2ForTokenClassification(Qwen2Config(intermediate_size=40, num_key_value_heads=1, num_labels=2, **sizes(tok, **kw))), seed)
    save(model, folder, old_style)
    ids, at = tok(PROBLEM)["input_ids"], []
    for s in STEPS:
        ids += tok(s)["input_ids"] + tok(separator)["input_ids"]
        at.append(len(ids) - 1)

    def f(m):
        z = m(torch.tensor([ids])).logits[0][at]
        return {"logits": z, "scores": score(z.softmax(-1))}

    write(folder, {"format": fmt, "prompt": PROBLEM, "completions": STEPS, "separator": separator, "input_ids": ids, "read_positions": at, **outputs(f, model)})


def mistral(out):
    folder = out / "mistral_window"
    tok = sentencepiece(folder)
    model = fill(MistralForCausalLM(MistralConfig(hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2, head_dim=16,
                 rope_parameters={"rope_type": "default", "rope_theta": 10000.0}, rms_norm_eps=1e-5, sliding_window=24, **sizes(tok))), 51)
    save(model, folder)
    plus, minus = tok("+ -")["input_ids"][1:]
    tag = tok("ки")["input_ids"][-1]
    text = PROBLEM + " " + "\n".join(f"Step {i + 1}: {s} ки" for i, s in enumerate(STEPS))
    ids = tok(text)["input_ids"]
    at = [i for i, t in enumerate(ids) if t == tag]

    def f(m):
        z = m(torch.tensor([ids])).logits[0][at][:, [plus, minus]]
        return {"logits": z, "scores": z.softmax(-1)[:, 0]}

    write(folder, {"format": "math_shepherd", "text": text, "input_ids": ids, "plus_id": plus, "minus_id": minus, "step_tag_id": tag, "read_positions": at,
                   **outputs(f, model)})


def sequence(out, name, config, classifier, seed, **kw):
    folder = out / name
    tok = byte_level(folder, CHATML, "", ["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    model = fill(classifier(config(hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, num_labels=1,
                                   **sizes(tok, pad_token_id=tok.convert_tokens_to_ids("<|endoftext|>"), **kw))), seed)
    save(model, folder)
    text = tok.apply_chat_template([{"role": "user", "content": PROBLEM}, {"role": "assistant", "content": "\n\n".join(STEPS)}], tokenize=False)
    ids = tok(text)["input_ids"]

    def f(m):
        z = m(torch.tensor([ids])).logits[0]
        return {"logits": z, "scores": z, "sigmoid": z.sigmoid()}

    write(folder, {"format": "sequence_classification", "text": text, "input_ids": ids, "read_positions": [len(ids) - 1], **outputs(f, model)})


def main(out):
    truly_float64()
    shutil.rmtree(out, ignore_errors=True)
    rlhflow(out)
    versaprm(out)
    eurus(out)
    stepwise(out, "pure_linear", "pure", "\n\n", lambda p: p[:, 1] - p[:, 0], 41, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
             rope_parameters={"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.5})
    stepwise(out, "yarn_window", "token_classification", "\n", lambda p: p[:, 1], 42, old_style=True, hidden_size=64, num_hidden_layers=2, num_attention_heads=2,
             use_sliding_window=True, sliding_window=20, max_window_layers=1,
             rope_parameters={"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 128})
    mistral(out)
    sequence(out, "sequence_dynamic", Qwen2Config, Qwen2ForSequenceClassification, 61,
             rope_parameters={"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 4.0})
    # as Skywork-Reward-V2, with heads that are wider than the model, and a window on the second layer
    sequence(out, "sequence_qwen3", Qwen3Config, Qwen3ForSequenceClassification, 62, tie_word_embeddings=True, head_dim=48,
             rope_parameters={"rope_type": "default", "rope_theta": 1e6}, use_sliding_window=True, sliding_window=24, max_window_layers=1)
    sequence(out, "sequence_biases", LlamaConfig, LlamaForSequenceClassification, 63, attention_bias=True, mlp_bias=True,
             rope_parameters={"rope_type": "default", "rope_theta": 10000.0})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
