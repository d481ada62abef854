#!/usr/bin/env bash
# Makes $COUNT checkpoints at random (families, heads, configurations, tokenizers, files, faults in them) and compares the scores and token ids of
# prm with those of transformers: alike, refused by both, or refused by prm with a reason that scripts/faults_peer/peer.py lists. Needs Python (6 GB
# in a virtual environment). $SEED draws others; $ONLY: the numbers of those to look at again.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/goldens/venv.sh
work=$(mktemp -d); [ -n "${KEEP:-}" ] && echo "kept in $work" || trap 'rm -rf "$work"' EXIT
go build -o "$work/prm" ./cmd/prm
# shellcheck disable=SC2086 # the numbers are words
"$venv/bin/python" scripts/faults_peer/peer.py "$work/prm" "${SEED:-1}" "${COUNT:-100}" "$work/cases" ${ONLY:-}
