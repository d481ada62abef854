package torchfile

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"unicode/utf8"

	"github.com/goprm/goprm/internal/safetensors"
)

// storages are the kinds of memory that tensors lie in.
var storages = map[global]safetensors.DType{
	"torch DoubleStorage": safetensors.F64, "torch FloatStorage": safetensors.F32, "torch HalfStorage": safetensors.F16,
	"torch BFloat16Storage": safetensors.BF16, "torch LongStorage": safetensors.I64, "torch IntStorage": safetensors.I32,
	"torch ShortStorage": safetensors.I16, "torch CharStorage": safetensors.I8, "torch ByteStorage": safetensors.U8,
	"torch BoolStorage": safetensors.Bool,
}

// maxRank bounds the dimensions of a tensor, as PyTorch and safetensors do.
const maxRank = 64

// storage is a part of the archive.
type storage struct {
	dtype       safetensors.DType
	begin, size int64 // in the file
}

// tensorView is a tensor before it has a name.
type tensorView struct{ info safetensors.Info }

// readState runs the pickle and returns the tensors of the dict that it makes.
func readState(a *archive) ([]safetensors.Info, error) {
	m := machine{code: a.pickle, persistent: a.storage, reduce: reduce}
	made, err := m.run()
	if err != nil {
		return nil, err
	}
	d, ok := made.(*dict)
	if !ok {
		return nil, fmt.Errorf("data.pkl: not a state dict but %s", kindOf(made))
	}
	tensors := make([]safetensors.Info, 0, len(d.keys))
	seen := make(map[string]bool, len(d.keys))
	for i, key := range d.keys {
		name, ok := key.(string)
		if !ok || !utf8.ValidString(name) {
			return nil, fmt.Errorf("data.pkl: a key of the state dict is %s, not a name", kindOf(key))
		}
		view, ok := d.values[i].(*tensorView)
		switch {
		case !ok:
			return nil, fmt.Errorf("data.pkl: %q is %s, not a tensor; only state dicts are read", clip(name), kindOf(d.values[i]))
		case seen[name]:
			return nil, fmt.Errorf("data.pkl: %q is there twice", clip(name))
		}
		seen[name] = true
		info := view.info
		info.Name = name
		tensors = append(tensors, info)
	}
	return tensors, nil
}

func kindOf(v any) string {
	switch v.(type) {
	case string:
		return "a text"
	case int64:
		return "a number"
	case bool:
		return "true or false"
	case nil:
		return "None"
	case tuple:
		return "a tuple"
	case *dict:
		return "a dict"
	case *tensorView:
		return "a tensor"
	case storage:
		return "a storage"
	}
	return "a name"
}

// storage resolves ("storage", kind, part, device, elements).
func (a *archive) storage(id tuple) (any, error) {
	if len(id) != 5 || id[0] != "storage" {
		return nil, errors.New("a reference that is no storage")
	}
	kind, isName := id[1].(global)
	key, isText := id[2].(string)
	elements, isNumber := id[4].(int64)
	dtype, known := storages[kind]
	if !isName || !isText || !isNumber || !known {
		return nil, errors.New("a storage without kind, part or length")
	}
	begin, size, err := a.place("data/" + key)
	if err != nil {
		return nil, err
	}
	if elements < 0 || elements > math.MaxInt64/dtype.Size() || elements*dtype.Size() != size {
		return nil, fmt.Errorf("data/%s: %d bytes for %d elements of %s", clip(key), size, elements, dtype)
	}
	return storage{dtype, begin, size}, nil
}

// reduce makes an empty dict, a tensor, or a parameter, which is its tensor.
func reduce(name global, args tuple) (any, error) {
	switch {
	case name == orderedDict && len(args) == 0:
		return &dict{}, nil
	case name == rebuildParameter && len(args) == 3: // tensor, requires_grad, hooks
		if view, ok := args[0].(*tensorView); ok {
			return view, plain(args[1], args[2])
		}
	case name == rebuildTensor && (len(args) == 6 || len(args) == 7): // requires_grad, hooks and metadata after the strides
		if err := plain(args[4], args[5]); err != nil {
			return nil, err
		}
		if len(args) == 7 {
			if err := noMetadata(args[6]); err != nil {
				return nil, err
			}
		}
		return rebuild(args)
	}
	return nil, fmt.Errorf("%s with %d operands of other kinds than in a state dict", clip(string(name)), len(args))
}

