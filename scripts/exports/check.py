"""Loads exported models with transformers and PEFT, unmodified, and compares every step's score with prm score's.

check.py WORK: WORK holds traj.jsonl, and for each NAME below the exported folder NAME and scores-NAME.jsonl.
"""
import json
import sys

import torch
from peft import AutoPeftModelForTokenClassification
from transformers import AutoModelForTokenClassification, PreTrainedTokenizerFast

work = sys.argv[1]
worst = 0.0
for name in ("classification", "merged", "peft"):
    folder = f"{work}/{name}"
    load = AutoPeftModelForTokenClassification if name == "peft" else AutoModelForTokenClassification
    model = load.from_pretrained(folder, dtype=torch.float32).eval()
    if name != "peft":
        assert model.config.architectures == [type(model).__name__], model.config.architectures
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=f"{folder}/tokenizer.json")
    rows = [json.loads(line) for line in open(f"{work}/traj.jsonl")]
    scores = [json.loads(line) for line in open(f"{work}/scores-{name}.jsonl")]
    assert len(rows) == len(scores) > 0
    for row, want in zip(rows, scores):
        # text.template none, text.separator "\n", text.tokenize pieces: each step with its newline is encoded on its own
        ids, reads = tokenizer.encode(row["problem"] + "\n\n", add_special_tokens=False), []
        for step in row["response_steps"]:
            ids += tokenizer.encode(step + "\n", add_special_tokens=False)
            reads.append(len(ids) - 1)
        with torch.no_grad():
            got = model(torch.tensor([ids])).logits[0].softmax(-1)[reads, 1].tolist()
        assert len(got) == len(want["steps"])
        for a, b in zip(got, want["steps"]):
            worst = max(worst, abs(a - b["score"]))
    spread = [s["score"] for want in scores for s in want["steps"]]
    assert max(spread) - min(spread) > 0.1, "scores that hardly differ show nothing"
    print(f"{name}: {len(rows)} trajectories, largest difference of a score so far {worst:.2g}")
sys.exit(worst > 1e-5)
