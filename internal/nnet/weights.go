package nnet

import (
	"fmt"
	"slices"
	"strings"
	"unsafe"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/hfmodel"
	"github.com/goprm/goprm/internal/safetensors"
	"gorgonia.org/tensor"
)

// Lookup looks a stored tensor up by its parameter name.
type Lookup func(name string) (StoredTensor, bool)

// StoredTensor is a tensor in a file.
type StoredTensor struct {
	File string
	Info safetensors.Info
	Data []byte // usually a mapping of the file
}

// Reversed is a copy of a tensor with its rows in reverse order: of a two-class head, its classes changed over.
func (s StoredTensor) Reversed() StoredTensor {
	width := len(s.Data) / max(1, s.Info.Shape[0])
	reversed := StoredTensor{File: s.File, Info: s.Info, Data: make([]byte, 0, len(s.Data))}
	for at := len(s.Data) - width; at >= 0 && width > 0; at -= width {
		reversed.Data = append(reversed.Data, s.Data[at:at+width]...)
	}
	return reversed
}

// GoodLast is a two-class head whose class 1 is the good one, of one whose good class is given: the tensors of its last layer are
// reversed if that is 0.
func GoodLast(head Lookup, good int) Lookup {
	if good != 0 || head == nil {
		return head
	}
	return func(name string) (StoredTensor, bool) {
		s, ok := head(name)
		mlp := strings.HasPrefix(name, "score.2.")
		if ok && (mlp || name == "score.weight" || name == "score.bias") && len(s.Info.Shape) > 0 && s.Info.Shape[0] == 2 {
			s = s.Reversed()
		}
		return s, ok
	}
}

// Weights is a Source over stored tensors; the first of its members that has a name gives it.
type Weights []Lookup

func (w Weights) find(name string) (StoredTensor, bool) {
	for _, find := range w {
		if s, ok := find(name); ok {
			return s, true
		}
	}
	return StoredTensor{}, false
}

// IsBF16 is part of Source.
func (w Weights) IsBF16(name string) bool {
	s, ok := w.find(name)
	return ok && s.Info.DType == safetensors.BF16
}

// Load is part of Source: the file's memory when dtype and alignment allow, else a converted copy.
func (w Weights) Load(name string, dtype tensor.Dtype, shape []int) (*engine.Tensor, error) {
	s, ok := w.find(name)
	if !ok {
		return nil, fmt.Errorf("tensor %q: %w", name, ErrAbsent)
	}
	if !slices.Equal(s.Info.Shape, shape) {
		return nil, fmt.Errorf("%s: tensor %q: shape %v, the configuration wants %v", s.File, s.Info.Name, s.Info.Shape, shape)
	}
	if len(s.Data) > 0 && stores(s.Info.DType, dtype) && uintptr(unsafe.Pointer(&s.Data[0]))%dtype.Size() == 0 {
		return engine.NewTensor(unsafe.Pointer(&s.Data[0]), dtype, shape, s.Data), nil
	}
	t := engine.FromDType(dtype, shape...)
	var err error
	switch dtype {
	case engine.F32:
		_, err = safetensors.AppendFloat32(engine.Slice[float32](t)[:0], s.Info, s.Data)
	case engine.F64:
		_, err = safetensors.AppendFloat64(engine.Slice[float64](t)[:0], s.Info, s.Data)
	default: // bf16 at an odd address
		copy(t.Bytes(), s.Data)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: tensor %q: %w", s.File, s.Info.Name, err)
	}
	return t, nil
}

func stores(stored safetensors.DType, dtype tensor.Dtype) bool {
	switch dtype {
	case engine.F32:
		return stored == safetensors.F32
	case engine.F64:
		return stored == safetensors.F64
	}
	return stored == safetensors.BF16
}

// InFile finds tensors in one safetensors file, under the names that rename makes of parameter names.
func InFile(f *safetensors.File, rename func(name string) string) Lookup {
	return func(name string) (StoredTensor, bool) {
		info, ok := f.Info(rename(name))
		return StoredTensor{File: f.Path(), Info: info, Data: f.Bytes(info.Name)}, ok
	}
}

// InWeights finds tensors in a model folder, whose trunk may be stored with or without the prefix "model.".
func InWeights(w *hfmodel.Weights) Lookup {
	bare := w.Has("embed_tokens.weight")
	return func(name string) (StoredTensor, bool) {
		if bare {
			name = strings.TrimPrefix(name, "model.")
		}
		t, ok := w.Lookup(name)
		if !ok {
			return StoredTensor{}, false
		}
		return StoredTensor{File: t.File.Path(), Info: t.Info, Data: t.Bytes}, true
	}
}
