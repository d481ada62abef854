//go:build !noasm

package cpu

func avx2Available() bool { return false }

func avx2Kernels() map[string]compile { return nil }
