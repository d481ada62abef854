#!/usr/bin/env bash
# Starts of training on ROWS (11,400) generated trajectories of about 8,000 tokens: the first, which renders and keeps the tokens, one that
# is killed half way and started again, and the second. Prints the time until training begins and the peak of the process's memory:
# RssAnon is what it has besides mapped files. Needs 40 KB of disk a row, and ../shared for a tokenizer of full size.
# Usage: tokens_scale.sh [FOLDER]   FOLDER: where to work; else a temporary folder, removed at the end.
set -euo pipefail
cd "$(dirname "$0")/.."
rows=${ROWS:-11400} shared=${GOPRM_SHARED:-../shared}
dir=${1:-$(mktemp -d)}
[ $# -gt 0 ] || trap 'rm -rf "$dir"' EXIT
mkdir -p "$dir"
go build -o "$dir/prm" ./cmd/prm
[ -e "$dir/model" ] || go run ./internal/tools/randommodel -shape tiny -vocab 151936 -out "$dir/model" >/dev/null
cp -f "$shared/data/tokenizer/qwen2.5/tokenizer.json" "$dir/model/tokenizer.json"; chmod u+w "$dir/model/tokenizer.json"
[ -e "$dir/rows.jsonl" ] || awk -v rows="$rows" 'BEGIN {
  srand(1)
  for (r = 0; r < rows; r++) {
    printf "{\"id\":\"r%d\",\"problem\":\"Problem %d: what is the sum of the list?\",\"steps\":[", r, r
    for (s = 0; s < 100; s++) {
      printf "%s\"Step %d: we add the next number, so the sum grows", s ? "," : "", s + 1
      for (k = 0; k < 5; k++) { a = int(rand() * 90); b = int(rand() * 90); printf "; then %d + %d = %d", a, b, a + b }
      printf "\""
    }
    printf "],\"labels\":{\"steps\":["
    for (s = 0; s < 100; s++) printf "%s%s", s ? "," : "", rand() < 0.2 ? "0" : "1"
    printf "]}}\n"
  }
}' >"$dir/rows.jsonl"
cat >"$dir/run.yaml" <<YAML
model: $dir/model
train: lora
data: {train: [$dir/rows.jsonl], eval_share: 0}
text: {template: none, tokenize: pieces}
batch: {trajectories: 1, tokens: 16384}
optim: {steps: 1, warmup: 0}
YAML
start() { # name, cache, seconds to live (0: to the end)
  rm -rf "$dir/out-$1"
  local began; began=$(date +%s.%N)
  "$dir/prm" train --config "$dir/run.yaml" --set out="$dir/out-$1" --set cache="$2" 2>"$dir/log-$1" >/dev/null &
  local pid=$! peak=0 anon=0 ready="" now
  while [ -e "/proc/$pid/status" ] && kill -0 $pid 2>/dev/null; do
    while read -r key value _; do
      case $key in
        VmHWM:) peak=$((value > peak ? value : peak)) ;;
        RssAnon:) anon=$((value > anon ? value : anon)) ;;
      esac
    done <"/proc/$pid/status" 2>/dev/null || true
    now=$(date +%s.%N)
    [ -n "$ready" ] || ! grep -q 'trajectories with' "$dir/log-$1" || ready=$now
    if [ "$3" -gt 0 ] && awk "BEGIN { exit !($now - $began > $3) }"; then kill -9 $pid; break; fi
    sleep 0.1
  done
  wait $pid 2>/dev/null || true
  awk -v name="$1" -v began="$began" -v ready="${ready:-0}" -v peak=$peak -v anon=$anon 'BEGIN {
    printf "%-8s training began after %s s; peak RSS %.0f MiB, of it RssAnon %.0f MiB\n", name, (ready > 0 ? sprintf("%.1f", ready - began) : "-"), peak / 1024, anon / 1024 }'
  grep 'tokens:' "$dir/log-$1" | tail -n 1 || true
}
printf '%d rows, %.1f GiB of JSON lines\n' "$rows" "$(awk "BEGIN { print $(stat -c %s "$dir/rows.jsonl") / 2^30 }")"
rm -rf "$dir/cache" "$dir/cache-killed"
start first "$dir/cache" 0
start second "$dir/cache" 0
start killed "$dir/cache-killed" "${KILL_AFTER:-12}"
start resumed "$dir/cache-killed" 0
du -sh "$dir/cache/tokens" | cut -f1 | sed 's/^/tokens: /'
for run in second resumed; do cmp "$dir/out-first/model/adapter_model.safetensors" "$dir/out-$run/model/adapter_model.safetensors"; done
echo "the same bits in all of them"
