//go:build !noasm

package cpu

import (
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
	"golang.org/x/sys/cpu"
)

//go:generate _gen/generate.sh

// instances are the kernels in assembly, best first.
func instances() []kernels {
	return []kernels{
		{name: "avx512bf16", needs: "AVX-512 (F, BW, DQ, VL) and AVX512_BF16", runs: runsAVX512BF16,
			table: avx512BF16Table, narrow: avx512Narrowing, pairs: true},
		{name: "avx512", needs: "AVX-512 (F, BW, DQ, VL)", runs: runsAVX512, auto: avx512IsFaster,
			table: func() map[string]compile { return tableOf(avx512Set) }},
		{name: "avx2", needs: "AVX2 and FMA", runs: runsAVX2, auto: runsAVX2, table: func() map[string]compile { return tableOf(avx2Set) }},
	}
}

func runsAVX2() bool { return cpu.X86.HasAVX2 && cpu.X86.HasFMA }

func avx512Narrowing() *narrowing {
	return &narrowing{kernels: kernelsBF16(), widen: widenBF16, round: roundBF16}
}

// avx512BF16Table has attention of f32 tensors by products of bf16 besides.
func avx512BF16Table() map[string]compile {
	table, pairs := tableOf(avx512Set), &scratch{set: avx512Pairs}
	f32 := table["attention"]
	table["attention"] = func(b *backend, c engine.Call) (engine.Launch, error) {
		if c.Attr.(ops.Attention).Pairs {
			return pairs.attentionForward(b, c)
		}
		return f32(b, c)
	}
	return table
}

func runsAVX512BF16() bool { return runsAVX512() && cpu.X86.HasAVX512BF16 }

func runsAVX512VNNI() bool { return runsAVX512() && cpu.X86.HasAVX512VNNI }

func runsAVX512() bool {
	return runsAVX2() && cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512VL
}

// tableOf is a table whose products and attention are of an instruction set, and whose row kernels, most of which are bound by
// memory, are AVX2's.
func tableOf(set *instructionSet) map[string]compile {
	s, narrow := &scratch{set: set}, &scratchInt8{set: avx2Int8}
	if set == avx512Set && runsAVX512VNNI() {
		narrow.set = avx512Int8
	}
	swiglu := avx2SwiGLU
	if set == avx512Set {
		swiglu = avx512SwiGLU
	}
	return map[string]compile{
		"linear_int8": narrow.linear,

		"linear":    s.linear,
		"linear_dx": s.linearDX,
		"linear_dw": s.linearDW,

		"linear_swiglu": s.linearSwiGLU,

		"attention":          s.attentionForward,
		"attention_backward": s.attentionBackward,

		"add":             avx2Add,
		"scale":           avx2Scale,
		"swiglu":          swiglu,
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
