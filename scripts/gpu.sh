#!/usr/bin/env bash
# Builds bin/gpu: one program of some 30 MB with the checks and benchmarks of a real GPU, for a machine with an NVIDIA driver and no Go.
# Carry it there with scripts/first_contact.sh and scripts/first_contact_torch.py, which run it step by step. By hand:
#   bin/gpu -test.run TestGPU -test.v -test.timeout 60m
#       every primitive against what the emulator made of it, every op against float64, models against PyTorch and the CPU
#   bin/gpu -test.run '^$' -test.bench GPU -test.benchtime 30x -test.timeout 60m
#       TFLOP/s of products (beside cuBLASLt where it is there) and attention by shape, tokens/s of 1.5B and 7B;
#       GOPRM_GPU_KERNELS=sm80 takes those kernels on Hopper too
# GOPRM_GPU=stand-in GOPRM_CUDA_DRIVER=LIBRARY takes the emulator for a GPU, at sizes that it can manage: to see them run.
set -euo pipefail
cd "$(dirname "$0")/.."
CGO_ENABLED=0 go test -c -tags gpuonly -trimpath -ldflags '-s -w' -o bin/gpu ./cuda
size=$(wc -c <bin/gpu)
echo "bin/gpu: $((size / 1000000)) MB"
[ "$size" -le 40000000 ] || { echo "scripts/gpu.sh: more than 40 MB, which is what a GPU machine takes" >&2; exit 1; }
