#!/usr/bin/env bash
# Checks every instance of the CPU's kernels that this machine runs, and writes what it saw to
# internal/cpu/hardware/DATE-CPU.md: compliance, parity with PyTorch's numbers, and speeds. Fails where a check does.
# BENCH_WITH: a command to run the benchmarks with, such as flock and a file that other benchmarks take.
set -euo pipefail
cd "$(dirname "$0")/.."
export CGO_ENABLED=0
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
model=$(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -1)
family=$(awk -F': ' '/^cpu family/ {f=$2} /^model[[:space:]]*:/ {m=$2} END {print f "-" m}' /proc/cpuinfo)
report=internal/cpu/hardware/$(date +%F)-$(echo "$model-$family" | tr -cs 'A-Za-z0-9.\n' - | sed 's/-$//').md
load() { cut -d' ' -f1-3 /proc/loadavg; }
mkdir -p "$(dirname "$report")"
failed=0
go build -o "$work/prm" ./cmd/prm
go test -c -o "$work/cpu.test" ./internal/cpu

{
	echo "# $model (family and model $family), $(nproc) cores"
	echo
	echo "$(date +%F), commit $(git rev-parse --short=12 HEAD)$(git diff --quiet HEAD -- . || echo ' with changes'), $(go version | cut -d' ' -f3), Linux $(uname -r). Vector flags: $(grep -m1 ^flags /proc/cpuinfo | tr ' ' '\n' | grep -E '^(avx|fma)' | tr '\n' ' ')"
	echo
	echo "## Kernels: compliance, bits and encodings"
	echo
	echo "Load average before: $(load)."
	echo
	echo '```'
	(cd internal/cpu && "$work/cpu.test" -test.v -test.timeout 60m -test.run 'Compliance|Instances|Assembly|GEMM|Attention|RowKernels|BF16|Int8|Bits|Exp|GELU|FasterTiles') >"$work/tests" 2>&1 || failed=1
	grep -E '^(--- |FAIL|PASS)|^    --- ' "$work/tests" || true
	echo '```'
	echo
	echo "## Parity with PyTorch"
	echo
	echo "Largest relative error over the folders of internal/parity/testdata; each quantity has its own tolerance."
	echo
	echo "| kernels | dtype | result | hidden states | gradients |"
	echo "|---|---|---|---|---|"
	folders=$(dirname internal/parity/testdata/*/batch.json internal/parity/testdata/heads/*/expected.json)
	for kernels in portable avx2 avx512 avx512bf16; do
		for dtype in f32 f64 bf16; do
			# Slow, and its products have the bits of avx512bf16's.
			[ "$kernels-$dtype" = portable-bf16 ] && continue
			result=ok
			# shellcheck disable=SC2086
			"$work/prm" parity $folders --dtype $dtype --backend $kernels >"$work/parity" 2>"$work/errors" || result=$(tail -n 1 "$work/errors" | cut -c1-200)
			case $result in *"does not compute in bf16"*) continue ;; *"they need a processor"*) result="not run: ${result##*: }" ;; ok) ;; *) failed=1 ;; esac
			worst() { awk -v what="$1" '$1 == what && $2 > max {max = $2} END {print max}' "$work/parity"; }
			echo "| $kernels | $dtype | $result | $(worst hidden) | $(worst gradients) |"
		done
	done
	echo
	echo "## Speed"
	echo
	echo "Load average before: $(load); more than a few hundredths is other programs. GFLOP/s by the clock, and per core by the processor time of the"
	echo "program, which others disturb less: the best of three. The micro-kernel is what a product can reach at best."
	echo
	echo "| benchmark | by the clock | per core |"
	echo "|---|---|---|"
	for filter in 'MicroKernel' 'GEMM$/(NT-bf16|NN-bf16|TN-f32)/(M2048-N4864-K896|M2048-N896-K4864|M240-N4864-K896|M4864-N896-K2048)/workers2/' \
		'GEMM(BF16|Int8)/M/workers2' 'Attention/ward/T2048/workers2/'; do
		${BENCH_WITH:-} "$work/cpu.test" -test.run '^$' -test.bench "$filter" -test.benchtime 0.3s -test.count 3 || true
	done | awk '/GFLOPS\/core/ {
		if (!($1 in best)) order[++n] = $1
		for (i = 2; i < NF; i++) {
			if ($(i+1) == "GFLOPS" && $i > clock[$1]) clock[$1] = $i
			if ($(i+1) == "GFLOPS/core" && $i > best[$1]) best[$1] = $i
		}
	} END { for (i = 1; i <= n; i++) print "| " order[i] " | " clock[order[i]] " | " best[order[i]] " |" }'
	echo
	echo "Load average after: $(load)."
} >"$report"
cat "$report"
if [ "$failed" != 0 ]; then
	grep -vE '^ *(=== |--- PASS)' "$work/tests" | tail -n 40 >&2
	echo "cpu-check: a check failed; see $report" >&2
	exit 1
fi
