#!/usr/bin/env bash
# Trains tiny models, a Qwen2 and a Qwen3, exports them, loads the exports with the real transformers and PEFT and compares scores.
# Needs Python (6 GB in a virtual environment).
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/goldens/venv.sh
root=$(mktemp -d); [ -n "${KEEP:-}" ] || trap 'rm -rf "$root"' EXIT
go build -o "$root/prm" ./cmd/prm
for shape in tiny qwen3; do
work=$root/$shape
go run ./internal/tools/randommodel --shape $shape --out "$work/base"
python3 - "$work" <<'PY'
import json, random, sys
rng = random.Random(1)
with open(sys.argv[1] + "/traj.jsonl", "w") as f:
    for i in range(24):
        steps = [f"{a} + {b} = {a + b + w}." for a, b, w in ((rng.randint(0, 9), rng.randint(0, 9), rng.randint(0, 1)) for _ in range(1 + i % 4))]
        f.write(json.dumps({"id": f"t{i}", "problem": "Add.", "response_steps": steps, "labels": {"steps": [int(s[0]) / 9 for s in steps]}}) + "\n")
PY
train() { # NAME MODE
  cat >"$work/$1.yaml" <<Y
model: $work/base
data: {train: [$work/traj.jsonl], eval_share: 0}
text: {template: none, separator: "\n", tokenize: pieces, think_tags: []}
train: $2
batch: {trajectories: 4}
optim: {lr: 2e-3, head_lr: 2e-3, epochs: 100}
out: $work/run-$1
Y
  "$root/prm" train --quiet --config "$work/$1.yaml"
}
train full full
train lora lora
"$root/prm" export --model "$work/run-full/model" --to hf-token-classification --out "$work/classification"
"$root/prm" export --model "$work/run-lora/model" --to hf-token-classification --merge --out "$work/merged"
"$root/prm" export --model "$work/run-lora/model" --to peft --out "$work/peft"
for name in classification merged peft; do
  run=$([ $name = classification ] && echo full || echo lora)
  "$root/prm" score --quiet --model "$work/run-$run/model" --in "$work/traj.jsonl" --out "$work/scores-$name.jsonl"
done
"$venv/bin/python" scripts/exports/check.py "$work"
done
