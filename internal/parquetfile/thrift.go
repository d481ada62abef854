package parquetfile

import (
	"encoding/binary"
	"errors"
)

// The thrift decoder of parquet-go allocates a list at the length that the list claims. So each structure is walked first,
// without allocating: that a list is as long as it says, and that a byte of the file stands for a bounded number of bytes in memory.

var errThrift = errors.New("damaged metadata")

// Types of thrift's compact protocol.
const (
	thriftTrue   = 1
	thriftFalse  = 2
	thriftByte   = 3
	thriftInt16  = 4
	thriftInt32  = 5
	thriftInt64  = 6
	thriftDouble = 7
	thriftBinary = 8
	thriftList   = 9
	thriftSet    = 10
	thriftStruct = 12
)

const (
	maxThriftDepth = 16
	// minListStruct is the least that a structure in a list takes in a file. The largest by far, a column chunk, is 560 bytes
	// in memory, and its required fields take at least minChunk bytes in the file.
	minListStruct = 3
	minChunk      = 24
)

// rowGroups and columns are the field ids that lead from the file's metadata to its column chunks.
const (
	rowGroupsField = 4
	columnsField   = 1
)

// thriftWalker passes over one structure of b. chunks says that b is a file's metadata, which lists column chunks.
type thriftWalker struct {
	b      []byte
	chunks bool
}

// thriftLength is the length of the structure that b begins with.
func thriftLength(b []byte, chunks bool) (int, error) {
	w := thriftWalker{b: b, chunks: chunks}
	err := w.structure(0, 0)
	return len(b) - len(w.b), err
}

// structure passes over one structure; parent is the id of the field that holds it, at depth 1 and below.
func (w *thriftWalker) structure(depth, parent int) error {
	if depth > maxThriftDepth {
		return errThrift
	}
	id := int64(0)
	for {
		head, ok := w.byte()
		if !ok {
			return errThrift
		}
		if head == 0 {
			return nil
		}
		if delta := int64(head >> 4); delta != 0 {
			id += delta
		} else {
			v, n := binary.Varint(w.b)
			if n <= 0 {
				return errThrift
			}
			id, w.b = v, w.b[n:]
		}
		kind := head & 15
		if kind == thriftTrue || kind == thriftFalse {
			continue // the value is in the type
		}
		min := minListStruct
		if w.chunks && depth == 1 && parent == rowGroupsField && id == columnsField {
			min = minChunk
		}
		if err := w.value(kind, depth, int(id), min); err != nil {
			return err
		}
	}
}

func (w *thriftWalker) value(kind byte, depth, id, min int) error {
	switch kind {
	case thriftTrue, thriftFalse, thriftByte:
		return w.skip(1)
	case thriftInt16, thriftInt32, thriftInt64:
		return w.varint()
	case thriftDouble:
		return w.skip(8)
	case thriftBinary:
		n, err := w.length()
		if err != nil {
			return err
		}
		return w.skip(n)
	case thriftStruct:
		return w.structure(depth+1, id)
	case thriftList, thriftSet:
		return w.list(depth, id, min)
	}
	return errThrift // parquet has no maps
}

func (w *thriftWalker) list(depth, id, min int) error {
	head, ok := w.byte()
	if !ok {
		return errThrift
	}
	size, kind := int(head>>4), head&15
	if size == 15 {
		var err error
		if size, err = w.length(); err != nil {
			return err
		}
	}
	if kind != thriftStruct {
		min = 1
	}
	if size*min > len(w.b) {
		return errThrift
	}
	for range size {
		if kind == thriftStruct {
			if err := w.structure(depth+1, id); err != nil {
				return err
			}
		} else if err := w.value(kind, depth+1, id, minListStruct); err != nil {
			return err
		}
	}
	return nil
}

func (w *thriftWalker) byte() (byte, bool) {
	if len(w.b) == 0 {
		return 0, false
	}
	b := w.b[0]
	w.b = w.b[1:]
	return b, true
}

func (w *thriftWalker) skip(n int) error {
	if n > len(w.b) {
		return errThrift
	}
	w.b = w.b[n:]
	return nil
}

func (w *thriftWalker) varint() error {
	_, n := binary.Uvarint(w.b)
	if n <= 0 {
		return errThrift
	}
	w.b = w.b[n:]
	return nil
}

// length reads a count, which cannot exceed the bytes that are left.
func (w *thriftWalker) length() (int, error) {
	v, n := binary.Uvarint(w.b)
	if n <= 0 || v > uint64(len(w.b)) {
		return 0, errThrift
	}
	w.b = w.b[n:]
	return int(v), nil
}
