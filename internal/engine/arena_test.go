package engine_test

import (
	"testing"
	"unsafe"

	"github.com/goprm/goprm/internal/engine"
	"github.com/stretchr/testify/require"
	"gorgonia.org/gorgonia"
)

// taking is a backend that knows how much memory is taken from it.
type taking struct {
	engine.Backend
	sizes map[unsafe.Pointer]int
}

func (*taking) SharesHostMemory() {}

func (b *taking) Alloc(bytes int) (unsafe.Pointer, error) {
	ptr, err := b.Backend.Alloc(bytes)
	b.sizes[ptr] = bytes
	return ptr, err
}

func (b *taking) Free(ptr unsafe.Pointer) {
	delete(b.sizes, ptr)
	b.Backend.Free(ptr)
}

// arenas counts the pieces of memory of a size.
func (b *taking) arenas(size int) (n int) {
	for _, bytes := range b.sizes {
		if bytes == size {
			n++
		}
	}
	return n
}

func TestMachinesShareAnArena(t *testing.T) {
	b := &taking{backend(t), map[unsafe.Pointer]int{}}
	g := newGraph(t, engine.F32, lengths, 0, b)
	trains := engine.Plan{Outputs: append(gorgonia.Nodes{g.loss}, g.grads...), Loss: g.loss}
	scores := engine.Plan{Outputs: gorgonia.Nodes{g.loss}}
	compile := func(p engine.Plan, arena *engine.Arena) (*engine.Machine, error) {
		p.Arena = arena
		m, err := engine.Compile(p, b)
		if err == nil {
			for n, v := range g.values {
				require.NoError(t, m.Bind(n, v))
			}
		}
		return m, err
	}
	alone, err := compile(trains, nil)
	require.NoError(t, err)
	require.NoError(t, alone.RunAll())
	want, size := g.outputs(alone), alone.Stats().Arena
	require.NoError(t, alone.Close())
	require.Zero(t, b.arenas(size))

	var arena engine.Arena
	first, err := compile(trains, &arena)
	require.NoError(t, err)
	second, err := compile(scores, &arena)
	require.NoError(t, err)
	require.Less(t, second.Stats().Arena, size)
	require.Equal(t, 1, b.arenas(size))
	require.Zero(t, b.arenas(second.Stats().Arena), "it has none of its own")
	for range 2 {
		require.NoError(t, first.RunAll())
		require.NoError(t, second.RunAll())
		require.Equal(t, want, g.outputs(first), "which outlive the other's run")
		require.Equal(t, want[0], second.Output(g.loss).Bytes())
	}
	require.NoError(t, first.Close())
	require.Equal(t, 1, b.arenas(size), "the second is open")
	require.NoError(t, second.RunAll())
	require.NoError(t, second.Close())
	require.Zero(t, b.arenas(size))

	second, err = compile(scores, &arena)
	require.NoError(t, err)
	held := len(b.sizes)
	_, err = compile(trains, &arena)
	require.ErrorIs(t, err, engine.ErrArena)
	require.Len(t, b.sizes, held, "a machine that cannot be had keeps nothing")
	require.NoError(t, second.RunAll())
	require.NoError(t, second.Close())
}
