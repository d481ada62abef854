#!/usr/bin/env bash
# Compiles every kernel of cuda/kernels, and those of cuda/internal/conformance, to PTX with clang-19 (apt-get install -y --no-install-recommends clang-19). The first
# line of a file is the key of what it was made from; a test compares it, without a compiler.
set -euo pipefail
cd "$(dirname "$0")/../cuda/kernels"
clang=${CLANG:-clang-19}
flags="-x cuda --cuda-device-only -nocudainc -nocudalib -std=c++17 -O3 -ffp-contract=off -S -Wall -Werror"
for source in *.cu ../internal/conformance/*.cu; do
  case $source in
    *_sm90.cu) arch=sm_90a version=80 ;;
    *) arch=sm_80 version=70 ;;
  esac
  key=$({ echo "$flags $arch $version"; for f in *.h "$source"; do echo "$(basename "$f") $(wc -c <"$f" | tr -d ' ')"; cat "$f"; done; } | sha256sum | cut -c1-32)
  out=../ptx/${source%.cu}.ptx
  [[ $source == */* ]] && out=${source%.cu}.ptx
  [ -f "$out" ] && [ "$(head -n1 "$out")" = "// key $key" ] && continue
  { echo "// key $key"; $clang $flags --cuda-gpu-arch=$arch --cuda-feature=+ptx$version -I. -o - "$source" |
    sed 's/^\.maxclusterrank 2\b/.explicitcluster\n.reqnctapercluster 2, 1, 1/'; } >"$out.new" # PAIRED_KERNEL of gpu.h
  mv "$out.new" "$out"
  echo "$out"
done
