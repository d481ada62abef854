#!/usr/bin/env bash
# The first minutes of the GPU backend on a GPU: needs bin/gpu (scripts/gpu.sh makes it), this script, an NVIDIA driver, bash, awk and timeout.
#   first_contact.sh check   primitives, PTX, the trial, ops, real shapes, models, training, in this order; 5 minutes
#   first_contact.sh bench   products beside cuBLASLt, attention and steps beside PyTorch, rows; 5 minutes
#   first_contact.sh tools   nvcc, cuobjdump, compute-sanitizer and ncu, each where it is installed
# Each step is a process with a limit of its own, so a kernel that hangs or loses the context costs that step alone. A line tells
# how each one ended: ok, FAIL, HANG, or SKIP with the reason; its log is OUT/STEP.log. OUT/DATE-DEVICE.md holds the tables of all three
# commands and OUT/DATE-DEVICE.log their logs: commit both in cuda/hardware.
# GPU: the binary (bin/gpu); OUT: a folder (out); BUDGET: seconds for the command; LIMIT: seconds for a step, at most; STEPS: a pattern
# of the steps that are to run; PYTHON: one that may have PyTorch, transformers and PEFT (python3).
# GOPRM_GPU=stand-in GOPRM_CUDA_DRIVER=LIBRARY GOPRM_EMU_CAPABILITY=90 takes the emulator for a GPU, at sizes that it can manage.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
OUT=${OUT:-out} GPU=${GPU:-bin/gpu} STEPS=${STEPS:-.} LIMIT=${LIMIT:-600} PYTHON=${PYTHON:-python3}
command=${1:-} failed=0 left_out='' family=''
case $command in
check | bench) BUDGET=${BUDGET:-300} ;;
tools) BUDGET=${BUDGET:-570} ;;
*) sed -n '2,5s/^# *//p' "$0" >&2; exit 2 ;;
esac
[ -x "$GPU" ] || { echo "first_contact.sh: no program $GPU; scripts/gpu.sh makes it" >&2; exit 2; }
mkdir -p "$OUT/$command" || exit 2
rows=$OUT/$command/rows
: >"$rows"
rm -f "$OUT/$command"/*.log

# note VERDICT SECONDS STEP WORST WHY: a line on the screen, and a row of the table.
note() {
  printf '%-5s %4ss  %-44s %-9s %s\n' "$@"
  printf '| %s | %s | %s | %s | %s |\n' "$3" "$1" "$2" "$4" "${5//|/\\|}" >>"$rows"
}

# reason LOG: what went wrong, from the first line that says it.
reason() {
  awk '
    function say(line) {
      sub(/^[ \t]*([A-Za-z0-9_\/.-]+\.go:[0-9]+: )?(Error:|Messages:)?[ \t]*/, "", line)
      print substr(line, 1, 160); said = 1; exit
    }
    /CUDA_ERROR|word [0-9]+ is|element [0-9]+|the GPU does not answer|by float64|^panic:|^fatal error:|no NVIDIA|for compute capability|^[A-Za-z]*Error:/ { say($0) }
    /^[ \t]*Error:/ && !later { later = $0; if (later ~ /(unexpected error:|Error:)[ \t]*$/) getline later }
    /need compute capability/ { say($0) }
    END { if (!said && later != "") { said = 1; sub(/^[ \t]*(Error:)?[ \t]*/, "", later); print substr(later, 1, 160) } }' "$1"
}

