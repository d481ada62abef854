#!/usr/bin/env bash
# Builds bin/gpu: one program with the checks and benchmarks of a real GPU. Carry it to a machine with an NVIDIA driver:
#   ./gpu -test.run TestGPU -test.v -test.timeout 60m
#       every primitive against what the emulator made of it, every op against float64, models against PyTorch and the CPU
#   ./gpu -test.run none -test.bench GPU -test.benchtime 2s -test.timeout 60m
#       TFLOP/s of products (beside cuBLASLt where it is there) and attention by shape, tokens/s of 1.5B and 7B;
#       GOPRM_GPU_KERNELS=sm80 takes those kernels on Hopper too
# GOPRM_GPU=stand-in GOPRM_CUDA_DRIVER=LIBRARY takes the emulator for a GPU, at sizes that it can manage: to see them run.
set -euo pipefail
cd "$(dirname "$0")/.."
CGO_ENABLED=0 go test -c -trimpath -o bin/gpu ./cuda
echo "bin/gpu: $(du -h bin/gpu | cut -f1)"
