"""Gives the random model WORK/base a tokenizer in which <extra_0> has Qwen2.5's id, and writes trajectories, WORK/traj.jsonl.

marked.py WORK
"""
import json
import random
import sys

work, mark = sys.argv[1], 151651
tokenizer = json.load(open(f"{work}/base/tokenizer.json"))
added, vocabulary = tokenizer["added_tokens"], tokenizer["model"]["vocab"]
added.append(added[0] | {"content": "<extra_0>"})
first = mark + 1 - len(added)
for i in range(len(vocabulary), first):  # added tokens stand behind a vocabulary without gaps
    vocabulary[f"unused{i}"] = i
for i, token in enumerate(added):
    token["id"] = first + i
json.dump(tokenizer, open(f"{work}/base/tokenizer.json", "w"), ensure_ascii=False)

rng = random.Random(1)
with open(f"{work}/traj.jsonl", "w") as f:
    for i in range(24):
        steps = [f"{a} + {b} = {a + b + w}." for a, b, w in ((rng.randint(0, 9), rng.randint(0, 9), rng.randint(0, 1)) for _ in range(1 + i % 4))]
        f.write(json.dumps({"id": f"t{i}", "problem": "Add.", "response_steps": steps, "labels": {"steps": [int(s[0]) / 9 for s in steps]}}) + "\n")
