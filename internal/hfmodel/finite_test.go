package hfmodel

import (
	"bytes"
	"encoding/binary"
	"math"
	"testing"

	"github.com/goprm/goprm/internal/safetensors"
	"github.com/stretchr/testify/require"
)

// Every 16-bit number against its value in float64, and the edges of the wider types.
func TestFinite(t *testing.T) {
	for _, dtype := range []safetensors.DType{safetensors.BF16, safetensors.F16} {
		for bits := range 1 << 16 {
			data := binary.LittleEndian.AppendUint16(nil, uint16(bits))
			values, err := safetensors.AppendFloat64(nil, safetensors.Info{DType: dtype, Shape: []int{1}, End: 2}, data)
			require.NoError(t, err)
			want := !math.IsNaN(values[0]) && !math.IsInf(values[0], 0)
			require.Equal(t, want, finite(dtype, data), "%s %04x", dtype, bits)
			row := make([]byte, 10) // four are looked at together, and the last one alone
			lane, rest := bits%5, bits/5%3*0x3c00
			for i := range 5 {
				binary.LittleEndian.PutUint16(row[2*i:], uint16(rest))
			}
			binary.LittleEndian.PutUint16(row[2*lane:], uint16(bits))
			require.Equal(t, want, finite(dtype, row), "%s %04x at %d", dtype, bits, lane)
		}
	}
	for _, v := range []float64{0, 1, -math.MaxFloat32, math.SmallestNonzeroFloat32, math.Inf(1), math.Inf(-1), math.NaN()} {
		want := !math.IsNaN(v) && !math.IsInf(v, 0)
		narrow := binary.LittleEndian.AppendUint32(make([]byte, 8), math.Float32bits(float32(v)))
		require.Equal(t, want, finite(safetensors.F32, narrow), v)
		wide := binary.LittleEndian.AppendUint64(make([]byte, 16), math.Float64bits(v))
		require.Equal(t, want, finite(safetensors.F64, wide), v)
	}
	for at := range 11 { // wherever among eight bytes that are looked at together, or behind them
		for dtype, bits := range map[safetensors.DType][]byte{
			safetensors.BF16: {0x80, 0x7f}, safetensors.F16: {1, 0xfc}, safetensors.F32: {0, 0, 0xc0, 0xff},
		} {
			data := bytes.Repeat([]byte{0x7f, 0x3b}, 22)[:11*len(bits)]
			require.True(t, finite(dtype, data), dtype)
			copy(data[at*len(bits):], bits)
			require.False(t, finite(dtype, data), "%s %d", dtype, at)
		}
	}
	require.True(t, finite(safetensors.I32, []byte{0xff, 0xff, 0xff, 0xff}))
}

func TestNaNInWeightsIsNamed(t *testing.T) {
	m := tinyModel(t, nil)
	name := "model.layers.1.mlp.up_proj.weight"
	binary.LittleEndian.PutUint16(m.tensors[name].Data[6:], 0x7fc0)
	_, err := Describe(m.write(t, byLayer), recogniseNone)
	require.ErrorIs(t, err, ErrNotFinite)
	require.ErrorContains(t, err, name)
}
