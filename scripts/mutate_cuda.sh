#!/usr/bin/env bash
# Plants each bug of scripts/mutations_cuda.txt in a copy of the kernels, builds the emulated GPU of them and runs the named
# part of its suite, which must fail (a bug that does not apply or does not compile is an error of this list): on a device of 2
# multiprocessors, whose blocks take many tiles, and of 132, where small products give each block one.
# mutate_cuda.sh [NAME]: only bugs whose name matches. COUNTS: other numbers of multiprocessors.
# TRIAL=1: only what the trial of Hopper's kernels sees, which may be less; tells it for each bug, and fails for none.
set -euo pipefail
cd "$(dirname "$0")/.."
export GOPRM_EMU_RACES=1 GOPRM_EMU_SMS
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
go test -c -o "$work/cuda.test" ./cuda
survived=0 count=0
counts=${COUNTS:-2 132}
declare -A seen
for GOPRM_EMU_SMS in $counts; do seen[$GOPRM_EMU_SMS]=0; done
[ -z "${TRIAL:-}" ] || unset GOPRM_EMU_RACES # a device that takes a trial does not watch for races

# fails TEST: whether the test fails with the bug.
fails() { ! (cd cuda && GOPRM_EMU_KERNELS=$work/kernels "$work/cuda.test" -test.failfast -test.timeout 10m -test.run "$1" >"$work/out" 2>&1); }

while IFS=$'\t' read -r name file edit run; do
  case $name in '#'* | '') continue ;; esac
  [[ $name =~ ${1:-.} ]] || continue
  [[ $run == Test* ]] || run=TestEmulatedSM80Compliance/$run
  if [ -n "${TRIAL:-}" ]; then
    [[ $run == TestEmulatedSM90* ]] || continue
    run=TestEmulatedTrial
  fi
  count=$((count + 1))
  rm -rf "$work/kernels"; cp -r cuda/kernels "$work/kernels"
  perl -0pi -e "$edit" "$work/kernels/$file"
  cmp -s "cuda/kernels/$file" "$work/kernels/$file" && { echo "BROKEN    $name: does not apply"; survived=$((survived + 1)); continue; }
  missed=''
  for GOPRM_EMU_SMS in $counts; do
    if ! fails "$run"; then
      missed="$missed $GOPRM_EMU_SMS"
    elif grep -q 'g++ -std' "$work/out"; then
      echo "BROKEN    $name: does not compile"; grep -m1 'error:' "$work/out"; survived=$((survived + 1)); continue 2
    else
      seen[$GOPRM_EMU_SMS]=$((seen[$GOPRM_EMU_SMS] + 1))
    fi
  done
  if [ -n "$missed" ]; then
    echo "SURVIVED  $name, at$missed multiprocessors"; survived=$((survived + 1))
  else
    printf 'caught    %-60s %s\n' "$name" "$(grep -m1 -oE 'race: [a-z0-9 ]* [a-z]*s shared address|bank conflict.*|wait for ever|ended before its copies|bad global address|past its end|bits differ|out of tolerance|a multiple of|cp.async of|does not contain|vanished|Not equal|An error is expected|LAUNCH_FAILED|a tile is wrong|by sm80.s kernels' "$work/out" | tail -1 | grep . || echo failed)"
  fi
done <scripts/mutations_cuda.txt
for GOPRM_EMU_SMS in $counts; do echo "${seen[$GOPRM_EMU_SMS]} of $count caught at $GOPRM_EMU_SMS multiprocessors"; done
[ -n "${TRIAL:-}" ] || exit $((survived > 0))
