//go:build linux && (amd64 || arm64) && !nocuda

package cuda

import (
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/goprm/goprm/cuda/internal/driver"
	"github.com/goprm/goprm/cuda/internal/emulator"
	"github.com/goprm/goprm/internal/compliance"
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"
)

func openEmulated(t testing.TB) engine.Backend {
	t.Helper()
	emulator.Use(t)
	b, err := engine.Open("cuda:0", engine.Options{})
	require.NoError(t, err)
	return b
}

// hopper notes the kernels of sm90a, which a device of that capability compiles.
func hopper(t *testing.T, launched map[string]*kernel) {
	b := openHopper(t)
	defer func() { require.NoError(t, b.Close()) }()
	b.(*backend).launched = launched
	typed := func(dtype tensor.Dtype, shape ...int) *engine.Tensor { return engine.NewTensor(nil, dtype, shape, nil) }
	of := func(shape ...int) *engine.Tensor { return typed(engine.BFloat16, shape...) }
	compile := func(c engine.Call) {
		_, err := b.Compile(c)
		require.NoError(t, err, c.Op)
	}
	for _, width := range []int{128, 192, 256} {
		for _, rows := range []int{128, 256} { // two tiles on two multiprocessors: each by itself, and a pair
			n := width * 256 / rows
			compile(engine.Call{Op: "linear", Rows: engine.Fixed, In: []*engine.Tensor{of(rows, 72), of(n, 72)}, Out: of(rows, n)})
			compile(engine.Call{Op: "linear_dx", Rows: engine.Fixed, In: []*engine.Tensor{of(rows, 72), of(72, n)}, Out: of(rows, n)})
		}
		compile(engine.Call{Op: "linear_dw", Rows: engine.Fixed, In: []*engine.Tensor{of(72, 256), of(72, width)},
			Out: typed(engine.F32, 256, width)})
	}
	for _, op := range []string{"linear", "linear_dx", "linear_dw"} {
		out := of(72, 72)
		if op == "linear_dw" {
			out = typed(engine.F32, 72, 72)
		}
		compile(engine.Call{Op: op, Rows: engine.Fixed, In: []*engine.Tensor{of(72, 72), of(72, 72)}, Out: out})
	}
	for _, rows := range []int{8, 136} {
		compile(engine.Call{Op: "linear_swiglu", Rows: engine.Fixed, In: []*engine.Tensor{of(rows, 8), of(8, 8), of(8, 8)}, Out: of(rows, 8)})
	}
	for _, dim := range []int{64, 128} {
		a := ops.Attention{Heads: 1, KVHeads: 1, HeadDim: dim}
		packed := of(8*dim + ops.LSELen(engine.BFloat16, 8))
		in := []*engine.Tensor{of(8, dim), of(8, dim), of(8, dim), typed(engine.I32, 2), typed(engine.I32, 2), typed(engine.I32, 1, ops.RangeLen)}
		compile(engine.Call{Op: "attention", Attr: a, Rows: engine.Tokens, Live: typed(engine.I32, 3), In: in, Out: packed})
		compile(engine.Call{Op: "attention_backward", Attr: a, Rows: engine.Tokens, Live: typed(engine.I32, 3),
			In: append(in, packed, of(8, dim)), Out: of(3 * 8 * dim)})
	}
}

// openHopper opens the emulated device as one of compute capability 9.0, with the kernels made for it.
func openHopper(t testing.TB) engine.Backend {
	t.Helper()
	emulator.Use(t)
	require.NoError(t, driver.Load())
	require.NoError(t, emulator.SetCapability(90))
	t.Cleanup(func() { require.NoError(t, emulator.SetCapability(0)) })
	b, err := engine.Open("cuda:0", engine.Options{Kernels: "sm90a"})
	require.NoError(t, err)
	return b
}

// On Hopper auto takes sm90a, whose trial sees what is planted in its kernels (scripts/mutate_cuda.sh runs this test too), and
// sm80 where the trial fails.
func TestEmulatedTrial(t *testing.T) {
	require.NoError(t, openHopper(t).Close())
	require.NoError(t, emulator.Configure(emulator.Mode{Jobs: 2}))
	b, err := engine.Open("cuda:0", engine.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, b.Close()) }()
	require.Equal(t, "cuda:0/sm90a", b.Name())
	b.(*backend).launched = map[string]*kernel{}
	require.NoError(t, b.(*backend).trial(trialLimit))
	for name := range readEntries(t) {
		if strings.Contains(name, "_hopper") {
			require.Contains(t, b.(*backend).launched, name, "the trial does not launch it")
		}
	}
	require.ErrorIs(t, b.(*backend).trial(0), driver.ErrHung, "no time")
	require.ErrorIs(t, b.Sync(), driver.ErrHung, "nothing more is asked of it")
	b.(*backend).hung = false // the emulator does come back
	require.NoError(t, b.Sync())
	devices, err := Devices()
	require.NoError(t, err)
	require.Equal(t, "sm90a", devices.Devices[0].Kernels)
}

// What sm90a has kernels of its own for, which pass what sm80's do, and with their bits where the emulator adds in one order.
func TestEmulatedSM90Products(t *testing.T) {
	hopperCompliance(t, 400000, "linear", "linear_dx", "linear_dw", "linear_add", "linear_dx_add", "linear_swiglu")
}

func TestEmulatedSM90Attention(t *testing.T) {
	hopperCompliance(t, 300000, "attention", "attention_backward")
}

