package compliance

import (
	"math"
	"testing"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
	"github.com/stretchr/testify/require"
)

// badInput: what cannot be computed is an error that says where, at Compile if shapes tell it, else at the launch, or at
// the Sync after it where launches do not wait.
func badInput(t *testing.T, d device) {
	m := newMaker(1, 0, engine.F32)
	compileError := func(c engine.Call) string {
		_, err := d.Compile(c)
		require.Error(t, err)
		return err.Error()
	}
	live := engine.FromSlice([]int32{-1, -1, -1}, 3)
	x := engine.FromSlice(make([]float32, 15), 3, 5)
	require.Contains(t, compileError(engine.Call{Op: "conjure", In: []*engine.Tensor{x}, Out: x, Live: live}), "conjure")
	require.Contains(t, compileError(engine.Call{Op: "swiglu", In: []*engine.Tensor{x}, Out: x, Live: live}), "swiglu")
	require.Contains(t, compileError(engine.Call{Op: "swiglu", In: []*engine.Tensor{x, nil}, Out: x, Live: live}), "swiglu")
	require.Contains(t, compileError(engine.Call{Op: "rmsnorm", Attr: ops.RMSNorm{},
		In: []*engine.Tensor{x, engine.FromSlice(make([]float32, 4), 4)}, Out: x, Live: live}), "[4]")
	require.Contains(t, compileError(engine.Call{Op: "rmsnorm", In: []*engine.Tensor{x, engine.FromSlice(make([]float32, 5), 5)}, Out: x,
		Live: live}), "rmsnorm")
	require.Contains(t, compileError(engine.Call{Op: "linear", In: []*engine.Tensor{x, engine.FromSlice(make([]float64, 10), 2, 5)},
		Out: engine.FromSlice(make([]float32, 6), 3, 2), Live: live}), "f64")
	require.Contains(t, compileError(engine.Call{Op: "rope", Attr: ops.RoPE{HeadDim: 4, Theta: 1},
		In: []*engine.Tensor{x, engine.FromSlice(make([]int32, 3), 3)}, Out: x, Live: live}), "rope")

	launchError := func(c *call, contains ...string) {
		t.Helper()
		launch, _ := d.prepare(t, c, placement{})
		run := func() error {
			if err := launch(); err != nil {
				return err
			}
			return d.Sync()
		}
		err := run()
		require.Error(t, err)
		for _, s := range contains {
			require.ErrorContains(t, err, s)
		}
		require.Error(t, run(), "again")
	}
	for _, bad := range []int32{-1, 29, math.MaxInt32, math.MinInt32} {
		c := m.embedding(4, 5, 29, m.fixed(m.dtype, 1, 29, 5))
		c.in[1].ints[2] = bad
		launchError(c, "embedding", "row 2")
		table := &call{op: "embedding_dtable", rows: engine.Tokens, live: c.live, in: []value{m.fixed(m.dtype, 1, 4, 5), c.in[1]},
			out: m.result(29, 5)}
		launchError(table, "embedding_dtable", "row 2")
		pick := &call{op: "pick", rows: engine.Reads, live: c.live, in: []value{m.fixed(m.dtype, 1, 4, 3),
			{dtype: engine.I32, shape: []int{4}, ints: []int32{0, 2, bad, 1}}}, out: m.result(4, 1)}
		launchError(pick, "pick", "row 2")
	}
	beyond := &call{op: "gather", rows: engine.Reads, live: [engine.NumDims]int32{4, 1, 2},
		in: []value{m.fixed(m.dtype, 1, 6, 3), {dtype: engine.I32, shape: []int{2}, ints: []int32{3, 4}}}, out: m.result(2, 3)}
	launchError(beyond, "gather", "row 1", "4")                        // a dead token
	for _, bad := range [][2]int32{{4, 0}, {-2, 0}, {0, 9}, {0, -1}} { // the first is a dead token
		keep := m.cacheWrite(6, 3, 9, 2)
		keep.live[engine.Tokens] = 4
		copy(keep.in[1].ints, []int32{1, 1, bad[0], bad[1]})
		launchError(keep, "cache_write", "row 1", "of a cache of 9")
	}
	tooLive := m.linear(m.perRow(1, 4, 3), m.fixed(m.dtype, 1, 2, 3), 4)
	tooLive.live[engine.Tokens] = 5
	launchError(tooLive, "linear", "5", "4")
	for _, cu := range [][]int32{{-1, 2, 4}, {0, 3, 2}, {0, 2, 5}} {
		pool := m.pool([]int{2, 2}, 3, false)
		pool.in[1].ints = cu
		launchError(pool, "pool", "segment")
	}

	a := ops.Attention{Heads: 2, KVHeads: 1, HeadDim: 4}
	for _, spoil := range []func(cu, offsets, ranges []int32){
		func(cu, _, _ []int32) { cu[0] = 1 },
		func(cu, _, _ []int32) { cu[2] = 8 },
		func(cu, _, _ []int32) { cu[2] = 6 },
		func(cu, _, _ []int32) { cu[1] = 9 },
		func(cu, _, _ []int32) { cu[1] = -1 },
		func(_, offsets, _ []int32) { offsets[0] = -1 },
		func(_, offsets, _ []int32) { offsets[1] = 3 },
		func(_, offsets, _ []int32) { offsets[2] = 4 },
		func(_, _, ranges []int32) { ranges[0] = ops.BufferCache }, // there is none
		func(_, _, ranges []int32) { ranges[0] = -1 },
		func(_, _, ranges []int32) { ranges[1] = -1 },
		func(_, _, ranges []int32) { ranges[2] = 8 },
		func(_, _, ranges []int32) { ranges[1] = 5 },
		func(_, _, ranges []int32) { ranges[3] = 3 },
		func(_, _, ranges []int32) { ranges[3] = ops.MaskWindow }, // of 0 keys
	} {
		c := m.attention(packed(3, 4), a, m.drawAttention(packed(3, 4), a))
		back := m.attentionBackward(packed(3, 4), a, m.drawAttention(packed(3, 4), a))
		for _, c := range []*call{c, back} {
			spoil(c.in[3].ints, c.in[4].ints, c.in[5].ints)
			launchError(c, c.op)
		}
	}
}