# step NAME LIMIT COMMAND...: fails unless the command passed.
step() {
  local name=$1 limit=$2 begin=$SECONDS left=$((BUDGET - SECONDS)) status what=ok worst why=''
  shift 2
  [[ $name =~ $STEPS ]] || return 0
  if [ "$left" -lt 5 ]; then note SKIP 0 "$name" '' 'no time is left'; return 0; fi
  limit=$((limit < left ? limit : left)) limit=$((limit < LIMIT ? limit : LIMIT))
  local log=$OUT/$command/${name//[^A-Za-z0-9._-]/_}.log
  echo "\$ $*" >"$log"
  timeout -k 5 "$limit" "$@" >>"$log" 2>&1
  status=$?
  if [ $status = 124 ] || [ $status = 137 ]; then what=HANG why="nothing for $limit s"
  elif grep -qaE 'the GPU does not answer|panic: test timed out' "$log"; then what=HANG
  elif [ $status != 0 ]; then what=FAIL why="status $status"
  elif grep -qa 'no tests to run' "$log"; then what=FAIL why='this program has no such test'
  elif grep -qa -- '--- SKIP' "$log" && ! grep -qa -- '--- PASS.*/' "$log"; then what=SKIP
  fi
  if [ $what != ok ]; then
    local seen
    seen=$(reason "$log")
    why=${seen:-$why}
  else
    why=$(grep -aoE 'NOTE .*' "$log" | sed 's/^NOTE //' | sort -k4,4rn | head -1)
  fi
  worst=$(grep -aoE 'WORST [0-9.e+-]+' "$log" | awk '$2 > w {w = $2} END {if (NR) printf "%.2g", w}')
  note $what $((SECONDS - begin)) "$name" "$worst" "$why"
  case $what in ok | SKIP) return 0 ;; esac
  failed=1
  return 1
}

# tested NAME LIMIT PATTERN: a step that runs tests.
tested() { step "$1" "$2" "$GPU" -test.v -test.count=1 -test.timeout "$(($2 - 2))s" -test.run "$3"; }

# without WHAT WHY: one line for all steps that a failure makes pointless.
without() { note SKIP 0 "$1" '' "$2"; left_out=1; }

check() {
  local basic=0 hopper=0 hangs='' refused='' refused90='' name
  for name in index shuffle barrier sum atomic convert exact larger functions exp2 log2 logistic gated copy matrices matrices_transposed mma mma_rounded; do
    tested "primitive/$name" 30 "^TestGPUConformance\$/^conform_$name\$" || basic=1
  done
  for name in mbarrier box box_offset box_narrow lines cluster share_box store_matrices store_box store_box_f32 product_along product_across product_192 product_128 product_64 weighted_128 weighted_64 weighted_along; do
    tested "primitive/hopper/$name" 30 "^TestGPUConformance\$/^conform_$name\$" || hopper=1
  done
  for name in attention attention_sm80 cache dropout encoder gemm_sm80 heads optimizer products ranks rows vocabulary; do
    tested "ptx/$name" 40 "^TestGPUPTX\$/^$name\$" || refused=$name
  done
  for name in gemm_sm90 attention_sm90; do
    tested "ptx/$name" 40 "^TestGPUPTX\$/^$name\$" || refused90=$name
  done
  [ $basic = 0 ] || echo '(what follows rests on the primitives that differ: read their logs first)'
  if [ -n "$refused" ]; then without 'ops, shapes, models, training' "ptx/$refused was refused, and every step needs it"; return; fi
  if [ -n "$refused90" ]; then without 'all of sm90a' "ptx/$refused90 was refused"
  elif [ $hopper = 1 ]; then without 'all of sm90a' "Hopper's primitives differ"
  else
    tested trial 60 '^TestGPUTrial$'
    ! grep -qs '^| trial | HANG' "$rows" || hangs=1
  fi
  tested op/sm80/f32 90 '^TestGPUCompliance$/^sm80$/^f32$'
  tested op/sm80/f64 60 '^TestGPUCompliance$/^sm80$/^f64$'
  tested op/sm80/bf16 90 '^TestGPUCompliance$/^sm80$/^bf16$'
  tested op/sm80/gradients 60 '^TestGPUCompliance$/^sm80$/^(gradients|bad_input)$'
  if [ -z "$left_out" ]; then
    tested op/sm90a/linear 90 '^TestGPUHopper$/^linear$'
    tested op/sm90a/attention 90 '^TestGPUHopper$/^attention$'
    [ -z "$hangs" ] || without 'the rest of sm90a' 'its kernels do not end'
  fi
  if [ -z "$left_out" ]; then
    tested op/sm90a/bf16 90 '^TestGPUCompliance$/^sm90a$/^bf16$'
    tested shapes/1.5B 60 '^TestGPUShapes$/^1.5B$'
    tested shapes/7B/layer 60 '^TestGPUShapes$/^7B$/^layer$'
    tested shapes/7B 60 '^TestGPUShapes$/^7B$/^(qkv|o|gate)$'
    tested shapes/7B/down 60 '^TestGPUShapes$/^7B$/^down$'
    tested shapes/square 30 '^TestGPUShapes$/^square$'
    tested shapes/attention 60 '^TestGPUShapes$/^attention$'
  fi
  for family in sm80 sm90a; do
    [ "$family" = sm90a ] && [ -n "$left_out" ] || tested "models/$family" 60 "^TestGPUGoldens\$/^$family\$"
  done
  for family in sm80 sm90a; do
    [ "$family" = sm90a ] && [ -n "$left_out" ] || tested "training/$family" 60 "^TestGPUTraining\$/^$family\$"
  done
}

