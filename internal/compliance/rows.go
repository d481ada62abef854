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

func rowCases() []kase {
	var all []kase
	add := func(name string, build func(m *maker) *call) { all = append(all, kase{name, build}) }
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
		add(name, func(m *maker) *call {
			x, w := m.perRow(1, tokens, k), m.fixed(m.param(), 1, k)
			return m.byToken(&call{op: "rmsnorm", attr: ops.RMSNorm{Eps: rmsEps}, in: []value{x, w}, out: m.result(tokens+m.spare, k), want: func() []float64 {
				r := eachRMS(x, tokens, k)
				return outer(tokens+m.spare, tokens, k, func(t, j int) float64 { return x.floats[t*k+j] * w.floats[j] * r[t] })
			}}, tokens, true)
		})
		add(name, func(m *maker) *call {
			x, w, dy := m.perRow(1, tokens, k), m.fixed(m.param(), 1, k), m.perRow(1, tokens, k)
			return m.byToken(&call{op: "rmsnorm_dx", attr: ops.RMSNorm{Eps: rmsEps}, in: []value{x, w, dy}, out: m.result(tokens+m.spare, k), want: func() []float64 {
				r, mean := eachRMS(x, tokens, k), make([]float64, tokens)
				for i := range tokens * k {
					mean[i/k] += x.floats[i] * w.floats[i%k] * dy.floats[i] / float64(k)
				}
				return outer(tokens+m.spare, tokens, k, func(t, j int) float64 {
					return r[t]*w.floats[j]*dy.floats[t*k+j] - x.floats[t*k+j]*r[t]*r[t]*r[t]*mean[t]
				})
			}}, tokens, true)
		})
		add(name, func(m *maker) *call {
			x, dy := m.perRow(1, tokens, k), m.perRow(1/math.Sqrt(float64(tokens)), tokens, k)
			return m.byToken(&call{op: "rmsnorm_dw", attr: ops.RMSNorm{Eps: rmsEps}, in: []value{x, dy}, out: m.paramResult(k), want: func() []float64 {
				y, r := make([]float64, k), eachRMS(x, tokens, k)
				for i := range tokens * k {
					y[i%k] += dy.floats[i] * x.floats[i] * r[i/k]
				}
				return y
			}}, tokens, false)
		})
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
		for _, factor := range []float64{1, -0.37} {
			add(fmt.Sprintf("%s/%g", name, factor), func(m *maker) *call {
				a, b, f := m.perRow(1, tokens, k), m.perRow(1, tokens, k), round(factor, m.param())
				return m.byToken(&call{op: "add", attr: engine.AddAttr{Scale: factor}, inPlace: true, in: []value{a, b}, out: m.result(tokens+m.spare, k), want: func() []float64 {
					return outer(tokens+m.spare, tokens, k, func(t, j int) float64 { return a.floats[t*k+j] + f*b.floats[t*k+j] })
				}}, tokens, true)
			})
		}
		add(name, func(m *maker) *call {
			a, f := m.perRow(1, tokens, k), round(-0.37, m.param())
			return m.byToken(&call{op: "scale", attr: engine.AddAttr{Scale: -0.37}, in: []value{a}, out: m.result(tokens+m.spare, k), want: func() []float64 {
				return outer(tokens+m.spare, tokens, k, func(t, j int) float64 { return f * a.floats[t*k+j] })
			}}, tokens, true)
		})
	}
	for _, shape := range [][]int{{}, {1}, {7}, {2, 3, 5}} { // gorgonia's own sums of gradients
		add(fmt.Sprintf("fixed%v", shape), func(m *maker) *call {
			a, b := m.fixed(m.dtype, 1, shape...), m.fixed(m.dtype, 1, shape...)
			return &call{op: "add", attr: engine.AddAttr{Scale: 1}, rows: engine.Fixed, inPlace: true, live: m.counts(0, 0, 0), in: []value{a, b}, out: m.result(shape...), want: func() []float64 {
				return outer(1, 1, len(a.floats), func(_, i int) float64 { return a.floats[i] + b.floats[i] })
			}}
		})
	}
	for _, d := range []int{2, 16, 32, 64, 80, 128} {
		for _, inverse := range []bool{false, true} {
			add(fmt.Sprintf("%d/%v", d, inverse), func(m *maker) *call { return m.rope(19, 3, d, inverse) })
		}
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

// eachRMS is 1/√(mean(x²)+eps) of each live row.
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
	attr := ops.RoPE{HeadDim: d, Theta: 1e6, Inverse: inverse}
	x, positions := m.perRow(1, tokens, heads*d), m.ids(tokens, 9000)
	positions.ints[0] = 0
	return m.byToken(&call{op: "rope", attr: attr, inPlace: true, in: []value{x, positions}, out: m.result(tokens+m.spare, heads*d), want: func() []float64 {
		y := slices.Repeat([]float64{math.NaN()}, (tokens+m.spare)*heads*d)
		for t := range tokens {
			for h := range heads {
				for i := range d / 2 {
					angle := float64(positions.ints[t]) / math.Pow(1e6, float64(2*i)/float64(d))
					if inverse {
						angle = -angle
					}
					at := (t*heads+h)*d + i
					u, v := x.floats[at], x.floats[at+d/2]
					y[at], y[at+d/2] = u*math.Cos(angle)-v*math.Sin(angle), v*math.Cos(angle)+u*math.Sin(angle)
				}
			}
		}
		return y
	}}, tokens, true)
}
