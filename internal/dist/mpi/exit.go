//go:build linux && (amd64 || arm64) && !nocuda

package mpi

import (
	"fmt"
	"unsafe"

	"github.com/ebitengine/purego"
)

// linkMap is the beginning of struct link_map of link.h; dynamic is a list that ends with tag 0, of addresses relative to base.
type linkMap struct {
	base    uintptr
	_       *byte // its name
	dynamic *[1 << 10]struct{ tag, value uintptr }
}

// Of dlinfo and of the list of a link map.
const (
	infoLinkMap   = 2
	finiArray     = 26
	finiArraySize = 28
)

// runExitHandlers does what unloading the library would, but leaves it where it is. MPICH from version 4.2 on takes leave of its launcher
// in a handler of libc's exit, which no Go program calls: the launcher would take a rank that just ends for one that has failed, and kill
// the others.
func (l *library) runExitHandlers() error {
	dlinfo, err := purego.Dlsym(purego.RTLD_DEFAULT, "dlinfo")
	if err != nil {
		return fmt.Errorf("libc: %w", err)
	}
	var m *linkMap
	if code := call(dlinfo, l.handle, infoLinkMap, uintptr(unsafe.Pointer(&m))); code != 0 || m == nil {
		return fmt.Errorf("dlinfo of %s: code %d", l.path, code)
	}
	var at, size uintptr
	for i := 0; m.dynamic[i].tag != 0; i++ {
		switch entry := m.dynamic[i]; entry.tag {
		case finiArray:
			at = m.base + entry.value
		case finiArraySize:
			size = entry.value
		}
	}
	if size == 0 {
		return nil
	}
	first := unsafe.Add(unsafe.Pointer(m.dynamic), at-uintptr(unsafe.Pointer(m.dynamic))) // part of the same mapped file
	handlers := unsafe.Slice((*uintptr)(first), size/unsafe.Sizeof(at))
	for i := len(handlers) - 1; i >= 0; i-- {
		call(handlers[i])
	}
	return nil
}
