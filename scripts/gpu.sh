#!/usr/bin/env bash
# Builds bin/gpu: one program with the checks and benchmarks of a real GPU. Carry it to a machine with an NVIDIA driver:
#   ./gpu -test.run TestGPU -test.v                           every op against float64, training against the CPU
#   ./gpu -test.run none -test.bench GPU -test.benchtime 2s   TFLOP/s of products and attention by shape
set -euo pipefail
cd "$(dirname "$0")/.."
CGO_ENABLED=0 go test -c -trimpath -o bin/gpu ./cuda
echo "bin/gpu: $(du -h bin/gpu | cut -f1)"
