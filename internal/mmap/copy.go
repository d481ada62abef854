package mmap

import "unsafe"

// Copy is the built-in copy for a source that may lie in a mapping. It reads the mapping's file then: one that was cut short is a
// *[FaultError] without a fault on the way, and what is copied does not become memory of this process. Where the file's name is gone or
// another file's, it copies from the mapping, under [Guard].
func Copy(dst, src []byte) (int, error) {
	n := min(len(dst), len(src))
	if n == 0 {
		return 0, nil
	}
	m, offset := mappingAt(uintptr(unsafe.Pointer(unsafe.SliceData(src))))
	if m == nil {
		return copy(dst, src), nil
	}
	file := m.reopen()
	if file == nil {
		return n, Guard(func() error {
			copy(dst, src)
			return nil
		})
	}
	defer func() { _ = file.Close() }() // it was read only
	if got, err := file.ReadAt(dst[:n], offset); err != nil {
		return got, &FaultError{m.path, offset + int64(got)}
	}
	return n, nil
}
