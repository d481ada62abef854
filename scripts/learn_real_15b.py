#!/usr/bin/env python3
"""Trains on a real 1.5B backbone and PRM800K rows with prm, and computes the same with PyTorch.

    learn_real_15b.py --prm bin/prm --model DIR --shared ../shared --work DIR [--problems 160]

1. `prm train` with a ridge head, then with a trained head: hidden states in f32, packed as prefix trees, computed once.
2. PyTorch: the same states, one problem's rows as a tree under an attention mask of ancestors; the ridge regression in f64.
3. LoRA on the rows of one problem: both start from one adapter and take the same steps.

Prints a table, writes results.json, and fails where states differ by more than 1e-3 (relative to the state), a ridge AUC by more than
0.002, or a LoRA loss by more than 1e-3. What each side computed is kept in --work and not computed again.
"""
import argparse
import gzip
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from safetensors import safe_open
from tokenizers import Tokenizer

TEMPLATE = "<|im_start|>user\n{problem}<|im_end|>\n<|im_start|>assistant\n"
LABEL = {1: 1.0, 0: 0.5, -1: 0.0}


def read_rows(args):
    """Training and validation rows, in the order of the groups: the last two sevenths of the training problems are added to the
    validation problems, whose 274 rows alone are too few."""
    target = json.load(open(args.shared / "bench/prm800k_target.json"))
    cut = len(target["train"]) * 5 // 7
    split = {"train": target["train"][:cut], "val": target["train"][cut:] + target["val"]}
    lines = gzip.open(args.shared / "data/steps/prm800k/phase1_train_plus_steps.jsonl.gz", "rt").readlines()
    if args.problems:
        split = {"train": split["train"][: args.problems], "val": split["val"][: args.problems]}
    return {part: [[json.loads(lines[i]) for i in group] for group in groups] for part, groups in split.items()}


class Row:
    def __init__(self, raw, tokenizer, problem):
        pieces = [TEMPLATE.replace("{problem}", raw["instruction"])]
        pieces += [step + "\n\n" for step in raw["responses"] + [raw["next_response"]]]
        self.ids = [i for p in pieces for i in tokenizer.encode(p, add_special_tokens=False).ids]
        self.label, self.problem = LABEL[raw["rating"]], problem
        self.depth, self.length = len(raw["responses"]), len(raw["next_response"])


def tree(rows):
    """One problem's rows as a tree: token ids, depths, parents, and each row's last node. The parent of a root is -1."""
    ids, depth, parent, last, children = [], [], [], [], {}
    for row in rows:
        at = -1
        for i, token in enumerate(row.ids):
            if (at, token) not in children:
                children[at, token] = len(ids)
                ids.append(token), depth.append(i), parent.append(at)
            at = children[at, token]
        last.append(at)
    return ids, depth, parent, last


def torch_states(args, rows, model):
    """Hidden states [rows, hidden] at the last token of each row."""
    import torch
    states, tokens = [], 0
    for problem in rows:
        ids, depth, parent, last = tree(problem)
        seen = torch.zeros(len(ids), len(ids), dtype=torch.bool)
        for i, p in enumerate(parent):
            if p >= 0:
                seen[i] = seen[p]
            seen[i, i] = True
        mask = torch.zeros(1, 1, *seen.shape).masked_fill(~seen, float("-inf"))
        with torch.inference_mode():
            h = model(input_ids=torch.tensor([ids]), position_ids=torch.tensor([depth]), attention_mask={"full_attention": mask}, use_cache=False)
        states.append(h.last_hidden_state[0, last].numpy())
        tokens += len(ids)
        if len(states) == 1:  # the tree gives what each text alone gives
            with torch.inference_mode():
                alone = model(input_ids=torch.tensor([problem[-1].ids]), use_cache=False).last_hidden_state[0, -1].numpy()
            far = np.linalg.norm(alone - states[0][-1]) / np.linalg.norm(alone)
            assert far < 1e-4, f"the tree's state differs by {far}"
    return np.concatenate(states), tokens


def ridge(x, y):
    mean = x.mean(0)
    z = x - mean
    w = np.linalg.solve(z.T @ z + 3.0 * len(x) * x.var(ddof=1) * np.eye(x.shape[1]), z.T @ (y - y.mean()))
    return w, y.mean() - mean @ w


def auroc(scores, good):
    """The share of pairs (good, bad) whose scores are in that order; ties count half."""
    s, g = np.asarray(scores), np.asarray(good)
    a, b = s[g], s[~g]
    return (np.sign(a[:, None] - b[None, :]).sum() / 2, len(a) * len(b))


def judge(rows, scores):
    """AUROC of labels of 0.5 and more against those below: over all rows, and over the pairs within a problem."""
    scores, good = np.asarray(scores), np.array([r.label >= 0.5 for r in rows])
    up, pairs = auroc(scores, good)
    ups, within = 0.0, 0
    problems = np.array([r.problem for r in rows])
    for p in set(problems):
        u, n = auroc(scores[problems == p], good[problems == p])
        ups, within = ups + u, within + n
    return {"auroc": 0.5 + up / pairs, "within_problem": 0.5 + ups / within}


