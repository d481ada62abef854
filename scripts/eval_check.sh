#!/usr/bin/env bash
# Compares prm eval with eval_check.py on real benchmark files, with scores that are random but fixed.
# usage: scripts/eval_check.sh [FOLDER with processbench/ and prmbench_subset394.jsonl]; needs python3 only.
set -euo pipefail
cd "$(dirname "$0")/.."
data=${1:-${GOPRM_SHARED:-../shared}/data/steps}
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
go build -o "$work/prm" ./cmd/prm
while read -r bench file; do
  python3 scripts/eval_check.py scores "$bench" "$data/$file" >"$work/scores.jsonl"
  "$work/prm" eval --bench "$bench" --data "$data/$file" --scores "$work/scores.jsonl" --out "$work/out.json" 2>"$work/log" || { cat "$work/log"; exit 1; }
  printf '%-13s ' "$bench"
  python3 scripts/eval_check.py compare "$bench" "$data/$file" "$work/scores.jsonl" "$work/out.json"
done <<'LIST'
processbench processbench
prmbench prmbench_subset394.jsonl
LIST
