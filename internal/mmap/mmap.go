// Package mmap maps files into memory, read only, and makes an error of what otherwise ends the process: a mapped file that is cut
// short, or whose disk fails, while it is in use. It also takes memory from the system itself.
package mmap

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"unsafe"
)

// Mapping is a file in memory, read only.
type Mapping struct {
	// Data is the file's content, valid until Close. Reading it may fault, see [Guard].
	Data []byte

	path    string
	was     atomic.Pointer[state]
	release func() error
}

// mappings are all mappings of the process: a fault has an address and nothing else.
var mappings struct {
	sync.Mutex
	list []*Mapping
}

// Map maps an open file of size > 0 bytes. The file may be closed afterwards; path is its name in errors and for Check.
func Map(path string, file *os.File, size int) (*Mapping, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	m := &Mapping{path: path}
	m.was.Store(stateOf(info))
	if m.Data, m.release, err = mapFile(file, size); err != nil {
		return nil, err
	}
	mappings.Lock()
	defer mappings.Unlock()
	mappings.list = append(mappings.list, m)
	return m, nil
}

// Close unmaps the file; Data must be out of use.
func (m *Mapping) Close() error {
	mappings.Lock()
	defer mappings.Unlock()
	for i, other := range mappings.list {
		if other == m {
			mappings.list = append(mappings.list[:i], mappings.list[i+1:]...)
			m.Data = nil
			return m.release()
		}
	}
	return nil
}

// Check reports, as a *[ChangedError], that the file was written to or cut short since it was mapped. A file that was replaced or
// removed is not changed: the mapping keeps the content it had.
func (m *Mapping) Check() error {
	info, err := os.Stat(m.path)
	if err != nil {
		return nil // its name is gone; the mapping is not
	}
	now, was := stateOf(info), m.was.Load()
	switch {
	case !now.sameFile(was):
		return nil
	case now.size != was.size:
		return &ChangedError{m.path, fmt.Sprintf("it had %d bytes and has %d", was.size, now.size)}
	case now.written(was):
		return &ChangedError{m.path, "it was written to"}
	}
	m.was.Store(now)
	return nil
}

// Check checks all mappings of the process.
func Check() error {
	mappings.Lock()
	list := append([]*Mapping{}, mappings.list...)
	mappings.Unlock()
	for _, m := range list {
		if err := m.Check(); err != nil {
			return err
		}
	}
	return nil
}

// mappingAt is the mapping that holds an address, and the address's offset in the file; nil: none does.
func mappingAt(address uintptr) (*Mapping, int64) {
	mappings.Lock()
	defer mappings.Unlock()
	page := uintptr(os.Getpagesize())
	for _, m := range mappings.list {
		begin := uintptr(unsafe.Pointer(unsafe.SliceData(m.Data)))
		// A vector load may begin before the mapping's end and fault behind it, in the rest of its last page.
		if end := (begin + uintptr(len(m.Data)) + page - 1) &^ (page - 1); address >= begin && address < end {
			return m, min(int64(address-begin), int64(len(m.Data)))
		}
	}
	return nil, 0
}

// OpenFile opens a regular file for as long as open takes to map it: a mapping outlives the descriptor.
func OpenFile[T io.Closer](path string, open func(path string, disk *os.File) (T, error)) (T, error) {
	var none T
	info, err := os.Stat(path) // before opening, which for a named pipe would wait for a writer
	if err != nil {
		return none, err
	}
	if !info.Mode().IsRegular() {
		return none, fmt.Errorf("%s: not a regular file", path)
	}
	disk, err := os.Open(path)
	if err != nil {
		return none, err
	}
	file, err := open(path, disk)
	if closed := disk.Close(); err == nil && closed != nil {
		err = errors.Join(closed, file.Close())
	}
	if err != nil {
		return none, err
	}
	return file, nil
}
