package compliance

import (
	"fmt"
	"math"

	"github.com/goprm/goprm/internal/engine"
	"gorgonia.org/tensor"
)

// sizes of the products: tokens, terms, results. The last six are small ones that still take tiles of 64 and of 128, of each form.
var productSizes = [][3]int{{1, 1, 1}, {1, 300, 17}, {3, 17, 65}, {5, 64, 16}, {17, 65, 3}, {65, 3, 49}, {67, 130, 37}, {6, 515, 18},
	{130, 257, 33}, {140, 5, 10}, {70, 72, 80},
	{65, 3, 70}, {70, 65, 3}, {3, 66, 70}, {130, 3, 65}, {130, 65, 3}, {3, 65, 129}}

func productCases() []testCase { return products(productSizes) }

// alignedProducts have rows of whole 16 bytes, all but the results of one: sizes about the tiles of large kernels and their rings of
// stages.
func alignedProducts() []testCase {
	return products([][3]int{
		{1, 8, 8}, {1, 72, 72}, {20, 72, 70}, {3, 128, 88}, {12, 72, 104}, {130, 72, 80}, {2, 704, 80}, {3, 320, 520}, {130, 264, 72},
		{70, 16, 264}, {130, 72, 264}, {130, 40, 512}, {130, 512, 40},
	})
}

func products(sizes [][3]int) []testCase {
	var all []testCase
	for _, s := range sizes {
		tokens, k, n := s[0], s[1], s[2]
		name := fmt.Sprintf("%dx%dx%d", tokens, k, n)
		for _, bf16 := range []bool{false, true} {
			weight := func(m *maker) tensor.Dtype {
				if bf16 {
					return engine.BFloat16
				}
				return m.param()
			}
			suffix := map[bool]string{true: "/bf16"}[bf16]
			all = append(all, testCase{name + suffix, func(m *maker) *call {
				x, w := m.perRow(1, tokens, k), m.fixed(weight(m), 1/math.Sqrt(float64(k)), n, k)
				return m.linear(x, w, tokens)
			}}, testCase{name + suffix, func(m *maker) *call {
				dy, w := m.perRow(1, tokens, n), m.fixed(weight(m), 1/math.Sqrt(float64(n)), n, k)
				return m.linearDX(dy, w, tokens)
			}})
		}
		all = append(all, fused(name, tokens, k, n)...)
		all = append(all, testCase{name + "/bias", func(m *maker) *call {
			return m.biased(m.linear(m.perRow(1, tokens, k), m.fixed(m.dtype, 1/math.Sqrt(float64(k)), n, k), tokens))
		}}, testCase{name, func(m *maker) *call {
			dy, x := m.perRow(1/math.Sqrt(float64(tokens)), tokens, n), m.perRow(1, tokens, k)
			return &call{op: "linear_dw", rows: engine.Tokens, live: m.counts(tokens, 1, 1), in: []value{dy, x}, out: m.paramResult(n, k),
				want: func() []float64 {
					return outer(n, n, k, func(i, j int) (s float64) {
						for t := range tokens {
							s += dy.floats[t*n+i] * x.floats[t*k+j]
						}
						return s
					})
				}}
		}}, testCase{name, func(m *maker) *call {
			dy := m.perRow(1/math.Sqrt(float64(tokens)), tokens, n)
			return &call{op: "linear_db", rows: engine.Tokens, live: m.counts(tokens, 1, 1), in: []value{dy}, out: m.paramResult(n),
				want: func() []float64 {
					return outer(1, 1, n, func(_, i int) (s float64) {
						for t := range tokens {
							s += dy.floats[t*n+i]
						}
						return s
					})
				}}
		}})
	}
	return all
}

