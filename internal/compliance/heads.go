package compliance

import (
	"fmt"
	"math"

	"github.com/goprm/goprm/internal/engine"
)

func headCases() []testCase {
	var all []testCase
	add := func(name string, build func(m *maker) *call) { all = append(all, testCase{name, build}) }
	for _, s := range [][3]int{{1, 1, 1}, {3, 9, 17}, {17, 40, 65}, {65, 30, 130}, {2, 700, 896}} {
		reads, tokens, k := s[0], s[1], s[2]
		name := fmt.Sprintf("%dof%dx%d", reads, tokens, k)
		add(name, func(m *maker) *call {
			x, at := m.perRow(1, tokens, k), m.ids(reads, tokens)
			x.perRow = false // its rows are not the call's
			c := m.byRead(&call{op: "gather", in: []value{x, at}, out: m.paramResult(reads+m.spare, k), want: func() []float64 {
				return outer(reads+m.spare, reads, k, func(r, j int) float64 { return x.floats[int(at.ints[r])*k+j] })
			}}, reads, true)
			c.live = m.counts(tokens, 1, reads)
			return c
		})
		add(name, func(m *maker) *call {
			dy, at := m.perRowOf(m.param(), 1, reads, k), m.ids(reads, tokens)
			c := m.byRead(&call{op: "gather_dx", in: []value{dy, at}, out: m.result(tokens+m.spare, k), want: func() []float64 {
				y := unspecified((tokens + m.spare) * k)
				clear(y[:tokens*k])
				for r := range reads {
					for j := range k {
						y[int(at.ints[r])*k+j] += dy.floats[r*k+j]
					}
				}
				return y
			}}, reads, false)
			c.live = m.counts(tokens, 1, reads)
			return c
		})
	}
	for _, reads := range []int{1, 3, 17, 65, 9000} {
		name := fmt.Sprint(reads)
		elementwise := func(op string, columns int, f func(x float64) float64) {
			add(fmt.Sprintf("%dx%d", reads, columns), func(m *maker) *call {
				x := m.perRow(2, reads, columns)
				x.floats[0] = 90
				x.floats[reads*columns-1] = -90
				return m.byRead(&call{op: op, in: []value{x}, out: m.result(reads+m.spare, columns), want: func() []float64 {
					return outer(reads+m.spare, reads, columns, func(r, j int) float64 { return f(x.floats[r*columns+j]) })
				}}, reads, reads < 100)
			})
		}
		slope := func(op string, columns int, f func(y float64) float64) {
			add(fmt.Sprintf("%dx%d", reads, columns), func(m *maker) *call {
				y, dy := m.perRow(1, reads, columns), m.perRow(1, reads, columns)
				y.floats[0] = 0
				return m.byRead(&call{op: op, in: []value{y, dy}, out: m.result(reads+m.spare, columns), want: func() []float64 {
					return outer(reads+m.spare, reads, columns, func(r, j int) float64 {
						return f(y.floats[r*columns+j]) * dy.floats[r*columns+j]
					})
				}}, reads, reads < 100)
			})
		}
		for _, columns := range []int{1, 3} {
			elementwise("sigmoid", columns, sigmoid)
			elementwise("relu", columns, func(x float64) float64 { return max(x, 0) })
			slope("sigmoid_dx", columns, func(y float64) float64 { return y * (1 - y) })
			slope("relu_dx", columns, func(y float64) float64 {
				if y > 0 {
					return 1
				}
				return 0
			})
			add(fmt.Sprintf("%dx%d", reads, columns), func(m *maker) *call {
				x, column := m.perRow(1, reads, columns), m.ids(reads, columns)
				return m.byRead(&call{op: "pick", in: []value{x, column}, out: m.result(reads+m.spare, 1), want: func() []float64 {
					return outer(reads+m.spare, reads, 1, func(r, _ int) float64 { return x.floats[r*columns+int(column.ints[r])] })
				}}, reads, reads < 100)
			})
			add(fmt.Sprintf("%dx%d", reads, columns), func(m *maker) *call {
				dy, column, x := m.perRow(1, reads, 1), m.ids(reads, columns), m.perRow(1, reads, columns)
				return m.byRead(&call{op: "pick_dx", in: []value{dy, column, x}, out: m.result(reads+m.spare, columns), want: func() []float64 {
					return outer(reads+m.spare, reads, columns, func(r, j int) float64 {
						if j == int(column.ints[r]) {
							return dy.floats[r]
						}
						return 0
					})
				}}, reads, reads < 100)
			})
		}
		add(name, func(m *maker) *call {
			z := m.perRow(2, reads, 2)
			z.floats[0] = -300
			return m.byRead(&call{op: "positive_prob", in: []value{z}, out: m.result(reads+m.spare, 1), want: func() []float64 {
				return outer(reads+m.spare, reads, 1, func(r, _ int) float64 { return sigmoid(z.floats[2*r+1] - z.floats[2*r]) })
			}}, reads, reads < 100)
		})
		add(name, func(m *maker) *call {
			y, dy := m.perRow(1, reads, 1), m.perRow(1, reads, 1)
			return m.byRead(&call{op: "positive_prob_dx", in: []value{y, dy}, out: m.result(reads+m.spare, 2), want: func() []float64 {
				return outer(reads+m.spare, reads, 2, func(r, j int) float64 {
					return float64(2*j-1) * dy.floats[r] * y.floats[r] * (1 - y.floats[r])
				})
			}}, reads, reads < 100)
		})
		all = append(all, objectives(reads)...)
	}
	return all
}

