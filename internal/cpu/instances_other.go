//go:build !amd64 || noasm

package cpu

// instances: this program has none.
func instances() []kernels { return nil }
