package nnet

import (
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/mmap"
	"github.com/goprm/goprm/internal/ops"
	"gorgonia.org/gorgonia"
)

// int8Scales is what follows a matrix's name in that of its scales.
const int8Scales = ".int8_scales"

// Int8Matrix is a frozen projection of the trunk that is rounded to int8 when it is loaded, with the scales of its blocks.
func (g *Graph) Int8Matrix(name string, out, in int) (w, scales *gorgonia.Node) {
	if w = g.parameter(name); w != nil {
		return w, g.parameter(name + int8Scales)
	}
	w = g.Input(name, engine.I8, out, in)
	scales = g.Input(name+int8Scales, engine.F32, out, ops.Int8Blocks(in))
	g.Params = append(g.Params, &Parameter{Name: name, Shape: []int{out, in}, Node: w},
		&Parameter{Name: name + int8Scales, Shape: scales.Shape(), Node: scales, derived: true})
	return w, scales
}

// AttendsInBF16 reports whether attention's products are of bf16 where its tensors are f32.
func (s Spec) AttendsInBF16() bool { return s.Int8 && s.pairs }

func (s Spec) validateInt8() error {
	switch {
	case s.Int8 && s.Train != TrainNothing:
		return engine.ErrInt8Training
	case s.Int8 && s.DType != engine.F32:
		return fmt.Errorf("dtype: int8 computes in f32 besides, not in %s", engine.DTypeName(s.DType))
	}
	return nil
}

// loadInt8 rounds a stored matrix to int8, in memory of its own; what is stored stays a mapping that is read once.
func (n *Network) loadInt8(p *Parameter) error {
	if _, ok := n.backend.(engine.SharesHostMemory); !ok {
		return fmt.Errorf("dtype: int8 is for the device cpu, not for %s", n.backend.Name())
	}
	stored := engine.F32
	if n.source.IsBF16(p.Name) {
		stored = engine.BFloat16
	}
	host, err := n.source.Load(p.Name, stored, p.Shape)
	if err != nil {
		return err
	}
	n.files.Uses(host.Ptr)
	rows, k := p.Shape[0], p.Shape[1]
	w, err := n.alloc(p.Name, engine.NewTensor(nil, engine.I8, p.Shape, nil))
	if err != nil {
		return err
	}
	scales, err := n.alloc(p.Name+int8Scales, engine.NewTensor(nil, engine.F32, []int{rows, ops.Int8Blocks(k)}, nil))
	if err != nil {
		return err
	}
	return inParallel(rows, func(from, to int) {
		row := make([]float32, k)
		for r := from; r < to; r++ {
			if stored == engine.F32 {
				copy(row, engine.Slice[float32](host)[r*k:])
			} else {
				for i, v := range engine.Slice[engine.BF16](host)[r*k : (r+1)*k] {
					row[i] = v.Float32()
				}
			}
			to, s := engine.Slice[int8](w)[r*k:(r+1)*k], engine.Slice[float32](scales)[r*ops.Int8Blocks(k):]
			for b := 0; b*ops.Int8Block < k; b++ {
				end := min(k, (b+1)*ops.Int8Block)
				s[b] = ops.RoundInt8(to[b*ops.Int8Block:end], row[b*ops.Int8Block:end])
			}
		}
	})
}

// alloc gives a tensor memory of the backend and keeps it as the network's.
func (n *Network) alloc(name string, t *engine.Tensor) (*engine.Tensor, error) {
	ptr, err := n.backend.Alloc(max(1, int(t.MemSize())))
	if err != nil {
		return nil, fmt.Errorf("tensor %s: %w", name, err)
	}
	t.Ptr = ptr
	n.tensors[name], n.owned[name] = t, true
	return t, nil
}

// inParallel shares rows out among as many goroutines as Go runs at a time. A mapping that is lost meanwhile is an error.
func inParallel(rows int, work func(from, to int)) error {
	workers := min(rows, runtime.GOMAXPROCS(0))
	failed := make([]error, workers)
	var all sync.WaitGroup
	for i := range workers {
		all.Go(func() {
			failed[i] = mmap.Guard(func() error {
				work(i*rows/workers, (i+1)*rows/workers)
				return nil
			})
		})
	}
	all.Wait()
	return errors.Join(failed...)
}
