#!/usr/bin/env bash
# Regenerates internal/parity/testdata, and what PyTorch and tokenizers made for other tests, with the pinned versions (6 GB in a virtual environment).
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/goldens/venv.sh
rm -rf internal/parity/testdata/{wide,sharded,dim64,dim128,qwen3}
"$venv/bin/python" scripts/goldens/make.py internal/parity/testdata
"$venv/bin/python" scripts/goldens/heads.py internal/parity/testdata/heads
"$venv/bin/python" scripts/torchfile/make.py internal/torchfile/testdata
"$venv/bin/python" scripts/tokenizers/make.py data/tokenizer/testdata
git status --short internal/parity/testdata internal/torchfile/testdata data/tokenizer/testdata