// objectives are the three losses and their gradients; a term of the loss and its slope by the (difference of the) input.
func objectives(reads int) []testCase {
	entropy := func(z, target float64) float64 { return math.Log1p(math.Exp(-math.Abs(z))) + max(z, 0) - target*z }
	entropySlope := func(z, target float64) float64 { return sigmoid(z) - target }
	var all []testCase
	for _, o := range []struct {
		op, gradient string
		columns      int
		term, slope  func(z, target float64) float64
	}{
		{"squared_error", "squared_error_dy", 1, func(y, g float64) float64 { return (y - g) * (y - g) },
			func(y, g float64) float64 { return 2 * (y - g) }},
		{"bce", "bce_dz", 1, entropy, entropySlope},
		{"ce", "ce_dz", 2, entropy, entropySlope},
	} {
		inputs := func(m *maker) (in []value, z func(r int) float64) {
			x, target, weight := m.perRow(1, reads, o.columns), m.perRow(0.5, reads), m.perRow(1/float64(reads), reads)
			return []value{x, target, weight}, func(r int) float64 {
				if o.columns == 2 {
					return x.floats[2*r+1] - x.floats[2*r]
				}
				return x.floats[r]
			}
		}
		all = append(all, testCase{fmt.Sprint(reads), func(m *maker) *call {
			in, z := inputs(m)
			return m.byRead(&call{op: o.op, in: in, out: m.result(), want: func() []float64 {
				var s float64
				for r := range reads {
					s += in[2].floats[r] * o.term(z(r), in[1].floats[r])
				}
				return []float64{s}
			}}, reads, false)
		}}, testCase{fmt.Sprint(reads), func(m *maker) *call {
			in, z := inputs(m)
			dL := m.fixed(m.dtype, 1)
			return m.byRead(&call{op: o.gradient, in: append(in, dL), out: m.result(reads+m.spare, o.columns), want: func() []float64 {
				return outer(reads+m.spare, reads, o.columns, func(r, j int) float64 {
					d := dL.floats[0] * in[2].floats[r] * o.slope(z(r), in[1].floats[r])
					if j < o.columns-1 {
						return -d
					}
					return d
				})
			}}, reads, reads < 100)
		}})
	}
	return all
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// byRead completes a call whose rows are read-outs.
func (m *maker) byRead(c *call, reads int, separable bool) *call {
	c.rows, c.live = engine.Reads, m.counts(1, 1, reads)
	if separable {
		c.separable = reads
	}
	return c
}
