package engine_test

import (
	"testing"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
	"github.com/stretchr/testify/require"
	"gorgonia.org/gorgonia"
)

// What an op writes into is the memory that the input has at that run; only an input has memory that outlives one.
func TestIntoWritesWhereItsInputLies(t *testing.T) {
	backend, err := engine.Open("cpu", engine.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, backend.Close()) }()
	b := ops.NewBuilder(nil)
	x, kept, cache := b.Input("x", engine.F32, 3, 2), b.Input("kept", engine.I32, 2, 2), b.Input("cache", engine.F32, 4, 2)
	twice := b.Add(x, x, 1)
	written := b.CacheWrite(twice, kept, cache)
	stray := b.CacheWrite(x, kept, b.CacheWrite(x, kept, b.Input("other", engine.F32, 4, 2)))
	require.NoError(t, b.Err())
	one, two := engine.FromDType(engine.F32, 4, 2), engine.FromDType(engine.F32, 4, 2)
	m, err := engine.Compile(engine.Plan{Outputs: gorgonia.Nodes{written}, Bound: map[*gorgonia.Node]*engine.Tensor{cache: one}}, backend)
	require.NoError(t, err)
	defer func() { require.NoError(t, m.Close()) }()
	require.NoError(t, m.Upload(x, engine.FromSlice([]float32{1, 2, 3, 4, 5, 6}, 6).Bytes()))
	for _, c := range []struct {
		pairs []int32
		into  *engine.Tensor
		want  []float32
	}{
		{[]int32{2, 1, -1, -1}, one, []float32{0, 0, 10, 12, 0, 0, 0, 0}},
		{[]int32{0, 3, 1, 0}, two, []float32{6, 8, 0, 0, 0, 0, 2, 4}},
		{[]int32{1, 0, -1, 0}, one, []float32{6, 8, 10, 12, 0, 0, 0, 0}},
	} {
		require.NoError(t, m.Bind(cache, c.into))
		require.NoError(t, m.Upload(kept, engine.FromSlice(c.pairs, 4).Bytes()))
		require.NoError(t, m.RunAll())
		require.Equal(t, c.want, engine.Slice[float32](c.into))
		require.Equal(t, c.into.Ptr, m.Output(written).Ptr)
	}
	_, err = engine.Compile(engine.Plan{Outputs: gorgonia.Nodes{stray}}, backend)
	require.ErrorContains(t, err, "which is no input of the graph")
}
