package nnet

import (
	"unsafe"

	"github.com/goprm/goprm/internal/engine"
	"gorgonia.org/tensor"
)

// read downloads the first rows of a tensor and widens them.
func (n *Network) read(t *engine.Tensor, rows int) ([]float64, error) {
	count := rows
	for _, d := range t.Shape()[1:] {
		count *= d
	}
	return download(n.backend, t, count)
}

func download(backend engine.Backend, t *engine.Tensor, count int) ([]float64, error) {
	wide := make([]float64, count)
	switch t.Dtype() {
	case engine.F64:
		return wide, backend.Download(bytesOf(wide), t)
	case engine.BFloat16:
		narrow := make([]engine.BF16, count)
		if err := backend.Download(bytesOf(narrow), t); err != nil {
			return nil, err
		}
		for i, v := range narrow {
			wide[i] = float64(v.Float32())
		}
		return wide, nil
	}
	narrow := make([]float32, count)
	if err := backend.Download(bytesOf(narrow), t); err != nil {
		return nil, err
	}
	for i, v := range narrow {
		wide[i] = float64(v)
	}
	return wide, nil
}

// floats converts to the bytes of parameters.
func (n *Network) floats(v []float64) []byte { return toDType(v, n.spec.Params()) }

func toDType(v []float64, dtype tensor.Dtype) []byte {
	if dtype == engine.F64 {
		return bytesOf(v)
	}
	if dtype == engine.BFloat16 {
		narrow := make([]engine.BF16, len(v))
		for i, x := range v {
			narrow[i] = engine.ToBF16(float32(x))
		}
		return bytesOf(narrow)
	}
	narrow := make([]float32, len(v))
	for i, x := range v {
		narrow[i] = float32(x)
	}
	return bytesOf(narrow)
}

func bytesOf[T engine.Number](v []T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), len(v)*int(unsafe.Sizeof(*new(T))))
}
