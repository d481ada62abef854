//go:build !amd64 || noasm

package cpu

// instances: this program has none.
func instances() []kernels { return nil }

// PackedBytes is what a product packs of its left operand at a time: nothing, since the portable kernels read operands where they lie.
func PackedBytes(_, _ int) int { return 0 }
