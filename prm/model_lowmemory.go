package prm

import (
	"unsafe"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/hfmodel"
	"github.com/goprm/goprm/internal/mmap"
)

// releasing is a backend on which mapped weights leave memory as soon as the kernel that used them is done, so that a pass over a
// model takes the memory of one matrix. They are read again from the file, or from what the system still has of it, at the next pass.
type releasing struct {
	engine.Backend
	mapped [][]byte // the weights
	least  int      // bytes from which giving memory back is worth a system call
}

// Unwrap is part of engine.As.
func (r releasing) Unwrap() engine.Backend { return r.Backend }

// SharesHostMemory is what makes a backend use mappings as they are.
func (releasing) SharesHostMemory() {}

// releasingFor wraps the backend if it computes from mapped files.
func releasingFor(backend engine.Backend, weights ...*hfmodel.Weights) engine.Backend {
	if _, ok := backend.(engine.SharesHostMemory); !ok {
		return backend
	}
	r := &releasing{Backend: backend, least: 1 << 20}
	for _, w := range weights {
		for _, file := range w.Files() {
			for _, info := range file.Tensors() {
				r.mapped = append(r.mapped, file.Bytes(info.Name))
			}
		}
	}
	return r
}

// Compile is part of engine.Backend.
func (r *releasing) Compile(c engine.Call) (engine.Launch, error) {
	launch, err := r.Backend.Compile(c)
	if err != nil {
		return nil, err
	}
	return func() error {
		if err := launch(); err != nil {
			return err
		}
		for _, in := range c.In {
			if size := int(in.MemSize()); size >= r.least && r.isMapped(in.Ptr, size) {
				if err := mmap.Release(unsafe.Slice((*byte)(in.Ptr), size)); err != nil {
					return err
				}
			}
		}
		return nil
	}, nil
}

// isMapped reports whether the memory lies in a mapped tensor: of any other, giving it back would lose what it holds.
func (r *releasing) isMapped(ptr unsafe.Pointer, size int) bool {
	for _, data := range r.mapped {
		from := uintptr(unsafe.Pointer(unsafe.SliceData(data)))
		if at := uintptr(ptr); at >= from && at+uintptr(size) <= from+uintptr(len(data)) {
			return true
		}
	}
	return false
}

// exceeds reports whether the weights are more than half of the memory that is left.
func exceeds(weights *hfmodel.Weights) bool {
	var size int64
	for _, file := range weights.Files() {
		size += file.Size()
	}
	available := mmap.Available()
	return available > 0 && size > available/2
}
