//go:build !noasm

package cpu

import "golang.org/x/sys/cpu"

//go:generate _gen/generate.sh

// avx2Available tells whether processor and operating system run AVX2 and FMA code.
func avx2Available() bool { return cpu.X86.HasAVX2 && cpu.X86.HasFMA }

// avx2Kernels makes the table of the AVX2 kernels, with scratch memory of its own. They compute in f32; calls in other
// dtypes or shapes are declined.
func avx2Kernels() map[string]compile {
	s := &scratch{}
	return map[string]compile{
		"linear":    s.linear,
		"linear_dx": s.linearDX,
		"linear_dw": s.linearDW,

		"attention":          s.attentionForward,
		"attention_backward": s.attentionBackward,

		"add":             avx2Add,
		"scale":           avx2Scale,
		"swiglu":          avx2SwiGLU,
		"swiglu_backward": avx2SwiGLUBackward,
		"rmsnorm":         avx2RMSNorm,
		"rmsnorm_dx":      avx2RMSNormDX,
		"layernorm":       avx2LayerNorm,
		"gelu":            avx2GELU,
		"rope":            avx2RoPE,
		"adamw":           avx2AdamW,
		"sum_squares":     avx2SumSquares,
	}
}
