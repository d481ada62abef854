#!/usr/bin/env bash
# Compares prm eval with eval_check.py on real benchmark files, with a model's scores, or without one with random but fixed scores.
# usage: scripts/eval_check.sh [MODEL [OPTIONS OF PRM EVAL]]; needs python3 and ../shared.
set -euo pipefail
cd "$(dirname "$0")/.."
data=${GOPRM_SHARED:-../shared}/data
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
go build -o "$work/prm" ./cmd/prm
python3 scripts/eval_check.py pairs "$data/trajectories/same_questions_10models.jsonl.gz" >"$work/pairs.jsonl"
while read -r bench file options; do
  if [ $# = 0 ]; then
    python3 scripts/eval_check.py scores "$bench" "$file" >"$work/scores.jsonl"
    by=(--scores "$work/scores.jsonl")
  else
    by=(--model "$@" --keep "$work/scores.jsonl")
    rm -f "$work/scores.jsonl"
  fi
  "$work/prm" eval --bench "$bench" --data "$file" "${by[@]}" $options --out "$work/out.json" 2>"$work/log" || { cat "$work/log"; exit 1; }
  printf '%-13s ' "$bench"
  python3 scripts/eval_check.py compare "$bench" "$file" "$work/scores.jsonl" "$work/out.json"
done <<LIST
processbench $data/steps/processbench --threshold 0.5
prmbench $data/steps/prmbench_subset394.jsonl --threshold 0.5
pairs $work/pairs.jsonl --alpha 1 $([ $# = 0 ] || echo --parts all)
LIST
