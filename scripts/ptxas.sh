#!/usr/bin/env bash
# Assembles every committed PTX with NVIDIA's assembler for every architecture it is meant for, and writes cuda/ptxas.tsv:
# registers, stack, spills, and the instructions that matter, by kernel. Assembler and disassembler come from their public
# Python packages, into a cache; nothing else of CUDA is needed, and no GPU. Fails where a kernel does not assemble or the
# assembler warns that it gave something up (C75xx).
set -euo pipefail
cd "$(dirname "$0")/.."
tools=${PTXAS_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/goprm/ptxas-13.0.88}
if [ ! -x "$tools/nvidia/cu13/bin/ptxas" ] || [ ! -x "$tools/nvidia/cu13/bin/nvdisasm" ]; then
  python3 -m pip install --quiet --no-deps --target "$tools" nvidia-cuda-nvcc==13.0.88 nvidia-cuda-nvdisasm==13.2.78 ||
    { echo "install Python with pip, or set PTXAS_DIR to a folder with nvidia/cu13/bin/ptxas and nvdisasm" >&2; exit 1; }
fi
bin=$tools/nvidia/cu13/bin
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
archs() {
  case $1 in
    *_sm90.ptx) echo sm_90a ;;
    *) echo sm_80 sm_86 sm_89 sm_90 sm_100 sm_120 ;;
  esac
}
body() { tail -n +2 "$1" | sha256sum | cut -c1-32; } # without the key
{
  echo "# Made by scripts/ptxas.sh with ptxas 13.0.88. A line a kernel and architecture; instructions are those in the whole kernel, waits are for wgmma; loop_… those of the innermost loop with the most tensor-core instructions, by a warp."
  for ptx in cuda/ptx/*.ptx; do echo "# $(basename "$ptx") $(body "$ptx")"; done
  for ptx in cuda/internal/conformance/*.ptx; do # which need not be fast: that they assemble is all
    name=$(basename "$ptx")
    for arch in $(archs "$ptx"); do "$bin/ptxas" -arch=$arch -o "$work/out.cubin" "$ptx" >&2 || exit 1; done
    echo "# $name $(body "$ptx")"
  done
  printf 'file\tkernel\tarch\tregisters\tstack\tspill_stores\tspill_loads\ttensor\tldmatrix\tasync_copy\tlocal\tinstructions\twaits\tloop_instructions\tloop_tensor\tloop_ldmatrix\tloop_async_copy\n'
  for ptx in cuda/ptx/*.ptx; do
    name=$(basename "$ptx")
    if [ "${1:-}" != all ] && grep -qxF "# $name $(body "$ptx")" cuda/ptxas.tsv 2>/dev/null; then # as it was
      grep "^$name"$'\t' cuda/ptxas.tsv
      continue
    fi
    for arch in $(archs "$ptx"); do
      "$bin/ptxas" -v -arch=$arch -o "$work/out.cubin" "$ptx" 2>"$work/log" || { cat "$work/log" >&2; exit 1; }
      if grep '(C75' "$work/log" >&2; then exit 1; fi
      "$bin/nvdisasm" -c "$work/out.cubin" >"$work/sass"
      awk -v file="$name" -v arch=$arch -v OFS='\t' '
        FNR == NR && /Function properties for/ { kernel = $NF }
        FNR == NR && /bytes stack frame/ { stack[kernel] = $1; stores[kernel] = $5; loads[kernel] = $9 }
        FNR == NR && /Used [0-9]+ registers/ { for (i = 1; i < NF; i++) if ($i == "Used") registers[kernel] = $(i + 1) }
        FNR == NR { next }
        /^[ \t]*\.section[ \t]+\.text\./ { k = $2; sub(/^\.text\./, "", k); sub(/,.*/, "", k) }
        /^\.L_x_[0-9]+:/ { label[k, substr($1, 1, length($1) - 1)] = n[k] + 1 }
        /\/\*[0-9a-f]+\*\// { n[k]++ }
        / (HMMA|HGMMA|QGMMA|UTCHMMA)/ { tensor[k]++; t[k, n[k]] = 1 }
        / LDSM/ { matrices[k]++; m[k, n[k]] = 1 }
        / (LDGSTS|UTMALDG|UBLKCP)/ { copies[k]++; c[k, n[k]] = 1 }
        / BRA/ && match($0, /\.L_x_[0-9]+/) { to[k, n[k]] = substr($0, RSTART, RLENGTH) }
        / (LDL|STL)/ { stack_use[k]++ }
        / WARPGROUP.DEPBAR/ { waits[k]++ }
        function loop(k,    i, j, a, b, c1) { # sets size, products, read, brought
          size = products = read = brought = 0
          if (!tensor[k]) return
          for (i = 1; i <= n[k]; i++) {
            if (!((k, i) in to) || !(j = label[k, to[k, i]]) || j > i) continue
            a = b = c1 = 0
            for (at = j; at <= i; at++) { a += t[k, at]; b += m[k, at]; c1 += c[k, at] }
            if (a > products || a == products && a > 0 && i - j < size) { size = i - j + 1; products = a; read = b; brought = c1 }
          }
        }
        END { for (k in registers) { loop(k); print file, k, arch, registers[k], stack[k], stores[k], loads[k], tensor[k] + 0, matrices[k] + 0, copies[k] + 0, stack_use[k] + 0, n[k] + 0, waits[k] + 0, size, products, read, brought } }
      ' "$work/log" "$work/sass" | sort
    done
  done
} >"$work/table"
mv "$work/table" cuda/ptxas.tsv
echo "cuda/ptxas.tsv: $(grep -vc '^#' cuda/ptxas.tsv) lines"
