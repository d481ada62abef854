#!/usr/bin/env bash
# Regenerates internal/parity/testdata with the pinned PyTorch (6 GB in a virtual environment).
set -euo pipefail
cd "$(dirname "$0")/../.."
venv=${GOPRM_VENV:-runs/goldens-venv}
[ -x "$venv/bin/python" ] || { python3 -m venv "$venv"; "$venv/bin/pip" install --quiet -r scripts/goldens/requirements.txt; }
rm -rf internal/parity/testdata/wide internal/parity/testdata/sharded
"$venv/bin/python" scripts/goldens/make.py internal/parity/testdata
git status --short internal/parity/testdata
