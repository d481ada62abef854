// Command rows generates the kernels that treat elements one by one or sum them along a row.
package main

import (
	"math"

	"github.com/goprm/goprm/internal/cpu/_gen/vector"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The row kernels are bound by memory: every set uses those of AVX2.
var constants = vector.NewConstants(vector.ParseSet(), "rowConstants")

func main() {
	ConstraintExpr("amd64,!noasm")
	elementwise("vecExp", "out[i] = e^x[i], within 2 ulp", []string{"out"}, []string{"x"}, nil, func(in, _ []reg.VecVirtual) []reg.VecVirtual {
		vector.Exp(constants, in[0])
		return in[:1]
	})
	elementwise("vecAdd", "out[i] = x[i] + s·y[i], rounded after each", []string{"out"}, []string{"x", "y"}, []string{"s"},
		func(in, s []reg.VecVirtual) []reg.VecVirtual {
			VMULPS(s[0], in[1], in[1])
			VADDPS(in[1], in[0], in[0])
			return in[:1]
		})
	elementwise("vecScale", "out[i] = s·x[i]", []string{"out"}, []string{"x"}, []string{"s"}, func(in, s []reg.VecVirtual) []reg.VecVirtual {
		VMULPS(s[0], in[0], in[0])
		return in[:1]
	})
	elementwise("vecNorm", "out[i] = (x[i]·s)·w[i]", []string{"out"}, []string{"x", "w"}, []string{"s"},
		func(in, s []reg.VecVirtual) []reg.VecVirtual {
			VMULPS(s[0], in[0], in[0])
			VMULPS(in[1], in[0], in[0])
			return in[:1]
		})
	elementwise("vecNormDX", "out[i] = s·(w[i]·dy[i]) − r·x[i], the difference fused", []string{"out"}, []string{"x", "w", "dy"},
		[]string{"s", "r"},
		func(in, s []reg.VecVirtual) []reg.VecVirtual {
			VMULPS(in[1], in[2], in[2])
			VMULPS(s[0], in[2], in[2])
			VFNMADD231PS(s[1], in[0], in[2])
			return in[2:3]
		})
	elementwise("vecSwiGLU", "out[i] = gate[i]/(1+e^−gate[i])·up[i]", []string{"out"}, []string{"gate", "up"}, nil,
		func(in, _ []reg.VecVirtual) []reg.VecVirtual {
			e := onePlusExpMinus(in[0])
			VDIVPS(e, in[0], e)
			VMULPS(in[1], e, e)
			return []reg.VecVirtual{e}
		})
	elementwise("vecSwiGLUBackward", "dup = dy·gate·σ, dgate = dy·up·σ·(1 + gate·(1−σ)), σ = 1/(1+e^−gate), of elements i",
		[]string{"dgate", "dup"}, []string{"gate", "up", "dy"}, nil, swigluBackward)
	elementwise("vecGELU", "out[i] = x[i]·Φ(x[i])", []string{"out"}, []string{"x"}, nil, func(in, _ []reg.VecVirtual) []reg.VecVirtual {
		return []reg.VecVirtual{gelu(in[0])}
	})
	elementwise("vecGELUTanh", "out[i] = x[i]/(1+e^−2z), z = √(2/π)·(x[i] + 0.044715·x[i]³)", []string{"out"}, []string{"x"}, nil,
		func(in, _ []reg.VecVirtual) []reg.VecVirtual {
			z := YMM()
			VMULPS(in[0], in[0], z)
			VMULPS(constants.F32(float32(2*math.Sqrt(2/math.Pi)*0.044715)), z, z)
			VADDPS(constants.F32(float32(2*math.Sqrt(2/math.Pi))), z, z)
			VMULPS(in[0], z, z)
			e := onePlusExpMinus(z)
			VDIVPS(e, in[0], e)
			return []reg.VecVirtual{e}
		})
	elementwise("vecLayerNorm", "out[i] = ((x[i]−high)−low)·s·w[i] + b[i]", []string{"out"}, []string{"x", "w", "b"},
		[]string{"high", "low", "s"},
		func(in, s []reg.VecVirtual) []reg.VecVirtual {
			VSUBPS(s[0], in[0], in[0])
			VSUBPS(s[1], in[0], in[0])
			VMULPS(s[2], in[0], in[0])
			VMULPS(in[1], in[0], in[0])
			VADDPS(in[2], in[0], in[0])
			return in[:1]
		})
	adamw()
	rotate()
	sumProducts("vecSumSquares", "Σ x[i]²", []string{"x"})
	sumProducts("vecSumProducts", "Σ x[i]·y[i]", []string{"x", "y"})
	sumProducts("vecSumProducts3", "Σ x[i]·(y[i]·z[i]), the inner product rounded to float32", []string{"x", "y", "z"})
	sumCentred()
	constants.Define()
	Generate()
}

// upper is Q(z)·e^(z²/2)/t for the upper tail Q of the normal distribution and t = 1/(1+upperRate·z), as a polynomial in t
// from the highest power down: the minimax fit of _gen/rows/upper.py.
var (
	upperRate = float32(0.35)
	upper     = []float32{-0.02914584875, 0.143971362, -0.2557136845, 0.1591736482, -0.02310957572, 0.1055079325, 0.1198328765, 0.1398618697,
		0.1396214042}
)

// gelu is max(x, 0) − |x|·Q(|x|). An infinity gives NaN, as its product with a tail of 0 does.
func gelu(x reg.VecVirtual) reg.VecVirtual {
	z, t, p, e, positive := YMM(), YMM(), YMM(), YMM(), YMM()
	VANDPS(constants.Bits(1<<31-1), x, z)
	VMOVUPS(constants.F32(1), p)
	VMOVAPS(p, t)
	VFMADD231PS(constants.F32(upperRate), z, t)
	VDIVPS(t, p, t)
	VMULPS(z, z, e)
	VMULPS(constants.F32(-0.5), e, e)
	vector.Exp(constants, e)
	VMOVUPS(constants.F32(upper[0]), p)
	for _, a := range upper[1:] {
		VFMADD213PS(constants.F32(a), t, p)
	}
	VMULPS(t, p, p)
	VMULPS(e, p, p)
	VXORPS(positive, positive, positive)
	VMAXPS(x, positive, positive)
	VFNMADD231PS(p, z, positive)
	return positive
}

func onePlusExpMinus(g reg.VecVirtual) reg.VecVirtual {
	e := YMM()
	VXORPS(constants.Bits(1<<31), g, e)
	vector.Exp(constants, e)
	VADDPS(constants.F32(1), e, e)
	return e
}

func swigluBackward(in, _ []reg.VecVirtual) []reg.VecVirtual {
	g, up, dy := in[0], in[1], in[2]
	e, one, sigma, rest := onePlusExpMinus(g), YMM(), YMM(), YMM()
	VMOVUPS(constants.F32(1), one)
	VDIVPS(e, one, sigma)
	VSUBPS(sigma, one, rest)
	VMULPS(up, dy, up)
	VMULPS(g, dy, dy)
	VMULPS(sigma, dy, dy) // dup
	VFMADD213PS(one, g, rest)
	VMULPS(sigma, up, up)
	VMULPS(rest, up, up) // dg
	return []reg.VecVirtual{up, dy}
}

// elementwise emits a loop over vectors of eight.
func elementwise(name, what string, out, in, scalars []string, body func(in, scalars []reg.VecVirtual) []reg.VecVirtual) {
	signature := "func("
	for _, p := range append(append([]string{}, out...), in...) {
		signature += p + ", "
	}
	signature = signature[:len(signature)-2] + " *float32"
	for _, s := range scalars {
		signature += ", " + s + " float32"
	}
	TEXT(name, NOSPLIT, signature+", n8 int)")
	Pragma("noescape")
	Doc(name + ": " + what + ", for i < 8·n8.")
	var to, from []reg.Register
	for _, p := range out {
		to = append(to, Load(Param(p), GP64()))
	}
	for _, p := range in {
		from = append(from, Load(Param(p), GP64()))
	}
	n := Load(Param("n8"), GP64())
	var s []reg.VecVirtual
	for _, p := range scalars {
		s = append(s, vector.Broadcast(p, YMM()))
	}
	at := GP64()
	XORQ(at, at)
	vector.Loop(n, func() {
		var v []reg.VecVirtual
		for _, p := range from {
			x := YMM()
			VMOVUPS(Mem{Base: p, Index: at, Scale: 1}, x)
			v = append(v, x)
		}
		for i, x := range body(v, s) {
			VMOVUPS(x, Mem{Base: to[i], Index: at, Scale: 1})
		}
		ADDQ(Imm(32), at)
	})
	VZEROUPPER()
	RET()
}

// adamw rounds after every operation, in the portable kernel's order, so that both give the same bits.
func adamw() {
	TEXT("vecAdamW", NOSPLIT, "func(out, param, grad, m, v, hyper *float32, n8 int)")
	Pragma("noescape")
	Doc("vecAdamW updates 8·n8 parameters. hyper: keep, β₁, 1−β₁, β₂, 1−β₂, step, root, eps, gradient scale.",
		"g = scale·grad; m = β₁·m + (1−β₁)·g; v = β₂·v + (1−β₂)·g·g; out = keep·param − step·(m/(√v/root + eps)).")
	out := Load(Param("out"), GP64())
	param := Load(Param("param"), GP64())
	grad := Load(Param("grad"), GP64())
	mp := Load(Param("m"), GP64())
	vp := Load(Param("v"), GP64())
	hyper := Load(Param("hyper"), GP64())
	n := Load(Param("n8"), GP64())
	var h [9]reg.VecVirtual
	for i := range h {
		h[i] = YMM()
		VBROADCASTSS(Mem{Base: hyper, Disp: 4 * i}, h[i])
	}
	keep, beta1, rest1, beta2, rest2, step, root, eps, scale := h[0], h[1], h[2], h[3], h[4], h[5], h[6], h[7], h[8]
	at := GP64()
	XORQ(at, at)
	vector.Loop(n, func() {
		g, m, v, t := YMM(), YMM(), YMM(), YMM()
		element := func(base reg.Register) Mem { return Mem{Base: base, Index: at, Scale: 1} }
		VMULPS(element(grad), scale, g)
		VMULPS(element(mp), beta1, m)
		VMULPS(g, rest1, t)
		VADDPS(t, m, m)
		VMOVUPS(m, element(mp))
		VMULPS(element(vp), beta2, v)
		VMULPS(g, rest2, t)
		VMULPS(g, t, t)
		VADDPS(t, v, v)
		VMOVUPS(v, element(vp))
		VSQRTPS(v, v)
		VDIVPS(root, v, v)
		VADDPS(eps, v, v)
		VDIVPS(v, m, m)
		VMULPS(step, m, m)
		VMULPS(element(param), keep, t)
		VSUBPS(m, t, t)
		VMOVUPS(t, element(out))
		ADDQ(Imm(32), at)
	})
	VZEROUPPER()
	RET()
}

// rotate turns one head by its token's angles.
func rotate() {
	TEXT("vecRotate", NOSPLIT, "func(out, x, cos, sin *float32, half8 int)")
	Pragma("noescape")
	Doc("vecRotate turns the pairs (x[i], x[i+h]) for i < h = 8·half8: out[i] = x[i]·cos[i] − x[i+h]·sin[i],",
		"out[i+h] = x[i+h]·cos[i] + x[i]·sin[i], rounded after each operation. out may be x.")
	out := Load(Param("out"), GP64())
	x := Load(Param("x"), GP64())
	cos := Load(Param("cos"), GP64())
	sin := Load(Param("sin"), GP64())
	n := Load(Param("half8"), GP64())
	outHigh, xHigh, at := GP64(), GP64(), GP64()
	MOVQ(n, at)
	SHLQ(Imm(5), at)
	LEAQ(Mem{Base: out, Index: at, Scale: 1}, outHigh)
	LEAQ(Mem{Base: x, Index: at, Scale: 1}, xHigh)
	XORQ(at, at)
	vector.Loop(n, func() {
		element := func(base reg.Register) Mem { return Mem{Base: base, Index: at, Scale: 1} }
		u, v, co, si, a, b := YMM(), YMM(), YMM(), YMM(), YMM(), YMM()
		VMOVUPS(element(x), u)
		VMOVUPS(element(xHigh), v)
		VMOVUPS(element(cos), co)
		VMOVUPS(element(sin), si)
		VMULPS(co, u, a)
		VMULPS(si, v, b)
		VSUBPS(b, a, a)
		VMOVUPS(a, element(out))
		VMULPS(co, v, a)
		VMULPS(si, u, b)
		VADDPS(b, a, a)
		VMOVUPS(a, element(outHigh))
		ADDQ(Imm(32), at)
	})
	VZEROUPPER()
	RET()
}

// sumProducts sums in float64: 8 lanes, element i in lane i%8, then lanes i and i+4, then the rest upwards.
func sumProducts(name, what string, factors []string) {
	signature := "func("
	for _, f := range factors {
		signature += f + ", "
	}
	TEXT(name, NOSPLIT, signature[:len(signature)-2]+" *float32, n8 int) float64")
	Pragma("noescape")
	Doc(name + " is " + what + " over i < 8·n8, in float64.")
	var p []reg.Register
	for _, f := range factors {
		p = append(p, Load(Param(f), GP64()))
	}
	n := Load(Param("n8"), GP64())
	low, high := YMM(), YMM()
	VXORPD(low, low, low)
	VXORPD(high, high, high)
	at := GP64()
	XORQ(at, at)
	vector.Loop(n, func() {
		for half, acc := range []reg.VecVirtual{low, high} {
			element := func(base reg.Register) Mem { return Mem{Base: base, Index: at, Scale: 1, Disp: 16 * half} }
			x := YMM()
			VCVTPS2PD(element(p[0]), x)
			if len(p) == 1 {
				VFMADD231PD(x, x, acc)
				continue
			}
			t, y := XMM(), YMM()
			if len(p) == 2 {
				VCVTPS2PD(element(p[1]), y)
				VFMADD231PD(y, x, acc)
				continue
			}
			VMOVUPS(element(p[1]), t)
			VMULPS(element(p[2]), t, t)
			VCVTPS2PD(t, y)
			VFMADD231PD(y, x, acc)
		}
		ADDQ(Imm(32), at)
	})
	returnSum(low, high)
}

// returnSum adds the lanes: i and i+4, then the rest upwards.
func returnSum(low, high reg.VecVirtual) {
	VADDPD(high, low, low)
	upper, t := XMM(), XMM()
	VEXTRACTF128(Imm(1), low, upper)
	VADDPD(upper, low.AsX(), t)
	VPERMILPD(Imm(1), t, upper)
	VADDSD(upper, t, t)
	Store(t, ReturnIndex(0))
	VZEROUPPER()
	RET()
}

// sumCentred emits the two sums of a variance, in float64, in the lanes of sumProducts.
func sumCentred() {
	for _, square := range []bool{false, true} {
		name, signature, what := "vecSum", "func(x *float32, n8 int) float64", "Σ x[i]"
		if square {
			name, signature, what = "vecSumCentred", "func(x *float32, centre float64, n8 int) float64", "Σ (x[i]−centre)²"
		}
		TEXT(name, NOSPLIT, signature)
		Pragma("noescape")
		Doc(name + " is " + what + " over i < 8·n8, in float64.")
		x := Load(Param("x"), GP64())
		centre := YMM()
		if square {
			p, err := Param("centre").Resolve()
			if err != nil {
				panic(err)
			}
			VBROADCASTSD(p.Addr, centre)
		}
		n := Load(Param("n8"), GP64())
		low, high, v := YMM(), YMM(), YMM()
		VXORPD(low, low, low)
		VXORPD(high, high, high)
		vector.Loop(n, func() {
			for half, acc := range []reg.VecVirtual{low, high} {
				VCVTPS2PD(Mem{Base: x, Disp: 16 * half}, v)
				if square {
					VSUBPD(centre, v, v)
					VFMADD231PD(v, v, acc)
				} else {
					VADDPD(v, acc, acc)
				}
			}
			ADDQ(Imm(32), x)
		})
		returnSum(low, high)
	}
}
