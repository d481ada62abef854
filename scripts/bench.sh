#!/usr/bin/env bash
# Times prm and other programs on the same work, in turn, and writes the tables of docs/benchmarks.md; internal/tools/bench says more.
# ROWS: cases as a regular expression of SHAPE/MODE/TOKENS/DTYPE; WITH: programs as one of their names; ROUNDS; LIMIT: seconds of a
# process; BUDGET: after which no case begins; AVX2=1: no instructions beyond AVX2, in tables of their own. RIVALS: what to install;
# empty: nothing. Further flags go to the program, such as -list, and -smoke, which only sees that every program starts.
set -euo pipefail
cd "$(dirname "$0")/.."
work=${GOPRM_BENCH:-runs/bench}
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE # settings for old builds of NumPy would slow a current one
mkdir -p "$work/models"
[ -z "${RIVALS-all}" ] || scripts/bench/setup.sh
shapes="0.5b 1.5b"
[[ " $* " != *" -smoke "* ]] || shapes=tiny
for shape in $shapes; do
  [ -f "$work/models/$shape/model.safetensors" ] || go run ./internal/tools/randommodel --shape "$shape" --dtype BF16 --out "$work/models/$shape"
done
go build -o "$work/prm" ./cmd/prm
go build -o "$work/bench" ./internal/tools/bench
exec "$work/bench" -programs "$work" -rows "${ROWS:-}" -with "${WITH:-}" \
  -rounds "${ROUNDS:-3}" -limit "${LIMIT:-120}" -budget "${BUDGET:-1h}" -publish "${PUBLISH-docs/benchmarks.md}" ${AVX2:+-avx2} "$@"
