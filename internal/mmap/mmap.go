// Package mmap maps files into memory, read only, and takes memory from the system itself.
package mmap

import (
	"errors"
	"fmt"
	"io"
	"os"
)

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
