#!/usr/bin/env bash
# Plants each bug of scripts/mutations_cuda.txt in a copy of the kernels, builds the emulated GPU of them and runs the named
# part of its suite, which must fail with the bug and pass without it (a bug that does not apply or does not compile is an
# error of this list, as is a test that takes too long): on a device of 2 multiprocessors, whose blocks take many
# tiles, and of 132, where small products give each block one.
# mutate_cuda.sh [NAME]: only bugs whose name matches. COUNTS: other numbers of multiprocessors. JOBS: bugs at a time (the cores).
# LIMIT: of each test (2m).
# TRIAL=1: only what the trial of Hopper's kernels sees, which may be less; tells it for each bug, and fails for none.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d); trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT
go test -c -o "$work/cuda.test" ./cuda
go build -o "$work/emulator" ./cuda/internal/tools/emulator
"$work/emulator" >"$work/out" # and so objects of what no bug touches
counts=${COUNTS:-2 132} jobs=${JOBS:-$(nproc)}
[ -n "${TRIAL:-}" ] || export GOPRM_EMU_RACES=1 # a device that takes a trial does not watch for races

# passes TEST COUNT LOG [KERNELS]: whether the test passes on a device of so many multiprocessors.
passes() {
  (cd cuda && GOPRM_EMU_SMS=$2 GOPRM_EMU_KERNELS=${4:-} exec "$work/cuda.test" -test.failfast -test.timeout "${LIMIT:-2m}" -test.run "$1" >"$3" 2>&1)
}

# pristine TEST: notes a test that fails without a bug, or that there is none of the name.
pristine() {
  local n log
  log=$(mktemp -p "$work")
  for n in $counts; do
    if ! passes "$1" "$n" "$log" || grep -q 'no tests to run' "$log"; then echo "BROKEN    $1 without a bug, at $n multiprocessors" | tee -a "$work/broken"; fi
  done
}

# plant NAME FILE EDIT TEST: tells what became of the bug, and notes at which counts it was seen.
plant() {
  local kernels log n missed=''
  kernels=$(mktemp -dp "$work") log=$(mktemp -p "$work")
  cp -r cuda/kernels/. "$kernels"
  perl -0pi -e "$3" "$kernels/$2"
  if cmp -s "cuda/kernels/$2" "$kernels/$2"; then
    echo "BROKEN    $1: does not apply" | tee -a "$work/broken"
    return
  fi
  if ! GOPRM_EMU_KERNELS=$kernels "$work/emulator" >"$log" 2>&1; then
    echo "BROKEN    $1: does not compile: $(grep -m1 -oE 'error: .*' "$log")" | tee -a "$work/broken"
    return
  fi
  for n in $counts; do
    if passes "$4" "$n" "$log" "$kernels"; then
      missed="$missed $n"
    elif grep -q 'test timed out' "$log"; then
      echo "BROKEN    $1: $(grep -m1 -o 'test timed out after.*' "$log")" | tee -a "$work/broken"
      return
    else
      echo "$n" >>"$work/seen"
    fi
  done
  rm -rf "$kernels"
  if [ -n "$missed" ]; then
    echo "SURVIVED  $1, at$missed multiprocessors" | tee -a "$work/survived"
  else
    printf 'caught    %-60s %s\n' "$1" "$(grep -m1 -oE 'race: [a-z0-9 ]* [a-z]*s shared address|bank conflict.*|wait for ever|ended before its copies|bad global address|past its end|bits differ|out of tolerance|a multiple of|cp.async of|does not contain|vanished|Not equal|An error is expected|a tile is wrong|by sm80.s kernels|has not met|the other is done|LAUNCH_FAILED' "$log" | tail -1 | grep . || echo failed)"
  fi
}

# beside COMMAND...: runs it beside others, as many as JOBS.
running=0
beside() {
  if [ "$running" -ge "$jobs" ]; then wait -n || true; else running=$((running + 1)); fi
  "$@" &
}

count=0
declare -A tested
touch "$work/broken" "$work/survived" "$work/seen"
while IFS=$'\t' read -r name file edit run; do
  case $name in '#'* | '') continue ;; esac
  [[ $name =~ ${1:-.} ]] || continue
  [[ $run == Test* ]] || run=TestEmulatedSM80Compliance/$run
  if [ -n "${TRIAL:-}" ]; then
    [[ $run == TestEmulatedSM90* ]] || continue
    run=TestEmulatedTrial
  fi
  count=$((count + 1))
  [ -n "${tested[$run]:-}" ] || beside pristine "$run"
  tested[$run]=1
  beside plant "$name" "$file" "$edit" "$run"
done <scripts/mutations_cuda.txt
wait
for n in $counts; do echo "$(grep -cx "$n" "$work/seen") of $count caught at $n multiprocessors"; done
[ ! -s "$work/broken" ] && { [ -n "${TRIAL:-}" ] || [ ! -s "$work/survived" ]; }
