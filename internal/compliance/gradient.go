package compliance

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"testing"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
	"github.com/stretchr/testify/require"
)

// backward is the call that computes gradients of a forward call's inputs, given its result and the result's gradient.
type backward struct {
	op    string
	attr  any
	in    func(forward *call, y, dy value) []value
	shape []int
	wrt   []int // the inputs whose gradients the result holds, end to end
}

// gradients checks every backward op against central differences of the backend's own forward op, in float64: of the
// scalar Σ dy·forward(x) for random dy, by every element of every input.
func gradients(t *testing.T, d device) {
	const step, tolerance = 1e-5, 2e-8 // truncation ~ step², rounding ~ 1e-16/step·|values|; both well below the tolerance
	m := newMaker(5, 0, engine.F64)
	checked := map[string]bool{}
	same := func(parts ...string) func(*call, value, value) []value {
		return func(f *call, y, dy value) (in []value) {
			for _, p := range parts {
				switch p {
				case "y":
					in = append(in, y)
				case "dy":
					in = append(in, dy)
				default:
					in = append(in, f.in[p[0]-'0'])
				}
			}
			return in
		}
	}
	check := func(name string, f *call, backwards ...backward) {
		t.Run(f.op+name, func(t *testing.T) {
			y := f.out
			y.floats = d.run(t, f, placement{})
			dy := m.fixed(engine.F64, 1, f.out.shape...)
			if f.op == "attention" { // only the output has a gradient, not the log-sum-exp
				n := size(f.in[0].shape)
				clear(dy.floats[n:])
			}
			launch, ec := d.prepare(t, f, placement{})
			value := func() (s float64) {
				require.NoError(t, launch())
				for i, v := range d.read(t, ec.Out, f.out.tail) {
					if dy.floats[i] != 0 {
						s += dy.floats[i] * v
					}
				}
				return s
			}
			for _, b := range backwards {
				checked[b.op] = true
				out := m.result(b.shape...)
				got := d.run(t, &call{op: b.op, attr: b.attr, rows: f.rows, live: f.live, in: b.in(f, y, dy), out: out}, placement{})
				var want []float64
				for _, w := range b.wrt {
					x := f.in[w]
					x.floats = slices.Clone(x.floats)
					for i, v := range x.floats {
						x.floats[i] = v + step
						require.NoError(t, d.Upload(ec.In[w], encode(x)))
						up := value()
						x.floats[i] = v - step
						require.NoError(t, d.Upload(ec.In[w], encode(x)))
						want = append(want, (up-value())/(2*step))
						x.floats[i] = v
					}
					require.NoError(t, d.Upload(ec.In[w], encode(x)))
				}
				require.Len(t, got, len(want))
				for i, w := range want {
					require.LessOrEqual(t, math.Abs(w-got[i]), tolerance*max(1, math.Abs(w)), "%s element %d: %g, by differences %g", b.op, i, got[i], w)
				}
			}
		})
	}
	all := [engine.NumDims]int32{-1, -1, -1}
	tokens := func(op string, attr any, out []int, in ...value) *call {
		return &call{op: op, attr: attr, rows: engine.Tokens, live: all, in: in, out: m.result(out...)}
	}
	reads := func(op string, out []int, in ...value) *call {
		return &call{op: op, rows: engine.Reads, live: all, in: in, out: m.result(out...)}
	}
	fixed := func(shape ...int) value { return m.fixed(engine.F64, 1, shape...) }

	check("", tokens("embedding", nil, []int{6, 5}, fixed(4, 5), m.ids(6, 4)),
		backward{"embedding_dtable", nil, same("dy", "1"), []int{4, 5}, []int{0}})
	norm := ops.RMSNorm{Eps: 0.1}
	check("", tokens("rmsnorm", norm, []int{3, 7}, fixed(3, 7), fixed(7)),
		backward{"rmsnorm_dx", norm, same("0", "1", "dy"), []int{3, 7}, []int{0}},
		backward{"rmsnorm_dw", norm, same("0", "dy"), []int{7}, []int{1}})
	check("/heads", tokens("rmsnorm", norm, []int{3, 8}, fixed(3, 8), fixed(4)),
		backward{"rmsnorm_dx", norm, same("0", "1", "dy"), []int{3, 8}, []int{0}},
		backward{"rmsnorm_dw", norm, same("0", "dy"), []int{4}, []int{1}})
	check("", tokens("linear", nil, []int{3, 5}, fixed(3, 7), fixed(5, 7), fixed(5)),
		backward{"linear_dx", nil, same("dy", "1"), []int{3, 7}, []int{0}}, backward{"linear_dw", nil, same("dy", "0"), []int{5, 7}, []int{1}},
		backward{"linear_db", nil, same("dy"), []int{5}, []int{2}})
	for _, inverse := range []bool{false, true} {
		check(fmt.Sprint(inverse), tokens("rope", ops.RoPE{HeadDim: 8, Theta: 100, Inverse: inverse}, []int{3, 16}, fixed(3, 16), m.ids(3, 50)),
			backward{"rope", ops.RoPE{HeadDim: 8, Theta: 100, Inverse: !inverse}, same("dy", "1"), []int{3, 16}, []int{0}})
	}
	for _, l := range []*layout{packed(3, 1, 6), smallTree(), smallWindow(), smallCache()} {
		a := ops.Attention{Heads: 4, KVHeads: 2, HeadDim: 3}
		f := m.attention(l, a, m.drawAttention(l, a))
		wide, narrow := l.tokens()*a.Heads*a.HeadDim, l.tokens()*a.KVHeads*a.HeadDim
		check("/"+l.name, f, backward{"attention_backward", a, func(f *call, y, dy value) []value {
			do := m.result(l.tokens(), a.Heads*a.HeadDim)
			do.floats = dy.floats[:wide]
			return append(slices.Clone(f.in), y, do)
		}, []int{wide + 2*narrow}, []int{0, 1, 2}})
	}
	check("", tokens("swiglu", nil, []int{3, 5}, fixed(3, 5), fixed(3, 5)),
		backward{"swiglu_backward", nil, same("0", "1", "dy"), []int{30}, []int{0, 1}})
	check("", tokens("dropout", ops.Dropout{P: 0.4, Salt: 9}, []int{3, 5}, fixed(3, 5), m.rowKeys(3)),
		backward{"dropout", ops.Dropout{P: 0.4, Salt: 9}, same("dy", "1"), []int{3, 5}, []int{0}})
	plus := engine.AddAttr{Scale: -0.7}
	check("", tokens("add", plus, []int{3, 5}, fixed(3, 5), fixed(3, 5)), backward{"scale", plus, same("dy"), []int{3, 5}, []int{1}})
	check("", reads("gather", []int{4, 5}, fixed(6, 5), value{dtype: engine.I32, shape: []int{4}, ints: []int32{5, 0, 2, 5}}),
		backward{"gather_dx", nil, same("dy", "1"), []int{6, 5}, []int{0}})
	check("", reads("sigmoid", []int{4, 3}, fixed(4, 3)), backward{"sigmoid_dx", nil, same("y", "dy"), []int{4, 3}, []int{0}})
	check("", reads("relu", []int{4, 3}, fixed(4, 3)), backward{"relu_dx", nil, same("y", "dy"), []int{4, 3}, []int{0}})
	check("", reads("positive_prob", []int{4, 1}, fixed(4, 2)), backward{"positive_prob_dx", nil, same("y", "dy"), []int{4, 2}, []int{0}})
	check("", reads("pick", []int{4, 1}, fixed(4, 3), m.ids(4, 3)), backward{"pick_dx", nil, same("dy", "1", "0"), []int{4, 3}, []int{0}})
	for op, gradient := range map[string]string{"squared_error": "squared_error_dy", "bce": "bce_dz", "ce": "ce_dz"} {
		columns := 1
		if op == "ce" {
			columns = 2
		}
		check("", reads(op, nil, fixed(5, columns), fixed(5), fixed(5)),
			backward{gradient, nil, same("0", "1", "2", "dy"), []int{5, columns}, []int{0}})
	}
	for _, op := range ops.Ops() {
		require.True(t, checked[op] || !isGradient.MatchString(op), "%s is not compared with central differences", op)
	}
}

// isGradient matches the ops that compute gradients by how they are named.
var isGradient = regexp.MustCompile(`_(backward|d[a-z]+)$`)

func smallTree() *layout {
	l := packed(4, 2, 3)
	l.name = "tree"
	for s := 1; s <= 2; s++ {
		l.ranges[s] = slices.Insert(l.ranges[s], 0, fullRange(ops.BufferBatch, 0, 4))
	}
	return l
}

func smallWindow() *layout {
	l := packed(7, 2)
	l.name = "window"
	l.ranges[0][0][3], l.ranges[0][0][4] = ops.MaskWindow, 3
	return l
}

func smallCache() *layout {
	l := packed(3, 4)
	l.name, l.cache = "cache", 5
	l.ranges[1] = slices.Insert(l.ranges[1], 0, fullRange(ops.BufferCache, 1, 5))
	return l
}