# benchmarks NAME LIMIT PATTERN REPEATS [FAMILY]
benchmarks() {
  GOPRM_GPU_KERNELS=${5:-} step "$1" "$2" "$GPU" -test.run '^$' -test.bench "$3" -test.benchtime "$4x" -test.timeout "$(($2 - 2))s"
}

bench() {
  local blas mode=()
  # cuBLASLt is found by its name, and a Python environment keeps it where the loader does not look.
  blas=$("$PYTHON" -c 'import nvidia, os
print(next(d for r in nvidia.__path__ for d, _, f in os.walk(r) if any(x.startswith("libcublasLt.so") for x in f)))' 2>/dev/null)
  [ -z "$blas" ] || export LD_LIBRARY_PATH=$blas${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
  [ "${GOPRM_GPU:-}" != stand-in ] || mode=(--stand-in --repeats 2)
  local torch=("$PYTHON" "$here/first_contact_torch.py") repeats=30 steps=5
  [ "${GOPRM_GPU:-}" != stand-in ] || repeats=2 steps=1
  if ! "$PYTHON" -c 'import torch' 2>/dev/null; then without pytorch "$PYTHON has no PyTorch"; torch=(); fi
  benchmarks products 60 GPUProducts $repeats
  benchmarks attention 40 GPUAttention $repeats
  [ ${#torch[@]} = 0 ] || step pytorch/attention 40 "${torch[@]}" attention "${mode[@]}"
  benchmarks tokens 90 GPUTokens $steps
  [ ${#torch[@]} = 0 ] || step pytorch/tokens 90 "${torch[@]}" tokens "${mode[@]}"
  benchmarks rows 30 GPURows $repeats
  benchmarks products/sm80 50 GPUProducts 10 sm80
  benchmarks attention/sm80 40 GPUAttention 10 sm80
}

# figures UNIT...: a table of what the benchmarks reported, a column for each that computes.
figures() {
  cat "$OUT/$command"/*.log | awk -v units="$*" '
    BEGIN { n = split(units, unit, " ") }
    /^Benchmark/ {
      name = $1; sub(/-[0-9]+$/, "", name); split(name, part, "/"); who = part[2]
      what = substr(name, length(part[1]) + length(who) + 3)
      for (i = 3; i < NF; i++) for (u = 1; u <= n; u++) if ($(i + 1) == unit[u]) {
        row = what (n > 1 ? ", " unit[u] : "")
        if (!(row in known)) { known[row] = 1; order[++rows] = row }
        if (!(who in column)) { column[who] = 1; names[++columns] = who }
        value[row, who] = $i
      }
    }
    END {
      if (!rows) exit
      printf "\n| %s |", (n > 1 ? "" : units); for (c = 1; c <= columns; c++) printf " %s |", names[c]
      printf "\n|---|"; for (c = 1; c <= columns; c++) printf "---|"; print ""
      for (r = 1; r <= rows; r++) {
        printf "| %s |", order[r]
        for (c = 1; c <= columns; c++) printf " %s |", ((order[r], names[c]) in value ? sprintf("%.4g", value[order[r], names[c]]) : "")
        print ""
      }
    }'
}

tools() {
  local found=0 name arch ptx=$OUT/tools/ptx
  mkdir -p "$ptx"
  GOPRM_PTX_DIR=$ptx tested ptx 60 '^TestGPUPTX$'
  if command -v ptxas >/dev/null; then
    found=1
    for name in "$ptx"/*.ptx; do
      arch=sm_90; [[ $name != *_sm90.ptx ]] || arch=sm_90a
      step "ptxas/$(basename "$name" .ptx)" 60 ptxas -v "-arch=$arch" -o "${name%.ptx}.cubin" "$name"
    done
    name=$(grep -lE 'C75[0-9]+' "$OUT"/tools/ptxas_*.log)
    [ -z "$name" ] || note FAIL 0 'serialized wgmma' '' "the assembler warns: $(basename -a $name | tr '\n' ' ')"
  fi
  if command -v cuobjdump >/dev/null; then
    found=1
    for name in "$ptx"/*_sm90.cubin; do
      [ ! -f "$name" ] || step "sass/$(basename "$name" .cubin)" 60 bash -c 'cuobjdump -sass "$0" >"${0%.cubin}.sass"' "$name"
    done
  fi
  if command -v compute-sanitizer >/dev/null; then
    found=1
    step sanitizer/memcheck 120 compute-sanitizer --tool memcheck "$GPU" -test.run '^TestGPUConformance$|^TestGPUTrial$'
    step sanitizer/synccheck 120 compute-sanitizer --tool synccheck "$GPU" -test.run '^TestGPUConformance$|^TestGPUTrial$'
    step sanitizer/racecheck 120 compute-sanitizer --tool racecheck "$GPU" -test.run '^TestGPUCompliance$/^sm80$/^bf16$/^linear$/70x72x80'
  fi
  if command -v ncu >/dev/null; then
    found=1
    step ncu 150 ncu --clock-control none --set full -k 'regex:hopper' -c 12 -f -o "$OUT/tools/ncu" \
      "$GPU" -test.run '^$' -test.bench 'GPUProducts/sm90a/^linear(_add)?$/^(1.5B|square)$/^o$|GPUAttention/sm90a/./^4096$' -test.benchtime 1x
  fi
  [ $found = 1 ] || without tools 'none of nvcc, cuobjdump, compute-sanitizer and ncu is in the PATH'
}

STEPS=. tested device 60 '^TestGPUDevice$' || { cat "$OUT/$command/device.log"; exit 1; }
device=$(grep -ahoE 'DEVICE .*' "$OUT/$command/device.log" | cut -d' ' -f2- | head -1)
if [ -z "$device" ]; then
  echo "first_contact.sh: $(grep -m1 -aoE '(no NVIDIA|this process).*' "$OUT/$command/device.log")" >&2
  exit 1
fi
"$command"
{
  echo "## first_contact.sh $command"
  echo
  echo "$(date -u +%FT%RZ), $SECONDS s. ${device:-}"
  if [ "$command" = bench ]; then
    figures TFLOP/s
    figures tokens/s
    figures loss1 norm1 loss2 norm2
    figures GB/s
  fi
  echo
  echo '| step | verdict | s | worst error, of what is allowed | |'
  echo '|---|---|---|---|---|'
  cat "$rows"
} >"$OUT/$command/part.md"
model=$(echo "${device%%:*}" | tr -cs 'A-Za-z0-9\n' - | sed 's/-*$//')
name=$OUT/$(date -u +%F)-${model:-GPU}
{ echo "# ${device:-a GPU}"; for part in check bench tools; do [ ! -f "$OUT/$part/part.md" ] || { echo; cat "$OUT/$part/part.md"; }; done; } >"$name.md"
tail -n +1 "$OUT"/*/*.log | grep -av '^=== [RPC]' >"$name.log"
echo
sed '/^$/d' "$OUT/$command/part.md"
echo "written: $name.md, $name.log"
exit $failed
