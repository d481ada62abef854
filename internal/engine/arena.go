package engine

import (
	"errors"
	"fmt"
	"unsafe"
)

// Arena is memory for the intermediate results of machines of which one runs at a time. Outputs do not lie in it, so they outlive the
// run of another machine. The zero value is ready; its memory is freed when the last machine closes.
type Arena struct {
	ptr      unsafe.Pointer
	bytes    int
	machines int
}

// ErrArena says that machines hold an arena that is too small for another one: close them first.
var ErrArena = errors.New("the arena that other machines hold is too small")

func (a *Arena) take(backend Backend, bytes int) (unsafe.Pointer, error) {
	if a.machines > 0 && bytes > a.bytes {
		return nil, fmt.Errorf("%d bytes of %d: %w", bytes, a.bytes, ErrArena)
	}
	if a.machines == 0 {
		ptr, err := backend.Alloc(max(1, bytes))
		if err != nil {
			return nil, fmt.Errorf("%d bytes for arena: %w", bytes, err)
		}
		a.ptr, a.bytes = ptr, bytes
	}
	a.machines++
	return a.ptr, nil
}

func (a *Arena) release(backend Backend) {
	if a.machines--; a.machines == 0 {
		backend.Free(a.ptr)
		a.ptr, a.bytes = nil, 0
	}
}
