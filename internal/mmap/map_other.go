//go:build !linux

package mmap

import "os"

// mapFile reads the file into memory: mapping is for linux alone.
func mapFile(file *os.File, size int) (data []byte, release func() error, err error) {
	data = make([]byte, size)
	if _, err := file.ReadAt(data, 0); err != nil {
		return nil, nil, err
	}
	return data, func() error { return nil }, nil
}

// reopen has no need to: the file is in memory.
func (*Mapping) reopen() *os.File { return nil }

func isBadAddress(error) bool { return false }

// state is nothing: what was read does not change with the file.
type state struct{ size int64 }

func stateOf(os.FileInfo) *state { return &state{} }

func (*state) sameFile(*state) bool { return true }

func (*state) written(*state) bool { return false }
