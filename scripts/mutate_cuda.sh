#!/usr/bin/env bash
# Plants each bug of scripts/mutations_cuda.txt in a copy of the kernels, builds the emulated GPU of them and runs the named
# part of its compliance suite, which must fail (a bug that does not apply or does not compile is an error of this list).
# With an argument, only bugs whose name matches it.
set -euo pipefail
cd "$(dirname "$0")/.."
export GOPRM_EMU_RACES=1
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
go test -c -o "$work/cuda.test" ./cuda
survived=0 count=0
while IFS=$'\t' read -r name file edit run; do
  case $name in '#'* | '') continue ;; esac
  [[ $name =~ ${1:-.} ]] || continue
  count=$((count + 1))
  rm -rf "$work/kernels"; cp -r cuda/kernels "$work/kernels"
  perl -0pi -e "$edit" "$work/kernels/$file"
  cmp -s "cuda/kernels/$file" "$work/kernels/$file" && { echo "BROKEN    $name: does not apply"; survived=$((survived + 1)); continue; }
  [[ $run == Test* ]] || run=TestEmulatedSM80Compliance/$run
  if (cd cuda && GOPRM_EMU_KERNELS=$work/kernels "$work/cuda.test" -test.timeout 5m -test.run "$run" >"$work/out" 2>&1); then
    echo "SURVIVED  $name"; survived=$((survived + 1))
  elif grep -q 'g++ -std' "$work/out"; then
    echo "BROKEN    $name: does not compile"; grep -m1 'error:' "$work/out"; survived=$((survived + 1))
  else
    printf 'caught    %-60s %s\n' "$name" "$(grep -m1 -oE 'race: [a-z0-9 ]* [a-z]*s shared address|bank conflict.*|wait for ever|ended before its copies|bad global address|past its end|bits differ|out of tolerance|a multiple of|cp.async of|does not contain|vanished|Not equal|An error is expected|LAUNCH_FAILED' "$work/out" | tail -1 | grep . || echo failed)"
  fi
done <scripts/mutations_cuda.txt
echo "$((count - survived)) of $count caught"
exit $((survived > 0))
