package nnet

import (
	"errors"
	"fmt"
	"io"
	"unsafe"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/mmap"
	"github.com/goprm/goprm/internal/safetensors"
	"gorgonia.org/tensor"
)

// State is everything that training has changed, as tensors to store: "param.NAME" of each trained parameter in the compute
// dtype, the optimizer's state ("m.NAME" and "v.NAME" of AdamW), and the number of updates so far. Data are read when they are written.
// Of several ranks the first gives all parameters and each the optimizer's state that it keeps; all together are the state.
func (n *Network) State() ([]safetensors.Tensor, int, error) {
	if err := errors.Join(n.Lost(), n.optim.allocate()); err != nil {
		return nil, 0, err
	}
	var tensors []safetensors.Tensor
	first := n.optim.ranks == nil || n.optim.ranks.group.IsFirst()
	for i, name := range n.optim.names {
		for j, s := range n.optim.state(i) {
			if j == 0 && !first {
				continue
			}
			tensors = append(tensors, n.stored(s.prefix+name, s.tensor))
		}
	}
	return tensors, n.optim.steps, nil
}

type stateTensor struct {
	prefix string
	tensor *engine.Tensor
}

func (o *optimizer) state(i int) []stateTensor {
	list := []stateTensor{{"param.", o.net.tensors[o.names[i]]}}
	for j, name := range o.rule.State {
		if !o.owns(i) {
			break
		}
		list = append(list, stateTensor{name + ".", o.states[i][j]})
	}
	return list
}

// Restore puts a state back; find gives each stored tensor by the name that State gave it. A tensor that is missing, or
// of another dtype or shape, is an error, and then the network is not to be used.
func (n *Network) Restore(find Lookup, updates int) error {
	return mmap.Guard(func() error { return n.restore(find, updates) })
}

func (n *Network) restore(find Lookup, updates int) error {
	if err := n.optim.allocate(); err != nil {
		return err
	}
	for i, name := range n.optim.names {
		for _, s := range n.optim.state(i) {
			from, ok := find(s.prefix + name)
			if !ok {
				return fmt.Errorf("tensor %q: missing from the checkpoint", s.prefix+name)
			}
			if from.Info.DType != storage(s.tensor.Dtype()) || len(from.Data) != int(s.tensor.MemSize()) {
				return fmt.Errorf("%s: tensor %q: %s %v does not fit %v", from.File, from.Info.Name, from.Info.DType, from.Info.Shape, s.tensor)
			}
			if err := n.backend.Upload(s.tensor, from.Data); err != nil {
				return err
			}
		}
	}
	n.optim.steps = updates
	return nil
}

// Export lists the parameters that choose picks, in the storage dtype it gives, ready to be written.
func (n *Network) Export(choose func(*Parameter) (safetensors.DType, bool)) []safetensors.Tensor {
	var tensors []safetensors.Tensor
	var values []float64 // of a piece; the tensors are written one after the other
	var encoded []byte
	for _, p := range n.Parameters() {
		dtype, ok := choose(p)
		if !ok {
			continue
		}
		t := n.tensors[p.Name]
		if dtype == storage(t.Dtype()) {
			tensors = append(tensors, n.stored(p.Name, t))
			continue
		}
		tensors = append(tensors, safetensors.Tensor{Name: p.Name, DType: dtype, Shape: p.Shape, Write: func(w io.Writer) error {
			return n.eachPiece(t, func(info safetensors.Info, raw []byte) (err error) {
				if values, err = safetensors.AppendFloat64(values[:0], info, raw); err != nil {
					return err
				}
				if encoded, err = safetensors.AppendEncoded(encoded[:0], dtype, values); err != nil { // rounds to nearest even
					return err
				}
				_, err = w.Write(encoded)
				return err
			})
		}})
	}
	return tensors
}

// pieceNumbers is how many numbers of a tensor are in the host's memory at once while it is written.
const pieceNumbers = 1 << 16

// eachPiece downloads a tensor piece by piece; visit must not keep raw.
func (n *Network) eachPiece(t *engine.Tensor, visit func(info safetensors.Info, raw []byte) error) error {
	size := int(t.Dtype().Size())
	if n.piece == nil {
		n.piece = make([]byte, 8*pieceNumbers)
	}
	raw := n.piece
	for from := 0; from < t.Size(); from += pieceNumbers {
		numbers := min(pieceNumbers, t.Size()-from)
		piece := engine.NewTensor(unsafe.Add(t.Ptr, from*size), t.Dtype(), tensor.Shape{numbers}, nil)
		if err := n.backend.Download(raw[:numbers*size], piece); err != nil {
			return err
		}
		info := safetensors.Info{DType: storage(t.Dtype()), Shape: []int{numbers}, End: int64(numbers * size)}
		if err := visit(info, raw[:numbers*size]); err != nil {
			return err
		}
	}
	return nil
}

// stored is a tensor in its own dtype.
func (n *Network) stored(name string, t *engine.Tensor) safetensors.Tensor {
	return safetensors.Tensor{Name: name, DType: storage(t.Dtype()), Shape: t.Shape(), Write: func(w io.Writer) error {
		return n.eachPiece(t, func(_ safetensors.Info, raw []byte) error {
			_, err := w.Write(raw)
			return err
		})
	}}
}

func storage(dtype tensor.Dtype) safetensors.DType {
	switch dtype {
	case engine.F32:
		return safetensors.F32
	case engine.F64:
		return safetensors.F64
	}
	return safetensors.BF16
}