// hopperCompliance runs cases of up to so many numbers; GOPRM_EMULATED=all runs all of them in four modes, which takes minutes. The
// kernel that a row takes alone is another in no mode, so every row is computed alone in one mode only.
func hopperCompliance(t *testing.T, elements int, only ...string) {
	b := openHopper(t)
	require.NoError(t, b.Close())
	modes := []emulator.Mode{{Late: true, Seed: 1, Jobs: 2}, {Jobs: 2}, {Late: true, Jobs: 2}, {Seed: 2, Jobs: 2}}
	opt := compliance.Options{BF16: true, Only: only}
	if os.Getenv("GOPRM_EMULATED") != "all" {
		modes, opt.Elements = modes[:1], elements
	}
	for _, count := range blockCounts(b) {
		for i, mode := range modes {
			mode.Races, opt.Rows = len(modes) > 1, 0
			if i > 0 {
				opt.Rows = 8
			}
			require.NoError(t, emulator.Configure(mode))
			compliance.Run(t, func(int) engine.Backend { return openHopperWith(t, count) }, opt)
		}
	}
}

// blockCounts are as many multiprocessors as make blocks take several tiles of a small product, and all of the device, which is that
// many too unless GOPRM_EMU_SMS says otherwise.
func blockCounts(b engine.Backend) []int {
	all := b.(*backend).model.Multiprocessors
	return slices.Compact([]int{min(fewMultiprocessors, all), all})
}

// openHopperWith opens it with the blocks of so many multiprocessors.
func openHopperWith(t testing.TB, multiprocessors int) engine.Backend {
	b := openHopper(t)
	b.(*backend).model.Multiprocessors = multiprocessors
	return b
}

// Every tile is taken once, whatever the shape and the live count. Whole numbers, so that sums are exact.
func TestEmulatedSM80Tiles(t *testing.T) { tiles(t, openEmulated(t)) }
func TestEmulatedSM90Tiles(t *testing.T) {
	b := openHopper(t)
	require.NoError(t, b.Close())
	for _, count := range blockCounts(b) {
		tiles(t, openHopperWith(t, count))
	}
}

func tiles(t *testing.T, b engine.Backend) {
	defer func() { require.NoError(t, b.Close()) }()
	require.NoError(t, emulator.Configure(emulator.Mode{Jobs: 2}))
	const k = 8
	for _, c := range []struct{ rows, live, columns int }{{2200, 2200, 264}, {2200, 2049, 264}, {2200, 1, 264}, {2200, 0, 264},
		{100, 100, 1304}} {
		whole := func(n, by, less int) *engine.Tensor {
			v := make([]engine.BF16, n*k)
			for i := range v {
				v[i] = engine.ToBF16(float32(i*by%11 - less))
			}
			return engine.FromSlice(v, n, k)
		}
		x, w, live := whole(c.rows, 7, 5), whole(c.columns, 5, 4), []int32{int32(c.live), 1, 1}
		placed := func(on *engine.Tensor) *engine.Tensor {
			d, err := engine.CopyTo(b, on)
			require.NoError(t, err)
			return d
		}
		missing := engine.ToBF16(-1000)
		y := make([]engine.BF16, c.rows*c.columns)
		for i := range y {
			y[i] = missing
		}
		out := placed(engine.FromSlice(y, c.rows, c.columns))
		launch, err := b.Compile(engine.Call{Op: "linear", Rows: engine.Tokens, Live: placed(engine.FromSlice(live, 3)),
			In: []*engine.Tensor{placed(x), placed(w)}, Out: out})
		require.NoError(t, err)
		require.NoError(t, launch())
		require.NoError(t, b.Sync())
		require.NoError(t, b.Download(engine.FromSlice(y, c.rows, c.columns).Bytes(), out))
		xs, ws := engine.Slice[engine.BF16](x), engine.Slice[engine.BF16](w)
		for r := range c.rows {
			for j := range c.columns {
				want := float32(0)
				for i := range k {
					want += xs[r*k+i].Float32() * ws[j*k+i].Float32()
				}
				if r >= c.live {
					want = -1000
				}
				if got := y[r*c.columns+j]; got != engine.ToBF16(want) {
					require.Failf(t, "a tile is wrong", "%+v: row %d, column %d is %g, want %g", c, r, j, got.Float32(), want)
				}
			}
		}
	}
}

// Every op in f32, f64 and bf16, with the threads of a block in a random order and its copies as late as may be. The whole
// suite, watched for races, takes minutes of the emulator, so it waits for GOPRM_EMULATED=all.
func TestEmulatedSM80Compliance(t *testing.T) {
	b := openEmulated(t)
	require.NoError(t, b.Close())
	mode, opt := emulator.Mode{Late: true, Seed: 1, Jobs: 2}, compliance.Options{BF16: true, Elements: 10000}
	if os.Getenv("GOPRM_EMULATED") == "all" {
		mode.Races, opt.Elements = true, 0
	}
	require.NoError(t, emulator.Configure(mode))
	launched := map[string]*kernel{}
	compliance.Run(t, func(int) engine.Backend {
		b := openEmulated(t)
		b.(*backend).launched = launched
		return b
	}, opt)
	if strings.Contains(flag.Lookup("test.run").Value.String(), "/") {
		return // a part alone
	}
	hopper(t, launched)
	sumsOfRanks(t, launched)
	if !testing.Short() && !t.Failed() {
		checkLaunches(t, launched)
	}
}
