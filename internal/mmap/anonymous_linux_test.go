package mmap

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// flagsOf are the kernel's flags of the mapping that holds an address.
func flagsOf(t *testing.T, memory []byte) string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/smaps")
	require.NoError(t, err)
	var from, to uint64
	at := uint64(uintptr(unsafe.Pointer(unsafe.SliceData(memory))))
	for line := range strings.Lines(string(text)) {
		if n, _ := fmt.Sscanf(line, "%x-%x ", &from, &to); n == 2 {
			continue
		}
		if flags, ok := strings.CutPrefix(line, "VmFlags:"); ok && from <= at && at < to {
			return strings.TrimSpace(flags) + " "
		}
	}
	t.Fatal("the memory is not mapped")
	return ""
}

// Memory of a tensor's size asks for huge pages, small memory does not, and both are zeros that can be written and given back.
func TestLargeMemoryAsksForHugePages(t *testing.T) {
	if _, err := os.Stat("/sys/kernel/mm/transparent_hugepage"); err != nil {
		t.Skip("the kernel has no huge pages to ask for")
	}
	for size, huge := range map[int]bool{hugeBytes: true, hugeBytes - 1: false, 2*hugeBytes + 12345: true} {
		memory, err := Anonymous(size)
		require.NoError(t, err)
		require.Len(t, memory, size)
		require.Equal(t, huge, strings.Contains(flagsOf(t, memory), " hg "), "%d bytes", size)
		for i := 0; i < size; i += 4096 {
			require.Zero(t, memory[i])
			memory[i] = 1
		}
		memory[size-1] = 2
		require.NoError(t, Unmap(memory))
	}
}
