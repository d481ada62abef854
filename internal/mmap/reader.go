package mmap

import (
	"slices"
	"unsafe"
)

// Reader is something that computes from mappings again and again, such as a network from its weights. When one of them is lost, or is
// not what it was, so is the reader. It is not safe for concurrent use.
type Reader struct {
	mappings []*Mapping
	lost     error
}

// Uses tells the reader that it reads the memory, which may be a mapping or not.
func (r *Reader) Uses(memory unsafe.Pointer) {
	if m, _ := mappingAt(uintptr(memory)); m != nil && !slices.Contains(r.mappings, m) {
		r.mappings = append(r.mappings, m)
	}
}

// Do runs f under [Guard], then checks the mappings: what f made of a file that has changed is an error instead. After the first such
// error every call returns it.
func (r *Reader) Do(f func() error) error {
	if r.lost != nil {
		return r.lost
	}
	err := Guard(f)
	for _, m := range r.mappings {
		if changed := m.Check(); changed != nil && !Lost(err) {
			err = changed
		}
	}
	if Lost(err) {
		r.lost = err
	}
	return err
}

// Lost is the error that ended the reader; nil: none has.
func (r *Reader) Lost() error { return r.lost }
