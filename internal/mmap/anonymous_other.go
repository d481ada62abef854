//go:build !linux

package mmap

import "errors"

// Anonymous is of linux alone.
func Anonymous(int) ([]byte, error) { return nil, errors.ErrUnsupported }

// Unmap has nothing to give back.
func Unmap([]byte) error { return nil }
