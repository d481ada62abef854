package mmap

import (
	"fmt"
	"os"
	"syscall"
)

// Map maps a file of size > 0 bytes, read only; release undoes it.
func Map(file *os.File, size int) (data []byte, release func() error, err error) {
	data, err = syscall.Mmap(int(file.Fd()), 0, size, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot be mapped: %w", err)
	}
	return data, func() error { return syscall.Munmap(data) }, nil
}
