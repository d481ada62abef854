//go:build linux && (amd64 || arm64) && !nocuda

package cuda

import "github.com/goprm/goprm/cuda/internal/driver"

// scratch is a place in the memory for what kernels of one call leave for each other. All calls share that memory; a launch looks up where
// it lies, and a recording has its address.
type scratch struct {
	b      *backend
	offset int
}

func (s scratch) address() driver.Ptr { return s.b.scratch + driver.Ptr(s.offset) }

// temporary is scratch memory of a call, behind what it has already.
func (b *builder) temporary(bytes int) scratch {
	at := b.temporaries
	b.temporaries += (bytes + 255) &^ 255
	return scratch{b.backend, at}
}

// reserve makes room for a call. What is outgrown goes first, unless recordings use it: then it goes with the last of them.
func (b *backend) reserve(bytes int) error {
	if bytes <= b.room {
		return nil
	}
	if b.recorded[b.scratch] == 0 {
		b.Free(pointer(b.scratch))
	}
	b.scratch, b.room = 0, 0
	p, err := b.take(bytes)
	if err == nil {
		b.scratch, b.room = p, bytes
	}
	return err
}

// unrecord ends a recording's use of the scratch memory.
func (b *backend) unrecord(at driver.Ptr) {
	if b.recorded[at]--; b.recorded[at] > 0 {
		return
	}
	delete(b.recorded, at)
	if at != b.scratch {
		b.Free(pointer(at))
	}
}
