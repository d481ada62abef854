package main

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// Go has processors to spare while a server runs, which computes with no more threads than without them; a limit is kept to.
func TestSpareProcessors(t *testing.T) {
	before := runtime.GOMAXPROCS(runtime.NumCPU())
	defer runtime.GOMAXPROCS(before)
	all := runtime.NumCPU()
	p := &program{}
	restore := p.spareProcessors()
	require.Equal(t, all+max(1, all/2)+1, runtime.GOMAXPROCS(0))
	require.Equal(t, all, p.threads)
	restore()
	require.Equal(t, all, runtime.GOMAXPROCS(0))
	p = &program{threads: 1}
	p.spareProcessors()()
	require.Equal(t, 1, p.threads, "as it was given")
	if all > 1 {
		runtime.GOMAXPROCS(all - 1)
		p = &program{}
		defer p.spareProcessors()()
		require.Equal(t, all-1, runtime.GOMAXPROCS(0))
		require.Zero(t, p.threads)
	}
}
