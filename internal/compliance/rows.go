package compliance

import (
	"fmt"
	"math"
	"slices"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
)

// rowSizes are tokens and features; the last has more rows than one task takes.
var rowSizes = [][2]int{{1, 1}, {3, 17}, {17, 64}, {65, 130}, {5, 1000}, {150, 896}}

func rowCases() []testCase {
	var all []testCase
	add := func(name string, build func(m *maker) *call) { all = append(all, testCase{name, build}) }
	for _, s := range rowSizes {
		tokens, k := s[0], s[1]
		name := fmt.Sprintf("%dx%d", tokens, k)
		add(name, func(m *maker) *call { return m.embedding(tokens, k, 29, m.fixed(m.param(), 1, 29, k)) })
		add(name+"/bf16", func(m *maker) *call { return m.embedding(tokens, k, 29, m.fixed(engine.BFloat16, 1, 29, k)) })
		add(name, func(m *maker) *call {
			dy, ids := m.perRow(1/math.Sqrt(float64(tokens)), tokens, k), m.ids(tokens, 29)
			return m.byToken(&call{op: "embedding_dtable", in: []value{dy, ids}, out: m.paramResult(29, k), want: func() []float64 {
				y := make([]float64, 29*k)
				for t := range tokens {
					for j := range k {
						y[int(ids.ints[t])*k+j] += dy.floats[t*k+j]
					}
				}
				return y
			}}, tokens, false)
		})
		all = append(all, normCases(name, tokens, 1, k)...)
		add(name, func(m *maker) *call {
			gate, up := m.perRow(2, tokens, k), m.perRow(1, tokens, k)
			copy(gate.floats, []float64{-200, 200}[:min(2, k)]) // where the exponential leaves f32
			return m.byToken(&call{op: "swiglu", in: []value{gate, up}, out: m.result(tokens+m.spare, k), want: func() []float64 {
				return outer(tokens+m.spare, tokens, k, func(t, j int) float64 {
					g := gate.floats[t*k+j]
					return g / (1 + math.Exp(-g)) * up.floats[t*k+j]
				})
			}}, tokens, true)
		})
		add(name, func(m *maker) *call {
			gate, up, dy := m.perRow(2, tokens, k), m.perRow(1, tokens, k), m.perRow(1, tokens, k)
			half := (tokens + m.spare) * k
			return m.byToken(&call{op: "swiglu_backward", in: []value{gate, up, dy}, out: m.result(2 * half), want: func() []float64 {
				y := unspecified(2 * half)
				for i := range tokens * k {
					g, d := gate.floats[i], dy.floats[i]
					s := 1 / (1 + math.Exp(-g))
					y[i], y[half+i] = d*up.floats[i]*(s+g*s*(1-s)), d*g*s
				}
				return y
			}}, tokens, false)
		})
		add(name, func(m *maker) *call { return m.dropout(tokens, k) })
		for _, factor := range []float64{1, -0.37} {
			add(fmt.Sprintf("%s/%g", name, factor), func(m *maker) *call {
				a, b, f := m.perRow(1, tokens, k), m.perRow(1, tokens, k), round(factor, m.param())
				return m.byToken(&call{op: "add", attr: engine.AddAttr{Scale: factor}, inPlace: true, in: []value{a, b},
					out: m.result(tokens+m.spare, k), want: func() []float64 {
						return outer(tokens+m.spare, tokens, k, func(t, j int) float64 { return a.floats[t*k+j] + f*b.floats[t*k+j] })
					}}, tokens, true)
			})
		}
		add(name, func(m *maker) *call {
			a, f := m.perRow(1, tokens, k), round(-0.37, m.param())
			return m.byToken(&call{op: "scale", attr: engine.AddAttr{Scale: -0.37}, in: []value{a}, out: m.result(tokens+m.spare, k),
				want: func() []float64 {
					return outer(tokens+m.spare, tokens, k, func(t, j int) float64 { return f * a.floats[t*k+j] })
				}}, tokens, true)
		})
	}
	for _, s := range [][3]int{{1, 2, 1}, {3, 5, 17}, {17, 4, 64}, {65, 2, 128}, {150, 7, 128}} { // the last: more rows than one task takes
		all = append(all, normCases(fmt.Sprintf("%dx%dx%d", s[0], s[1], s[2]), s[0], s[1], s[2])...)
	}
	for _, shape := range [][]int{{}, {1}, {7}, {2, 3, 5}} { // gorgonia's own sums of gradients
		add(fmt.Sprintf("fixed%v", shape), func(m *maker) *call {
			a, b := m.fixed(m.dtype, 1, shape...), m.fixed(m.dtype, 1, shape...)
			return &call{op: "add", attr: engine.AddAttr{Scale: 1}, rows: engine.Fixed, inPlace: true, live: m.counts(0, 0, 0), in: []value{a, b},
				out: m.result(shape...), want: func() []float64 {
					return outer(1, 1, len(a.floats), func(_, i int) float64 { return a.floats[i] + b.floats[i] })
				}}
		})
	}
	for _, d := range []int{2, 16, 32, 64, 80, 128} {
		for _, inverse := range []bool{false, true} {
			add(fmt.Sprintf("%d/%v", d, inverse), func(m *maker) *call { return m.rope(19, 3, d, inverse) })
		}
	}
	for _, s := range ropeScalings {
		add(s.scaling.Kind, func(m *maker) *call {
			return m.scaledRope(19, 3, 16, false, s.scaling, s.scale, max(1, s.scaling.Attention))
		})
	}
	return all
}

