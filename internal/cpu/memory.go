package cpu

import (
	"errors"
	"fmt"
	"sync"
	"unsafe"

	"github.com/goprm/goprm/internal/mmap"
)

// largeBytes is the size from which memory comes from the system itself, not from the Go heap: what is freed goes back at once, and the
// garbage collector does not let as much garbage lie as there are weights.
const largeBytes = 16 << 10

// memory is what a backend has taken from the system and not given back.
type memory struct {
	guard sync.Mutex
	large map[unsafe.Pointer][]byte
}

// take returns nil where the system gives no memory in this way.
func (m *memory) take(bytes int) unsafe.Pointer {
	region, err := mmap.Anonymous(bytes)
	if err != nil {
		return nil
	}
	ptr := unsafe.Pointer(unsafe.SliceData(region))
	m.guard.Lock()
	defer m.guard.Unlock()
	if m.large == nil {
		m.large = map[unsafe.Pointer][]byte{}
	}
	m.large[ptr] = region
	return ptr
}

func (m *memory) free(ptr unsafe.Pointer) {
	m.guard.Lock()
	defer m.guard.Unlock()
	if region, ok := m.large[ptr]; ok {
		delete(m.large, ptr)
		_ = mmap.Unmap(region) // it was mapped, so nothing is wrong with it
	}
}

func (m *memory) close() error {
	m.guard.Lock()
	defer m.guard.Unlock()
	var failed []error
	for _, region := range m.large {
		failed = append(failed, mmap.Unmap(region))
	}
	m.large = nil
	return errors.Join(failed...)
}

// Alloc takes large memory from the system, and small memory of the Go heap, which pointers into it keep alive.
func (b *backend) Alloc(bytes int) (unsafe.Pointer, error) {
	if bytes <= 0 {
		return nil, fmt.Errorf("device cpu: allocation of %d bytes", bytes)
	}
	if bytes >= largeBytes {
		if ptr := b.memory.take(bytes); ptr != nil {
			return ptr, nil
		}
	}
	ptr := unsafe.Pointer(unsafe.SliceData(make([]byte, bytes+alignment-1)))
	return unsafe.Add(ptr, -uintptr(ptr)%alignment), nil
}

// Free gives large memory back, and leaves small memory to the garbage collector.
func (b *backend) Free(ptr unsafe.Pointer) { b.memory.free(ptr) }
