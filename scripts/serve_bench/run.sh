#!/usr/bin/env bash
# prm serve beside a plain server of FastAPI and transformers: the same model, the same trajectories, 64 requests at a time, in
# turn, with nothing else running. Every answer is compared with prm score's. Needs Python (6 GB in a virtual environment).
# REQUESTS (10000) are sent to prm serve, PLAIN_REQUESTS (2000) to the other; SHAPE (small) is randommodel's.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/goldens/venv.sh
"$venv/bin/python" -c 'import fastapi, uvicorn' 2>/dev/null || "$venv/bin/pip" install --quiet fastapi uvicorn
work=$(mktemp -d)
server=
trap 'kill $server 2>/dev/null || true; rm -rf "$work"' EXIT
go build -o "$work/" ./cmd/prm ./internal/tools/serveload
go run ./internal/tools/randommodel --shape "${SHAPE:-small}" --head --out "$work/model"
python3 - >"$work/in.jsonl" <<'PY'
import json, random
rng = random.Random(1)
for i in range(500):
    steps = ["".join(rng.choice("abcdefghij 0123456789+-=") for _ in range(rng.randint(10, 120))).strip() or "x" for _ in range(rng.randint(1, 12))]
    print(json.dumps({"id": f"t{i}", "problem": f"Problem {i}: " + "what is this? " * rng.randint(1, 5), "response_steps": steps}))
PY
"$work/prm" score --quiet --model "$work/model" --format token_classification --in "$work/in.jsonl" --out "$work/scores.jsonl"
wait_for() { until curl -s -o "$work/answer" "$1" 2>/dev/null; do kill -0 "$server"; sleep 0.2; done; }
ask() { "$work/serveload" --in "$work/in.jsonl" --scores "$work/scores.jsonl" "$@"; }
for _ in $(seq "${ROUNDS:-2}"); do
  "$work/prm" serve --quiet --model "$work/model" --format token_classification --addr 127.0.0.1:18431 & server=$!
  wait_for http://127.0.0.1:18431/readyz
  ask --url http://127.0.0.1:18431/v1/steps --requests 500 >"$work/warm"
  printf 'prm serve              '; ask --url http://127.0.0.1:18431/v1/steps --requests "${REQUESTS:-10000}"
  kill $server; wait $server || true
  OMP_NUM_THREADS=2 "$venv/bin/python" scripts/serve_bench/plain.py "$work/model" 18432 2>"$work/plain.log" & server=$!
  wait_for http://127.0.0.1:18432/docs
  ask --url http://127.0.0.1:18432/v1/steps --requests 200 --tolerance 1e-5 >"$work/warm"
  printf 'FastAPI, transformers  '; ask --url http://127.0.0.1:18432/v1/steps --requests "${PLAIN_REQUESTS:-2000}" --tolerance 1e-5
  kill $server; wait $server 2>/dev/null || true
done