// byToken completes a call whose rows are tokens.
func (m *maker) byToken(c *call, tokens int, separable bool) *call {
	c.rows, c.live = engine.Tokens, m.counts(tokens, 1, 1)
	if separable {
		c.separable = tokens
	}
	return c
}

func (m *maker) embedding(tokens, k, vocabulary int, table value) *call {
	ids := m.ids(tokens, vocabulary)
	return m.byToken(&call{op: "embedding", in: []value{table, ids}, out: m.result(tokens+m.spare, k), want: func() []float64 {
		return outer(tokens+m.spare, tokens, k, func(t, j int) float64 { return table.floats[int(ids.ints[t])*k+j] })
	}}, tokens, true)
}

// rmsEps is large, so that leaving it out shows.
const rmsEps = 1e-3

// normCases are rmsnorm and its gradients on rows of heads of k features.
func normCases(name string, tokens, heads, k int) []testCase {
	attr, width := ops.RMSNorm{Eps: rmsEps}, heads*k
	return []testCase{
		{name, func(m *maker) *call {
			x, w := m.perRow(1, tokens, width), m.fixed(m.param(), 1, k)
			return m.byToken(&call{op: "rmsnorm", attr: attr, in: []value{x, w}, out: m.result(tokens+m.spare, width), want: func() []float64 {
				r := eachRMS(x, tokens*heads, k)
				return outer(tokens+m.spare, tokens, width, func(t, j int) float64 {
					return x.floats[t*width+j] * w.floats[j%k] * r[t*heads+j/k]
				})
			}}, tokens, true)
		}},
		{name, func(m *maker) *call {
			x, w, dy := m.perRow(1, tokens, width), m.fixed(m.param(), 1, k), m.perRow(1, tokens, width)
			return m.byToken(&call{op: "rmsnorm_dx", attr: attr, in: []value{x, w, dy}, out: m.result(tokens+m.spare, width),
				want: func() []float64 {
					r, mean := eachRMS(x, tokens*heads, k), make([]float64, tokens*heads)
					for i := range tokens * width {
						mean[i/k] += x.floats[i] * w.floats[i%k] * dy.floats[i] / float64(k)
					}
					return outer(tokens+m.spare, tokens, width, func(t, j int) float64 {
						i, h := t*width+j, t*heads+j/k
						return r[h]*w.floats[j%k]*dy.floats[i] - x.floats[i]*r[h]*r[h]*r[h]*mean[h]
					})
				}}, tokens, true)
		}},
		{name, func(m *maker) *call {
			x, dy := m.perRow(1, tokens, width), m.perRow(1/math.Sqrt(float64(tokens*heads)), tokens, width)
			return m.byToken(&call{op: "rmsnorm_dw", attr: attr, in: []value{x, dy}, out: m.paramResult(k), want: func() []float64 {
				y, r := make([]float64, k), eachRMS(x, tokens*heads, k)
				for i := range tokens * width {
					y[i%k] += dy.floats[i] * x.floats[i] * r[i/k]
				}
				return y
			}}, tokens, false)
		}},
	}
}

// eachRMS is 1/√(mean(x²)+eps) of each live row, or head.
func eachRMS(x value, rows, k int) []float64 {
	r := make([]float64, rows)
	for t := range r {
		for _, v := range x.floats[t*k : (t+1)*k] {
			r[t] += v * v
		}
		r[t] = 1 / math.Sqrt(r[t]/float64(k)+rmsEps)
	}
	return r
}

func (m *maker) rope(tokens, heads, d int, inverse bool) *call {
	return m.scaledRope(tokens, heads, d, inverse, ops.RoPEScaling{}, func(_ int, f float64) float64 { return f }, 1)
}

