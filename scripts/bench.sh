#!/usr/bin/env bash
# Speed against PyTorch at the shape of Qwen2.5-0.5B, f32, two threads: goprm and PyTorch in turn, with nothing else
# running. Prints each run's JSON line; compare tokens_per_s.
set -euo pipefail
cd "$(dirname "$0")/.."
shared=${GOPRM_SHARED:-../shared}
work=${GOPRM_BENCH:-runs/bench}
rounds=${ROUNDS:-2}
. scripts/goldens/venv.sh
mkdir -p "$work"
[ -f "$work/0.5b/model.safetensors" ] || go run ./internal/tools/randommodel --shape 0.5b --out "$work/0.5b"
go build -o "$work/prm" ./cmd/prm
for mode in score lora; do
  tokens=2048
  for _ in $(seq "$rounds"); do
    printf 'goprm   '; "$work/prm" --threads 2 bench "$work/0.5b" --mode $mode --tokens $tokens --dtype f32 --json | tr -d '\n'; echo
    printf 'pytorch '; "$venv/bin/python" "$shared/bench/bench_torch.py" --shape 0.5b --mode $mode --tokens $tokens --dtype f32 --threads 2
  done
done
