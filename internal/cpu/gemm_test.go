//go:build linux && amd64 && !noasm

package cpu

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"unsafe"

	"github.com/goprm/goprm/internal/engine"
	"github.com/stretchr/testify/require"
)

// gemmCase is a product's operands in one of the layouts that the linear ops need.
type gemmCase struct {
	set     *instructionSet
	m, n, k int
	a, b    []float32 // as in memory
	b16     []engine.BF16
	aAlongK bool
	bAlongK bool
	bias    []float32
}

func newGEMMCase(r *rand.Rand, m, n, k int, layout string, bf16, bias bool) *gemmCase {
	p := &gemmCase{set: avx2Set, m: m, n: n, k: k, aAlongK: layout[0] == 'N', bAlongK: layout[1] == 'T'}
	p.a, p.b = normal(r, m*k), normal(r, n*k)
	if bf16 {
		p.b16 = make([]engine.BF16, n*k)
		for i, v := range p.b {
			p.b16[i] = engine.ToBF16(v)
			p.b[i] = p.b16[i].Float32()
		}
	}
	if bias {
		p.bias = normal(r, n)
	}
	return p
}

func normal(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

func (p *gemmCase) aAt(i, k int) float64 {
	if p.aAlongK {
		return float64(p.a[i*p.k+k])
	}
	return float64(p.a[k*p.m+i])
}

func (p *gemmCase) bAt(j, k int) float64 {
	if p.bAlongK {
		return float64(p.b[j*p.k+k])
	}
	return float64(p.b[k*p.n+j])
}

func (p *gemmCase) run(t testing.TB, workers int) []float32 {
	t.Helper()
	g, c := p.prepare(t, workers)
	require.NoError(t, g.run())
	return c
}

func (p *gemmCase) prepare(t testing.TB, workers int) (*gemm, []float32) {
	pool := newPool(workers)
	t.Cleanup(pool.close)
	c := make([]float32, p.m*p.n)
	for i := range c {
		c[i] = float32(math.NaN())
	}
	g := newGEMM(pool, &scratch{set: p.set}, alignedFloats(packedRoom))
	g.m, g.n, g.k = p.m, p.n, p.k
	g.a = matrix{ptr: unsafe.Pointer(unsafe.SliceData(p.a)), ld: p.m, alongK: p.aAlongK}
	if p.aAlongK {
		g.a.ld = p.k
	}
	g.b = matrix{ptr: unsafe.Pointer(unsafe.SliceData(p.b)), ld: p.n, alongK: p.bAlongK}
	if p.bAlongK {
		g.b.ld = p.k
	}
	if p.b16 != nil {
		g.b.ptr, g.b.bf16 = unsafe.Pointer(unsafe.SliceData(p.b16)), true
	}
	g.c, g.bias = unsafe.SliceData(c), unsafe.SliceData(p.bias)
	return g, c
}

// want is the product in float64 and, for each element, the sum of the magnitudes that were added.
func (p *gemmCase) want() (c, magnitude []float64) {
	c, magnitude = make([]float64, p.m*p.n), make([]float64, p.m*p.n)
	for i := range p.m {
		for j := range p.n {
			var sum, size float64
			if p.bias != nil {
				sum, size = float64(p.bias[j]), math.Abs(float64(p.bias[j]))
			}
			for k := range p.k {
				v := p.aAt(i, k) * p.bAt(j, k)
				sum, size = sum+v, size+math.Abs(v)
			}
			c[i*p.n+j], magnitude[i*p.n+j] = sum, size
		}
	}
	return c, magnitude
}

func needAVX2(t testing.TB) { need(t, "avx2") }

// sets are the instruction sets that this machine runs.
func sets() map[string]*instructionSet {
	all := map[string]*instructionSet{}
	if runsAVX2() {
		all["avx2"] = avx2Set
	}
	if runsAVX512() {
		all["avx512"] = avx512Set
	}
	return all
}

func TestGEMMAgainstFloat64(t *testing.T) {
	needAVX2(t)
	r := rand.New(rand.NewPCG(1, 2))
	shapes := [][3]int{
		{1, 1, 1}, {1, 2, 896}, {5, 3, 7}, {6, 16, 256}, {7, 17, 257}, {12, 32, 8}, {13, 48, 515}, {65, 33, 100},
		{200, 130, 70}, {401, 16, 33}, {3, 300, 1025}, {100, 7, 5200}, {0, 4, 4}, {4, 5, 0}, {450, 20, 5121},
	}
	for _, s := range shapes {
		for _, layout := range []string{"NT", "NN", "TN"} {
			for _, bf16 := range []bool{false, true} {
				p := newGEMMCase(r, s[0], s[1], s[2], layout, bf16, layout == "NT")
				want, magnitude := p.want()
				var first []float32 // every set has the same bits
				for i := range 3 * len(sets()) {
					name := slices.Sorted(maps.Keys(sets()))[i/3]
					p.set = sets()[name]
					workers := 1 + i%3
					got := p.run(t, workers)
					for i := range want {
						if d := math.Abs(want[i] - float64(got[i])); !(d <= 4e-7*magnitude[i]) {
							t.Fatalf("%v %s bf16 %v element %d: %g, want %g", s, layout, bf16, i, got[i], want[i])
						}
					}
					if first == nil {
						first = got
					}
					require.Equal(t, first, got, "%v %s: %s, %d workers", s, layout, name, workers)
				}
			}
		}
	}
}

// A row's bits are those that it has alone, and a sum longer than one block of K is a sum of blocks.
func TestGEMMRowAloneHasTheSameBits(t *testing.T) {
	needAVX2(t)
	r := rand.New(rand.NewPCG(3, 4))
	p := newGEMMCase(r, 397, 77, 5300, "NT", true, true)
	for name, set := range sets() {
		p.set = set
		whole := p.run(t, 2)
		for _, row := range []int{0, 5, 200, 383, 384, 396} {
			alone := *p
			alone.m, alone.a = 1, p.a[row*p.k:][:p.k]
			require.Equal(t, alone.run(t, 1), whole[row*p.n:][:p.n], "%s: row %d", name, row)
		}
		for _, j := range []int{0, 15, 76} {
			require.Equal(t, p.specified(396, j), whole[396*p.n+j], "%s: column %d", name, j)
		}
	}
}

// specified is the sum order that the kernels promise.
func (p *gemmCase) specified(i, j int) float32 {
	var sum float32
	for k := 0; k < p.k; k += kBlock {
		var block float32
		for kk := k; kk < min(p.k, k+kBlock); kk++ {
			block = fma32(float32(p.aAt(i, kk)), float32(p.bAt(j, kk)), block)
		}
		if k == 0 && p.bias != nil {
			sum = p.bias[j]
		}
		sum += block
	}
	return sum
}

func BenchmarkGEMM(b *testing.B) {
	needAVX2(b)
	for _, s := range []struct {
		m, n, k int
		layout  string
		bf16    bool
	}{
		{2048, 896, 896, "NT", true}, {2048, 896, 896, "NT", false}, {2048, 128, 896, "NT", true}, {2048, 4864, 896, "NT", true},
		{2048, 896, 4864, "NT", true}, {240, 4864, 896, "NT", true}, {240, 4864, 896, "NT", false}, {240, 896, 4864, "NT", true},
		{2048, 16, 896, "NT", false}, {2048, 896, 16, "NT", false}, {2048, 896, 4864, "NN", true}, {2048, 4864, 896, "NN", true},
		{2048, 16, 896, "NN", false}, {16, 896, 2048, "TN", false}, {896, 16, 2048, "TN", false},
		{4864, 896, 2048, "TN", false}, {5, 896, 896, "NT", true},
	} {
		for workers := 1; workers <= 2; workers++ {
			dtype := "f32"
			if s.bf16 {
				dtype = "bf16"
			}
			for _, name := range slices.Sorted(maps.Keys(sets())) {
				b.Run(fmt.Sprintf("%s-%s/M%d-N%d-K%d/workers%d/%s", s.layout, dtype, s.m, s.n, s.k, workers, name), func(b *testing.B) {
					p := newGEMMCase(rand.New(rand.NewPCG(5, 6)), s.m, s.n, s.k, s.layout, s.bf16, false)
					p.set = sets()[name]
					g, _ := p.prepare(b, workers)
					reportRate(b, 2*float64(s.m)*float64(s.n)*float64(s.k), g.run)
				})
			}
		}
	}
}

// BenchmarkMicroKernel is what the products can reach at best: panels in the first caches.
func BenchmarkMicroKernel(b *testing.B) {
	for _, name := range slices.Sorted(maps.Keys(sets())) {
		set := sets()[name]
		a, panel, c := alignedFloats(set.mr*kBlock), alignedFloats(set.nr*kBlock), alignedFloats(set.mr*set.nr)
		b.Run(name, func(b *testing.B) {
			reportRate(b, 2*float64(set.mr*set.nr)*kBlock*1000, func() error {
				for range 1000 {
					set.tile(1, kBlock, &a[0], &panel[0], &c[0], set.nr, &zeros[0], 0)
				}
				return nil
			})
		})
	}
}

// reportRate runs work and reports its speed by the clock and by the processor time it took, which other programs on
// the machine disturb less.
func reportRate(b *testing.B, flops float64, work func() error) {
	require.NoError(b, work())
	cpu := processorSeconds(b)
	b.ResetTimer()
	for range b.N {
		require.NoError(b, work())
	}
	b.StopTimer()
	flops *= float64(b.N) / 1e9
	b.ReportMetric(flops/b.Elapsed().Seconds(), "GFLOPS")
	b.ReportMetric(flops/(processorSeconds(b)-cpu), "GFLOPS/core")
}

func processorSeconds(b *testing.B) float64 {
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return float64(u.Utime.Sec) + float64(u.Utime.Usec)/1e6 + float64(u.Stime.Sec) + float64(u.Stime.Usec)/1e6
}