// plain checks what says nothing about a tensor's numbers: whether it has a gradient, and hooks, of which a state dict has none.
func plain(requiresGrad, hooks any) error {
	if _, ok := requiresGrad.(bool); !ok {
		return fmt.Errorf("requires_grad is %s, not true or false", kindOf(requiresGrad))
	}
	if d, ok := hooks.(*dict); hooks != nil && (!ok || len(d.keys) > 0) {
		return errors.New("a tensor with backward hooks")
	}
	return nil
}

// noMetadata refuses a tensor's metadata: get_tensor_metadata of torch._utils keeps the negative and the conjugate bit there, by which
// the numbers differ from those that are stored, and other keys may mean as much.
func noMetadata(v any) error {
	d, ok := v.(*dict)
	if v == nil || ok && len(d.keys) == 0 {
		return nil
	}
	if !ok {
		return fmt.Errorf("a tensor's metadata is %s", kindOf(v))
	}
	for i, key := range d.keys {
		if set, isBool := d.values[i].(bool); isBool && !set && (key == "neg" || key == "conj") {
			continue
		}
		switch key {
		case "neg":
			return errors.New("a tensor with PyTorch's negative bit: the stored numbers are to be negated; save it after .resolve_neg()")
		case "conj":
			return errors.New("a tensor with PyTorch's conjugate bit; save it after .resolve_conj()")
		}
		return fmt.Errorf("a tensor with metadata that is not understood: %s", clip(fmt.Sprint(key)))
	}
	return nil
}

// rebuild makes a tensor of (storage, offset, shape, strides, ...). It must be contiguous: its bytes are used as they lie.
func rebuild(args tuple) (any, error) {
	s, isStorage := args[0].(storage)
	offset, isNumber := args[1].(int64)
	shape, errShape := numbers(args[2])
	strides, errStrides := numbers(args[3])
	if err := errors.Join(errShape, errStrides); err != nil {
		return nil, err
	}
	if !isStorage || !isNumber || len(shape) != len(strides) || len(shape) > maxRank {
		return nil, errors.New("a tensor without storage, offset, or as many strides as dimensions")
	}
	elements := uint64(1)
	for i := len(shape) - 1; i >= 0; i-- {
		if shape[i] != 1 && elements != 0 && uint64(strides[i]) != elements {
			return nil, fmt.Errorf("a tensor of shape %v with strides %v is not contiguous; save it after .contiguous()", shape, strides)
		}
		high, low := bits.Mul64(elements, uint64(shape[i]))
		if high != 0 || low > math.MaxInt64/8 {
			return nil, fmt.Errorf("shape %v has too many elements", shape)
		}
		elements = low
	}
	width := s.dtype.Size()
	if offset < 0 || offset > s.size/width || int64(elements) > s.size/width-offset {
		return nil, fmt.Errorf("a tensor of shape %v at element %d is beyond the end of its storage of %d", shape, offset, s.size/width)
	}
	begin := s.begin + offset*width
	return &tensorView{safetensors.Info{DType: s.dtype, Shape: shape, Begin: begin, End: begin + int64(elements)*width}}, nil
}

// numbers are a tuple of numbers that are not negative.
func numbers(v any) ([]int, error) {
	items, ok := v.(tuple)
	if !ok {
		return nil, errors.New("a shape that is no tuple")
	}
	list := make([]int, len(items))
	for i, item := range items {
		n, ok := item.(int64)
		if !ok || n < 0 || n > math.MaxInt {
			return nil, errors.New("a shape with something else than numbers of at least 0")
		}
		list[i] = int(n)
	}
	return list, nil
}
