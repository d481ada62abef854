package mmap

import (
	"bytes"
	"os"
	"strconv"
	"syscall"
	"unsafe"
)

// Release gives back the memory behind whole pages of a mapping; they are read from the file again when they are next used. It must
// not be called with memory that is no mapping of a file.
func Release(data []byte) error {
	page := os.Getpagesize()
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(data)))) & (page - 1)
	if len(data) < skip+page {
		return nil
	}
	return syscall.Madvise(data[skip:skip+(len(data)-skip)&^(page-1)], syscall.MADV_DONTNEED)
}

// Available is how many bytes of memory the process may still take: what the system has, or its control group allows; 0 if unknown.
func Available() int64 {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(text, []byte("MemAvailable:"))
	fields := bytes.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	kilobytes, err := strconv.ParseInt(string(fields[0]), 10, 64)
	if err != nil {
		return 0
	}
	available := kilobytes << 10
	if text, err = os.ReadFile("/sys/fs/cgroup/memory.max"); err == nil {
		if limit, err := strconv.ParseInt(string(bytes.TrimSpace(text)), 10, 64); err == nil { // else it says max
			available = min(available, limit)
		}
	}
	return available
}
