package cpu

import (
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/goprm/goprm/internal/compliance"
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
	"github.com/stretchr/testify/require"
)

func openWith(t *testing.T, kernels string) func(workers int) engine.Backend {
	return func(workers int) engine.Backend {
		b, err := engine.Open("cpu", engine.Options{Kernels: kernels, Workers: workers})
		require.NoError(t, err)
		return b
	}
}

func TestPortableCompliance(t *testing.T) {
	compliance.Run(t, openWith(t, "portable"), compliance.Options{BF16: true, Int8: true})
}

func TestEveryOpIsListed(t *testing.T) {
	require.ElementsMatch(t, ops.Ops(), append(slices.Collect(maps.Keys(portable)), ops.FusedOps()...))
	for _, k := range instances() {
		for op := range k.table() {
			require.Contains(t, slices.Concat(slices.Collect(maps.Keys(portable)), ops.FusedOps()), op, k.name)
		}
	}
}

func TestOpen(t *testing.T) {
	b := openWith(t, "portable")(1)
	require.Equal(t, "cpu/portable", b.Name())
	ptr, err := b.Alloc(100)
	require.NoError(t, err)
	require.Zero(t, uintptr(ptr)%64)
	require.Equal(t, strings.Repeat("\x00", 100), string(unsafe.Slice((*byte)(ptr), 100)))
	_, err = b.Alloc(-1)
	require.ErrorContains(t, err, "-1 bytes")
	four := engine.FromSlice(make([]float32, 1), 1)
	require.ErrorContains(t, b.Upload(four, make([]byte, 5)), "5 bytes for a tensor of 4")
	require.ErrorContains(t, b.Download(make([]byte, 5), four), "5 bytes wanted of a tensor of 4")
	require.NoError(t, b.Close())
	require.NoError(t, b.Close())

	for kernels, want := range map[string]string{"neon": "neon", "AVX2": "AVX2"} {
		_, err := engine.Open("cpu", engine.Options{Kernels: kernels})
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "want auto, portable")
	}
	_, err = engine.Open("cpu:1", engine.Options{})
	require.ErrorContains(t, err, "cpu:1")
	_, err = engine.Open("cpu", engine.Options{Workers: -1})
	require.ErrorContains(t, err, "-1 workers")
	for _, k := range instances() {
		b, err := engine.Open("cpu", engine.Options{Kernels: k.name})
		if k.runs() {
			require.NoError(t, err)
			require.Equal(t, "cpu/"+k.name, b.Name())
			require.NoError(t, b.Close())
			continue
		}
		require.ErrorContains(t, err, k.needs)
	}

	t.Setenv(KernelsEnv, "portable")
	require.Equal(t, "cpu/portable", openWith(t, "auto")(1).Name())
	t.Setenv(KernelsEnv, "nonsense")
	_, err = engine.Open("cpu", engine.Options{})
	require.ErrorContains(t, err, KernelsEnv)
	require.Equal(t, "cpu/portable", openWith(t, "portable")(1).Name(), "options win over the environment")
}

func TestPool(t *testing.T) {
	for _, workers := range []int{1, 2, 5} {
		p := newPool(workers)
		for _, n := range []int{0, 1, 2, 100} {
			counts := make([]atomic.Int32, n)
			for range 50 {
				require.NoError(t, p.run(n, func(i int) { counts[i].Add(1) }))
			}
			for i := range counts {
				require.EqualValues(t, 50, counts[i].Load(), "task %d of %d, %d workers", i, n, workers)
			}
		}
		require.ErrorContains(t, p.run(10, func(i int) {
			if i == 3 {
				panic("task three")
			}
		}), "task three")
		require.NoError(t, p.run(10, func(int) {}), "a panic is over with its run")
		task := func(int) {}
		require.Zero(t, testing.AllocsPerRun(10, func() { _ = p.run(10, task) }))
		p.close()
		p.close()
		require.ErrorContains(t, p.run(1, func(int) {}), "closed")
	}
}
