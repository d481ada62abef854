package mmap

import "syscall"

// Anonymous is zeroed memory from the system, outside of the Go heap, for Unmap to give back. It begins at a page.
func Anonymous(size int) ([]byte, error) {
	return syscall.Mmap(-1, 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANONYMOUS)
}

// Unmap gives back what Anonymous returned.
func Unmap(memory []byte) error { return syscall.Munmap(memory) }
