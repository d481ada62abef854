//go:build linux && (amd64 || arm64) && !nocuda

// Command emulator builds the emulated GPU and prints where its library is, so that a program can be run on it:
//
//	GOPRM_CUDA_DRIVER=$(go run ./cuda/internal/tools/emulator) bin/prm parity --device cuda:0 --dtype bf16 DIR
package main

import (
	"fmt"
	"os"

	"github.com/goprm/goprm/cuda/internal/emulator"
)

func main() {
	path, err := emulator.Library()
	if err == nil {
		_, err = fmt.Println(path)
	}
	if err != nil {
		_, _ = fmt.Fprintf(os.Stderr, "emulator: %v\n", err)
		os.Exit(1)
	}
}