// fused are products with what is done to them, whose bits are those of the single ops.
func fused(name string, tokens, k, n int) []testCase {
	added := func(name string, factor float64, product func(m *maker) *call) testCase {
		return testCase{fmt.Sprintf("%s/%g", name, factor), func(m *maker) *call {
			p := product(m)
			a, c, attr := m.perRow(1, tokens, p.out.shape[1]), *p, engine.AddAttr{Scale: factor}
			c.op, c.attr, c.inPlace, c.in = p.op+"_add", attr, true, append([]value{a}, p.in...)
			c.single = func(run func(*call) value) *call {
				return &call{op: "add", attr: attr, rows: p.rows, live: p.live, in: []value{a, run(p)}, out: p.out}
			}
			c.want = func() []float64 {
				y := p.want()
				for i := range y {
					y[i] = a.floats[i] + factor*y[i]
				}
				return y
			}
			return &c
		}}
	}
	linear := func(m *maker) *call {
		return m.linear(m.perRow(1, tokens, k), m.fixed(m.dtype, 1/math.Sqrt(float64(k)), n, k), tokens)
	}
	return []testCase{
		added(name, 1, linear),
		added(name+"/bias", -0.37, func(m *maker) *call { return m.biased(linear(m)) }),
		added(name, 2, func(m *maker) *call {
			return m.linearDX(m.perRow(1, tokens, n), m.fixed(m.param(), 1/math.Sqrt(float64(n)), n, k), tokens)
		}),
		{name, func(m *maker) *call { return m.gated(tokens, k, n) }},
	}
}

// gated is a linear_swiglu; in bf16 one weight is stored as f32.
func (m *maker) gated(tokens, k, n int) *call {
	x := m.perRow(1, tokens, k)
	gate := m.linear(x, m.fixed(m.param(), 2/math.Sqrt(float64(k)), n, k), tokens)
	up := m.linear(x, m.fixed(m.dtype, 1/math.Sqrt(float64(k)), n, k), tokens)
	c := *gate
	c.op, c.in = "linear_swiglu", append(gate.in[:2:2], up.in[1])
	c.single = func(run func(*call) value) *call {
		return &call{op: "swiglu", rows: c.rows, live: c.live, in: []value{run(gate), run(up)}, out: c.out}
	}
	c.want = func() []float64 {
		y, u := gate.want(), up.want()
		for i, g := range y {
			y[i] = g / (1 + math.Exp(-g)) * u[i]
		}
		return y
	}
	return &c
}

// biased adds a bias to the call of a product.
func (m *maker) biased(c *call) *call {
	bias := m.fixed(m.param(), 1, c.out.shape[1])
	product := c.want
	c.in, c.want = append(c.in, bias), func() []float64 {
		y := product()
		for i := range y {
			y[i] += bias.floats[i%len(bias.floats)]
		}
		return y
	}
	return c
}

func (m *maker) linear(x, w value, tokens int) *call {
	n, k := w.shape[0], w.shape[1]
	return m.product("linear", x, w, tokens, k, n, func(term, i int) int { return i*k + term })
}

func (m *maker) linearDX(dy, w value, tokens int) *call {
	n, k := w.shape[0], w.shape[1]
	return m.product("linear_dx", dy, w, tokens, n, k, func(term, i int) int { return term*k + i })
}

// product multiplies x [tokens, terms] with a weight; at says where its numbers lie.
func (m *maker) product(op string, x, w value, tokens, terms, results int, at func(term, i int) int) *call {
	return &call{op: op, rows: engine.Tokens, live: m.counts(tokens, 1, 1), in: []value{x, w}, out: m.result(tokens+m.spare, results),
		separable: tokens, want: func() []float64 {
			return outer(tokens+m.spare, tokens, results, func(t, i int) (s float64) {
				for j := range terms {
					s += x.floats[t*terms+j] * m.computed(w.floats[at(j, i)])
				}
				return s
			})
		}}
}

// outer fills the live rows of a matrix.
func outer(capacity, live, columns int, f func(r, c int) float64) []float64 {
	y := unspecified(capacity * columns)
	for r := range live {
		for c := range columns {
			y[r*columns+c] = f(r, c)
		}
	}
	return y
}
