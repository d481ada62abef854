package nnet

import (
	"bytes"
	"testing"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/safetensors"
	"github.com/stretchr/testify/require"
)

// A tensor of several pieces is written whole and in order.
func TestSavingInPieces(t *testing.T) {
	b, err := engine.Open("cpu", engine.Options{Kernels: "portable"})
	require.NoError(t, err)
	defer func() { require.NoError(t, b.Close()) }()
	n := &Network{backend: b, tensors: map[string]*engine.Tensor{}}
	values := make([]float32, 2*pieceNumbers+3)
	for i := range values {
		values[i] = float32(i % 4093)
	}
	placed, err := engine.CopyTo(b, engine.FromSlice(values, len(values)))
	require.NoError(t, err)
	var own bytes.Buffer
	require.NoError(t, n.stored("t", placed).Write(&own))
	info := safetensors.Info{DType: safetensors.F32, Shape: []int{len(values)}, End: int64(own.Len())}
	got, err := safetensors.AppendFloat32(nil, info, own.Bytes())
	require.NoError(t, err)
	require.Equal(t, values, got)
}
