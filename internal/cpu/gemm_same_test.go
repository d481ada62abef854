//go:build linux && amd64 && !noasm

package cpu

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/goprm/goprm/internal/engine"
	"github.com/stretchr/testify/require"
)

// sameFirst is a product of x with weights of its own, in int8, bf16 or f32.
func sameFirst(r *rand.Rand, dtype string, x *engine.Tensor, n int) engine.Call {
	k := x.Shape()[1]
	switch dtype {
	case "int8":
		c := int8Call(r, 1, k, n)
		c.In[0], c.Out = x, engine.FromDType(engine.F32, x.Shape()[0], n)
		return c
	case "bf16":
		return engine.Call{Op: "linear", In: []*engine.Tensor{x, roundedTensor(normal(r, n*k), n, k)}, Rows: engine.Tokens,
			Out: engine.FromDType(engine.BFloat16, x.Shape()[0], n), Live: engine.FromSlice([]int32{-1, -1, -1}, int(engine.NumDims))}
	}
	return engine.Call{Op: "linear", In: []*engine.Tensor{x, engine.FromSlice(normal(r, n*k), n, k)}, Rows: engine.Tokens,
		Out: engine.FromDType(engine.F32, x.Shape()[0], n), Live: engine.FromSlice([]int32{-1, -1, -1}, int(engine.NumDims))}
}

func roundedTensor(v []float32, shape ...int) *engine.Tensor {
	t := engine.FromDType(engine.BFloat16, shape...)
	roundPortably(elementsBF16(t), v)
	return t
}

// Products that share their left operand have the bits of products that do not, whatever runs in between: others with operands of
// their own, of the same shape or not, fewer live rows. That the operand was not prepared again shows when it is changed behind their back.
func TestProductsOfOneLeftOperand(t *testing.T) {
	for _, kernels := range []string{"avx2", "avx512", "avx512bf16"} {
		for _, dtype := range []string{"f32", "int8", "bf16"} {
			if dtype == "bf16" != (kernels == "avx512bf16") {
				continue
			}
			t.Run(kernels+" "+dtype, func(t *testing.T) {
				need(t, kernels)
				for round := range 6 {
					r := rand.New(rand.NewPCG(uint64(round), 9))
					rows, k := 2+r.IntN(300), 1+r.IntN(900)
					draw := func(k int) *engine.Tensor {
						if dtype == "bf16" {
							return roundedTensor(normal(r, rows*k), rows, k)
						}
						return engine.FromSlice(normal(r, rows*k), rows, k)
					}
					x, y, z := draw(k), draw(k), draw(k+1)
					var calls []engine.Call
					for i, left := range []*engine.Tensor{x, x, x, y, x, z, x, x, y, x} {
						c := sameFirst(r, dtype, left, 1+r.IntN(200))
						c.SameFirst = i > 0 && left == x || i == 8
						calls = append(calls, c)
					}
					calls[2].Live, calls[7].Live = engine.FromSlice([]int32{int32(rows / 2), 1, 1}, int(engine.NumDims)), calls[2].Live
					b, other := backendWith(t, kernels, 1+round%2), backendWith(t, kernels, 2)
					for i, c := range calls {
						launchAll(t, b, c)
						got := slices.Clone(c.Out.Bytes())
						c.SameFirst = false
						launchAll(t, other, c)
						require.Equal(t, c.Out.Bytes(), got, fmt.Sprint("call ", i))
					}
					before := slices.Clone(calls[9].Out.Bytes())
					clear(x.Bytes())
					launchAll(t, b, calls[9])
					require.Equal(t, before, calls[9].Out.Bytes(), "x was prepared again")
				}
			})
		}
	}
}

// An operand that is too large to be packed at a time is packed by every product.
func TestPartsOfAnOperandAreNoOperand(t *testing.T) {
	need(t, "avx2")
	b, r := backendWith(t, "avx2", 2), rand.New(rand.NewPCG(3, 9))
	k := 2*kSpan + 3
	x := engine.FromSlice(normal(r, 7*k), 7, k)
	c := sameFirst(r, "f32", x, 5)
	c.SameFirst = true
	launchAll(t, b, c)
	want := slices.Clone(c.Out.Bytes())
	launchAll(t, b, c)
	require.Equal(t, want, c.Out.Bytes())
	launchAll(t, backendWith(t, "avx2", 1), c)
	require.Equal(t, want, c.Out.Bytes())
}
