#!/usr/bin/env bash
# Trains heads and adapters on a real 1.5B backbone (Qwen2.5-Coder-1.5B-Instruct) and PRM800K rows, and compares with PyTorch and PEFT.
# Needs Python, 12 GB of disk and of memory, and the development data at ../shared or $GOPRM_SHARED, whose converter it runs.
# PROBLEMS: at most so many problems to train on and as many to validate on (100 and 60).
set -euo pipefail
cd "$(dirname "$0")/.."
shared=${GOPRM_SHARED:-../shared}
work=${GOPRM_LEARN_REAL_15B:-runs/learn-real-1.5b}
model=$work/qwen2.5-coder-1.5b-instruct
mkdir -p "$work"
. scripts/goldens/venv.sh
[ -f "$model/model.safetensors" ] || "$shared/bench/qwen15.sh" "$work"
go build -o "$work/prm" ./cmd/prm
"$venv/bin/python" scripts/learn_real_15b.py --prm "$work/prm" --model "$model" --shared "$shared" --work "$work/${PROBLEMS:-all}" \
  --problems "${PROBLEMS:-0}"