// ropeScalings are the kinds of scaling, each with what it makes of the frequency of pair i of a head of 16 with θ = 1e6, written
// out by hand: for llama3, 1024 positions make 162.97 turns of the first pair, and 10^(3/4) times fewer from pair to pair; yarn passes
// over from pair ⌊16·ln(1024/64π)/(2·ln 1e6)⌋ = 0 to ⌈16·ln(1024/2π)/(2·ln 1e6)⌉ = 3.
var ropeScalings = []struct {
	scaling ops.RoPEScaling
	scale   func(i int, f float64) float64
}{
	{ops.RoPEScaling{Kind: "linear", Factor: 4}, func(_ int, f float64) float64 { return f / 4 }},
	{ops.RoPEScaling{Kind: "dynamic", Factor: 4}, func(_ int, f float64) float64 { return f }},
	{ops.RoPEScaling{Kind: "llama3", Factor: 8, Original: 1024, LowFreq: 1, HighFreq: 10}, func(i int, f float64) float64 {
		switch i {
		case 0, 1:
			return f
		case 2:
			kept := (5.153711319499473 - 1) / 9
			return kept*f + (1-kept)*f/8
		}
		return f / 8
	}},
	{ops.RoPEScaling{Kind: "yarn", Factor: 4, Original: 1024, BetaFast: 32, BetaSlow: 1, Attention: 1.25}, func(i int, f float64) float64 {
		stretched := min(1, float64(i)/3)
		return stretched*f/4 + (1-stretched)*f
	}},
}

func (m *maker) scaledRope(tokens, heads, d int, inverse bool, scaling ops.RoPEScaling, scale func(i int, f float64) float64,
	amplitude float64) *call {
	attr := ops.RoPE{HeadDim: d, Theta: 1e6, Scaling: scaling, Inverse: inverse}
	x, positions := m.perRow(1, tokens, heads*d), m.ids(tokens, 9000)
	positions.ints[0] = 0
	return m.byToken(&call{op: "rope", attr: attr, inPlace: true, in: []value{x, positions}, out: m.result(tokens+m.spare, heads*d),
		want: func() []float64 {
			y := slices.Repeat([]float64{math.NaN()}, (tokens+m.spare)*heads*d)
			for t := range tokens {
				for h := range heads {
					for i := range d / 2 {
						angle := float64(positions.ints[t]) * scale(i, math.Pow(1e6, -float64(2*i)/float64(d)))
						if inverse {
							angle = -angle
						}
						at := (t*heads+h)*d + i
						u, v := x.floats[at], x.floats[at+d/2]
						cos, sin := amplitude*math.Cos(angle), amplitude*math.Sin(angle)
						y[at], y[at+d/2] = u*cos-v*sin, v*cos+u*sin
					}
				}
			}
			return y
		}}, tokens, true)
}

// rowKeys draws a 64-bit key for each row; the second row's is 0.
func (m *maker) rowKeys(rows int) value {
	v := value{dtype: engine.I32, shape: []int{rows + m.spare, 2}, perRow: true}
	for range 2 * rows {
		v.ints = append(v.ints, int32(m.Uint32()))
	}
	if rows > 1 {
		v.ints[2], v.ints[3] = 0, 0
	}
	for range 2 * m.spare {
		v.ints = append(v.ints, -1)
	}
	return v
}

func (m *maker) dropout(tokens, k int) *call {
	x, keys, attr := m.perRow(1, tokens, k), m.rowKeys(tokens), ops.Dropout{P: 0.3, Salt: 5}
	// splitmix64's steps (Steele, Lea, Flood 2014), written out again
	mix := func(z uint64) uint64 {
		z += 0x9e3779b97f4a7c15
		z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9
		z = (z ^ (z >> 27)) * 0x94d049bb133111eb
		return z ^ (z >> 31)
	}
	return m.byToken(&call{op: "dropout", attr: attr, inPlace: true, in: []value{x, keys}, out: m.result(tokens+m.spare, k),
		want: func() []float64 {
			return outer(tokens+m.spare, tokens, k, func(t, j int) float64 {
				key := uint64(uint32(keys.ints[2*t])) | uint64(uint32(keys.ints[2*t+1]))<<32
				switch u := float64(mix(mix(key^attr.Salt)+uint64(j))>>32) / (1 << 32); {
				case key == 0:
					return x.floats[t*k+j]
				case u < attr.P:
					return 0
				}
				return x.floats[t*k+j] / (1 - attr.P)
			})
		}}, tokens, true)
}
