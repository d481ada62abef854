package mmap

import "syscall"

// hugeBytes is the size from which memory asks for huge pages, of 2 MiB mostly, at whose ends little is lost then.
const hugeBytes = 8 << 20

// Anonymous is zeroed memory from the system, outside of the Go heap, for Unmap to give back. It begins at a page. Large memory asks for
// huge pages, which a kernel may refuse: fewer misses of the TLB where tiles touch a row a page.
func Anonymous(size int) ([]byte, error) {
	memory, err := syscall.Mmap(-1, 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANONYMOUS)
	if err == nil && size >= hugeBytes {
		_ = syscall.Madvise(memory, syscall.MADV_HUGEPAGE) // advice: memory is as good without
	}
	return memory, err
}

// Unmap gives back what Anonymous returned.
func Unmap(memory []byte) error { return syscall.Munmap(memory) }
