#!/usr/bin/env bash
# Vets and builds the GPU backend with the tag gorgonia_cu, which calls the driver through gorgonia.org/cu, and runs a part of
# its tests on the emulated GPU. NVIDIA's public headers come from their Python package, into a cache. With a CUDA toolkit
# (11 or 12; cu does not compile with 13) the same is
#   CGO_ENABLED=1 CGO_CFLAGS=-I$CUDA/include CGO_LDFLAGS=-L$CUDA/lib64/stubs go build -tags gorgonia_cu ./cmd/prm
# and needs neither this script nor the library that it makes to link against. Such a program starts only where the driver does.
set -euo pipefail
cd "$(dirname "$0")/.."
cuda=${CUDA_HEADERS:-${XDG_CACHE_HOME:-$HOME/.cache}/goprm/cuda-headers-12.6.77}
if [ ! -f "$cuda/nvidia/cuda_runtime/include/cuda.h" ]; then
  python3 -m pip install --quiet --root-user-action=ignore --no-deps --target "$cuda" nvidia-cuda-runtime-cu12==12.6.77 ||
    { echo "install Python with pip, or set CUDA_HEADERS to a folder with nvidia/cuda_runtime/include/cuda.h" >&2; exit 1; }
fi
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
mkdir "$work/link" "$work/run"
# cu names every call that there is; the emulated driver has those that the kernels need. So programs are linked against a
# library with all the names of the header, and each is looked for when it is first called.
grep -ohE '\bcu[A-Z][A-Za-z0-9_]*' "$cuda/nvidia/cuda_runtime/include/cuda.h" | sort -u | sed 's/.*/int &(void) { return 999; }/' >"$work/names.c"
gcc -shared -fPIC -w -Wl,-soname,libcuda.so.1 -o "$work/link/libcuda.so" "$work/names.c"
emulator=$(CGO_ENABLED=0 go run ./cuda/internal/tools/emulator)
ln -s "$emulator" "$work/run/libcuda.so.1"

export CGO_ENABLED=1 CGO_CFLAGS="-I$cuda/nvidia/cuda_runtime/include" CGO_LDFLAGS="-L$work/link -Wl,-z,lazy"
go vet -tags gorgonia_cu ./cuda/... ./cmd/prm
go build -tags gorgonia_cu -o "$work/prm" ./cmd/prm
go test -tags gorgonia_cu -c -o "$work/cuda.test" ./cuda
export LD_LIBRARY_PATH=$work/run GOPRM_CUDA_DRIVER=$emulator
"$work/prm" devices
cd cuda
run() { # TESTS: each must pass, none be skipped
  "$work/cuda.test" -test.v -test.run "$1" >"$work/out" 2>&1 || { cat "$work/out"; exit 1; }
  grep -E '^ *--- (PASS: [^/]*|SKIP.*)$' "$work/out"
  if grep -q -e '--- SKIP' "$work/out"; then exit 1; fi
}
run '^(TestEmulatedMemory|TestEmulatedStaging|TestEmulatedLostContext|TestEmulatedScores|TestEmulatedTrial|TestEmulatedSM90Products|TestEmulatedSM80Cache|TestEmulatedSM80Stream|TestEmulatedTwoDevices|TestEmulated7BTakesWhatIsPlanned)$'
run '^TestEmulatedSM80Compliance$/^(f32|bf16)$/^(adamw|clip|linear)$'
