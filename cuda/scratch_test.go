//go:build linux && (amd64 || arm64) && !nocuda

package cuda

import (
	"errors"
	"testing"

	"github.com/goprm/goprm/internal/engine"
	"github.com/stretchr/testify/require"
)

// Scratch memory is as much as the call takes that wants most; what was outgrown stays for a recording alone. Calls that were compiled
// before go on where it lies now, also after one that wanted too much.
func TestEmulatedScratch(t *testing.T) {
	b := openEmulated(t).(*backend)
	defer func() { require.NoError(t, b.Close()) }()
	type sum struct {
		x, out *engine.Tensor
		launch engine.Launch
	}
	var sums [3]sum
	for i := range sums {
		x := engine.FromDType(engine.F32, sumBlock<<(5+i)) // 256 bytes of scratch memory and up
		for j, v := 0, engine.Slice[float32](x); j < len(v); j++ {
			v[j] = float32(i + 1)
		}
		var err error
		sums[i].x, err = engine.CopyTo(b, x)
		require.NoError(t, err)
		sums[i].out, err = engine.CopyTo(b, engine.FromDType(engine.F64, 1))
		require.NoError(t, err)
	}
	held := b.held()
	compile := func(i, scratch int) {
		var err error
		sums[i].launch, err = b.Compile(engine.Call{Op: "sum_squares", Rows: engine.Fixed, In: []*engine.Tensor{sums[i].x}, Out: sums[i].out})
		require.NoError(t, err)
		require.Equal(t, held+scratch, b.held())
	}
	gives := func(i int, launch func() error) {
		got := engine.FromDType(engine.F64, 1)
		require.NoError(t, b.Upload(sums[i].out, got.Bytes()))
		require.NoError(t, launch())
		require.NoError(t, b.Sync())
		require.NoError(t, b.Download(got.Bytes(), sums[i].out))
		require.Equal(t, float64((i+1)*(i+1)*sums[i].x.Size()), engine.Slice[float64](got)[0])
	}
	compile(0, 256)
	compile(1, 512)
	gives(0, sums[0].launch)
	gives(1, sums[1].launch)
	recorded, err := b.Record(sums[1].launch)
	require.NoError(t, err)
	compile(2, 512+1024)
	for i := range sums {
		gives(i, sums[i].launch)
	}
	gives(1, recorded.Replay)
	require.NoError(t, recorded.Close())
	require.Equal(t, held+1024, b.held())
	var memory *engine.MemoryError
	require.ErrorAs(t, b.do(func() error { return b.reserve(1 << 40) }), &memory)
	gives(1, sums[1].launch)
	require.Equal(t, held+512, b.held())
	planted := errors.New("planted")
	recorded, err = b.Record(func() error { return planted })
	require.ErrorIs(t, err, planted)
	require.Nil(t, recorded)
	require.Empty(t, b.recorded)
}
