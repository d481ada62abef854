#!/usr/bin/env bash
# Trains a tiny model twice into one run that an MLflow server on loopback tracks, and reads back what TensorBoard and MLflow hold.
# Needs Go, and Python with tensorboard and mlflow: PYTHON, or a virtual environment that it makes from the package index.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$work"' EXIT
if [ -z "${PYTHON:-}" ]; then
	python3 -m venv "$work/venv"
	PYTHON=$work/venv/bin/python
	"$PYTHON" -m pip install --quiet tensorboard mlflow
fi
go build -o "$work/prm" ./cmd/prm
go run ./internal/tools/randommodel --shape test --out "$work/model"
for i in $(seq 40); do
	echo '{"id":"'"$i"'","problem":"'"$i"'?","steps":["One.","Two."],"labels":{"steps":[1,'$((i % 2))'],"trajectory":'$((i % 2))'}}'
done >"$work/labelled.jsonl"
port=$((20000 + RANDOM % 20000))
"$PYTHON" -m mlflow server --workers 1 --host 127.0.0.1 --port "$port" --backend-store-uri "sqlite:///$work/mlflow.db" --artifacts-destination "$work/artifacts" >"$work/server.log" 2>&1 &
server=$!
for _ in $(seq 300); do
	curl -sf "http://127.0.0.1:$port/health" >/dev/null && break
	kill -0 "$server" || { tail "$work/server.log"; exit 1; }
	sleep 0.2
done
"$work/prm" train --model "$work/model" --data "$work/labelled.jsonl" --out "$work/run" --batch-size 4 --steps 4 --set eval.every=2 --set "tracking=mlflow://127.0.0.1:$port/prms"
"$work/prm" train "$work/run" --resume --steps 6
"$PYTHON" scripts/trackers/check.py "$work/run" "http://127.0.0.1:$port"