def run(args, name, *command):
    """Runs prm once; its seconds and peak memory are kept beside."""
    done = args.work / (name + ".done")
    if not done.exists():
        start = time.time()
        child = subprocess.Popen([str(args.prm), *map(str, command)])
        _, status, usage = os.wait4(child.pid, 0)
        if status:
            sys.exit(f"{name}: prm {command[0]} ended with {os.waitstatus_to_exitcode(status)}")
        done.write_text(json.dumps({"seconds": round(time.time() - start, 1), "peak_mib": usage.ru_maxrss // 1024}))
    return json.loads(done.read_text())


def config(args, name, **changes):
    text = {"template": TEMPLATE, "think_tags": [], "tokenize": "pieces"}
    c = {"model": str(args.model), "train": "head", "dtype": "f32", "text": text, "cache": str(args.work / "cache"), "out": str(args.work / name),
         "data": {"train": [str(args.work / "train.jsonl")], "eval": [str(args.work / "val.jsonl")]}, "batch": {"trajectories": 64}}
    c.update(changes)
    path = args.work / (name + ".yaml")
    path.write_text(json.dumps(c))  # JSON is YAML
    return path


def evaluation(args, name):
    """What the run measured on the validation rows at its end."""
    last = [m["eval"] for m in map(json.loads, open(args.work / name / "metrics.jsonl")) if "eval" in m][-1]
    return {"auroc": last["step_auroc"], "within_problem": last["within_problem_auroc"]}


def cached_states(args, width):
    found = []
    for path in (args.work / "cache").rglob("*.shard.safetensors"):
        with safe_open(path, "np") as f:
            found += [f.get_tensor(k).reshape(-1, width) for k in f.keys() if f.get_tensor(k).size % width == 0 and f.get_tensor(k).dtype == np.float32]
    return np.concatenate(found)


def farthest(states, found):
    """The largest relative distance of a state to the nearest one that was found."""
    worst, squares = 0.0, (found.astype(np.float64) ** 2).sum(1)
    for lo in range(0, len(states), 256):
        x = states[lo:lo + 256].astype(np.float64)
        near = np.argmin(squares - 2 * x @ found.T.astype(np.float64), axis=1)
        worst = max(worst, (np.linalg.norm(x - found[near], axis=1) / np.linalg.norm(x, axis=1)).max())
    return worst


def lora(args, rows):
    """Four steps of rank 8 over the rows of one problem: losses of prm and of PyTorch with PEFT from the same start."""
    part = args.work / "part.jsonl"
    with open(part, "w") as f:
        for raw in rows:
            f.write(json.dumps(raw) + "\n")
    shape = {"train": "lora", "lora": {"rank": 8, "alpha": 16}, "data": {"train": [str(part)], "eval_share": 0}, "batch": {"trajectories": len(rows)}}
    optim = {"lr": 2e-4, "head_lr": 1e-3, "schedule": "constant", "warmup": 0}
    start = config(args, "lora-start", **shape, optim=optim | {"steps": 1, "lr": 0, "head_lr": 0})
    run(args, "lora-start", "train", start)
    took = run(args, "lora", "train", config(args, "lora", **shape | {"model": str(args.work / "lora-start/model")}, optim=optim | {"steps": 4}))
    ours = [json.loads(line) for line in open(args.work / "lora/metrics.jsonl")]
    ours = [(m["loss"], m["grad_norm"]) for m in ours if "grad_norm" in m]
    kept = args.work / "lora-torch.json"
    if not kept.exists():
        child = subprocess.run([sys.executable, __file__, "--torch-lora", *sys.argv[1:]], check=True, stdout=subprocess.PIPE)
        kept.write_bytes(child.stdout)
    return ours, took, json.loads(kept.read_text())


def torch_lora(args, tokenizer):
    import torch
    from peft import PeftModel
    from transformers import Qwen2ForCausalLM
    raws = [json.loads(line) for line in open(args.work / "part.jsonl")]
    rows = [Row(r, tokenizer, 0) for r in raws]
    start = args.work / "lora-start/model"
    model = PeftModel.from_pretrained(Qwen2ForCausalLM.from_pretrained(args.model, dtype=torch.float32), start, is_trainable=True)
    model.gradient_checkpointing_enable({"use_reentrant": False})
    model.enable_input_require_grads()
    model.train()
    with safe_open(start / "head.safetensors", "pt") as f:
        w, b = (torch.nn.Parameter(f.get_tensor(k).clone().float()) for k in ("score.weight", "score.bias"))
    adapters = [p for p in model.parameters() if p.requires_grad]
    opt = torch.optim.AdamW([{"params": adapters, "lr": 2e-4, "weight_decay": 0.01}, {"params": [w], "lr": 1e-3, "weight_decay": 0.01},
                             {"params": [b], "lr": 1e-3, "weight_decay": 0.0}], betas=(0.9, 0.999), eps=1e-8)
    curve, start = [], time.time()
    for _ in range(4):
        total = 0.0
        for r in rows:  # one at a time: memory; each row has one labelled step
            h = model.base_model.model.model(input_ids=torch.tensor([r.ids]), use_cache=False).last_hidden_state[0, -1]
            loss = (torch.sigmoid(h @ w[0] + b[0]) - r.label) ** 2 / len(rows)
            loss.backward()
            total += float(loss)
        norm = torch.nn.utils.clip_grad_norm_([*adapters, w, b], 1.0)
        opt.step()
        opt.zero_grad()
        curve.append((total, float(norm)))
    print(json.dumps({"curve": curve, "seconds": round(time.time() - start, 1), "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("prm", "model", "shared", "work"):
        ap.add_argument("--" + name, type=Path, required=True)
    ap.add_argument("--problems", type=int, default=0, help="at most so many problems of each part; 0: all")
    ap.add_argument("--torch-lora", action="store_true", help=argparse.SUPPRESS)
    args = ap.parse_args()
    args.prm, args.model, args.work = args.prm.resolve(), args.model.resolve(), args.work.resolve()
    args.work.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer.from_file(str(args.model / "tokenizer.json"))
    if args.torch_lora:
        return torch_lora(args, tokenizer)
    raws = read_rows(args)
    for part, problems in raws.items():
        with open(args.work / (part + ".jsonl"), "w") as f:
            f.writelines(json.dumps(raw) + "\n" for problem in problems for raw in problem)
    rows = {part: [[Row(raw, tokenizer, i) for raw in p] for i, p in enumerate(problems)] for part, problems in raws.items()}
    flat = {part: [r for p in problems for r in p] for part, problems in rows.items()}

    optim = {"lr": 0, "head_lr": 0, "steps": 1, "weight_decay": 0}
    took = run(args, "ridge", "train", config(args, "ridge", head={"init": "ridge", "activation": "identity", "ridge": 3.0}, optim=optim))
    trained = {"head_lr": 0.003, "weight_decay": 0, "clip": 0, "warmup": 0, "epochs": 10, "schedule": "linear"}
    head_took = run(args, "head", "train", config(args, "head", optim=trained))

    kept = args.work / "torch-states.npz"
    if not kept.exists():
        import torch
        from transformers import Qwen2Model
        torch.set_num_threads(os.cpu_count())
        model = Qwen2Model.from_pretrained(args.model, dtype=torch.float32, attn_implementation="sdpa").eval()
        start = time.time()
        states = {part: torch_states(args, rows[part], model) for part in rows}
        np.savez(kept, train=states["train"][0], val=states["val"][0], tokens=states["train"][1] + states["val"][1], seconds=time.time() - start,
                 peak_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
        del model
    reference = np.load(kept)
    x, y = reference["train"].astype(np.float64), np.array([r.label for r in flat["train"]])
    w, b = ridge(x, y)
    table = {"PyTorch, ridge": judge(flat["val"], reference["val"] @ w + b)}
    for name in ("ridge", "head"):
        table["prm, " + name] = evaluation(args, name)
    table["control: depth"] = judge(flat["val"], [r.depth for r in flat["val"]])
    table["control: length"] = judge(flat["val"], [r.length for r in flat["val"]])
    far = max(farthest(reference[part], cached_states(args, x.shape[1])) for part in ("train", "val"))
    ours, lora_took, theirs = lora(args, raws["train"][0])

    print(f"{len(flat['val'])} rows to validate on, {len(flat['train'])} to train on\n{'':18} AUROC   within problems")
    for name, m in table.items():
        print(f"{name:18} {m['auroc']:.4f}  {m['within_problem']:.4f}")
    plain, packed = sum(len(r.ids) for part in flat.values() for r in part), int(reference["tokens"])
    print(f"tokens: {plain} in texts, {packed} as trees")
    print(f"states: farthest {far:.2e}; prm {took}; head {head_took}; "
          f"PyTorch {float(reference['seconds']):.1f} s, {int(reference['peak_mib'])} MiB")
    apart = max(abs(a / b - 1) for (a, _), (b, _) in zip(ours, theirs["curve"], strict=True))
    print("LoRA loss, gradient norm: prm", [(round(a, 6), round(n, 4)) for a, n in ours], lora_took)
    print("                      PyTorch", [(round(a, 6), round(n, 4)) for a, n in theirs["curve"]], theirs["seconds"], "s", theirs["peak_mib"], "MiB")
    print(f"largest relative difference of a loss {apart:.2e}")
    (args.work / "results.json").write_text(json.dumps({"table": table, "states": far, "prm": took, "tokens": [plain, packed], "lora": apart}))
    gap = abs(table["PyTorch, ridge"]["auroc"] - table["prm, ridge"]["auroc"])
    if far > 1e-3 or gap > 0.002 or apart > 1e-3:
        sys.exit(f"beyond the bounds: states {far:.2e} (1e-3), ridge AUROC {gap:.4f} (0.002), LoRA loss {apart:.2e} (1e-3)")


if __name__ == "__main__":
    main()
