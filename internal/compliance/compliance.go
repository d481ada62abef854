// Package compliance checks that a backend's kernels are what internal/ops describes: every op against a plain float64
// reference written here, gradients against central differences, and the promises about batches, capacities, workers
// and memory bit for bit. Backends call Run from their tests.
package compliance

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"
)

// spareRows is how many dead rows a case gets when its capacity exceeds its live counts.
const spareRows = 5

// shortElements is how many numbers a call may have to take part in short tests, which run under the race detector.
const shortElements = 1500

// Options say how much is checked.
type Options struct {
	BF16     bool     // the backend computes in bf16 too
	Int8     bool     // it has Int8Ops
	Only     []string // these ops alone, in bf16 alone, with sizes that tensor-core kernels like among them
	Elements int      // leave out what a slow device takes long for: cases with more numbers than this, and gradients; 0: nothing
	Rows     int      // at most so many rows of a call are computed alone as well, spread over all of them; 0: every row
	// OtherKernels, if set, says that in bf16 other kernels take over where inputs lie misaligned and where ops stand alone, whose
	// sums may be rounded otherwise: the results need not have the same bits then, but be as near to the reference. It is told what
	// was compared, and how many of its numbers differ.
	OtherKernels func(what string, numbers, differing int)
	Error        func(share float64) // is told how large the largest error of a result is, as a share of what is allowed; nil: nothing is
}

// alone are the rows, of so many, that are computed alone too: the first, the last and some between.
func (opt Options) alone(rows int) []int {
	few := rows
	if opt.Rows > 0 {
		few = min(few, opt.Rows)
	}
	list := make([]int, few)
	for i := range list {
		list[i] = i * (rows - 1) / max(1, few-1)
	}
	return list
}

// Run checks the backends that open returns; open closes none of them and workers is engine.Options.Workers. Short tests
// run each op's small cases in f32.
func Run(t *testing.T, open func(workers int) engine.Backend, opt Options) {
	one, two, three := device{open(1)}, device{open(2)}, device{open(3)}
	t.Cleanup(func() {
		for _, d := range []device{one, two, three} {
			require.NoError(t, d.Close())
		}
	})
	dtypes := []tensor.Dtype{engine.F32, engine.F64}
	if opt.Only != nil {
		dtypes = nil
	}
	if opt.BF16 {
		dtypes = append(dtypes, engine.BFloat16)
	}
	for _, dtype := range dtypes {
		t.Run(engine.DTypeName(dtype), func(t *testing.T) {
			if testing.Short() && dtype != engine.F32 {
				t.Skip("short")
			}
			narrow := dtype == engine.BFloat16
			covered, lost, updates := map[string]bool{}, map[string]bool{}, map[string]bool{}
			all, known := cases(), opt.ops(two, dtype)
			if opt.Only != nil {
				all = slices.Concat(alignedProducts(), tensorCoreAttention(opt.Elements == 0))
			}
			for i, k := range all {
				seed := uint64(i)
				exact := k.build(newMaker(seed, 0, dtype))
				if opt.Only != nil && !slices.Contains(opt.Only, exact.op) {
					continue
				}
				if !slices.Contains(known, exact.op) {
					continue
				}
				covered[exact.op] = true
				if testing.Short() && exact.elements() > shortElements || opt.Elements > 0 && exact.elements() > opt.Elements {
					continue
				}
				t.Run(fmt.Sprintf("%s/%s", exact.op, k.name), func(t *testing.T) {
					want := exact.want()
					got := two.run(t, exact, placement{countAllocs: true})
					share := requireClose(t, exact.op, dtype, want, got)
					if opt.Error != nil {
						opt.Error(share)
					}
					same := func(what string, other []float64) { // whose kernels may be others
						t.Helper()
						if opt.OtherKernels == nil || !narrow {
							requireSameBits(t, what, got, other)
							return
						}
						requireClose(t, exact.op, dtype, want, other)
						opt.OtherKernels(exact.op+", "+what, len(got), differing(got, other))
					}
					if exact.partial {
						requireUntouched(t, want, got)
					}
					if exact.single != nil {
						single := exact.single(func(c *call) value { return two.value(t, c) })
						same("op by op", two.run(t, single, placement{}))
					}
					requireSameBits(t, "one worker", got, one.run(t, exact, placement{}))
					requireSameBits(t, "three workers", got, three.run(t, exact, placement{}))
					same("inputs elsewhere, misaligned", two.run(t, exact, placement{offset: 1, moved: true}))
					if exact.inPlace {
						requireSameBits(t, "in place", got, two.run(t, exact, placement{inPlace: true}))
					}
					if exact.capacityRows() {
						large := k.build(newMaker(seed, spareRows, dtype))
						requireSameBits(t, "larger capacity, dead rows of NaN", specified(want, got),
							specified(large.want(), two.run(t, large, placement{})))
					}
					if lostInputs(t, two, exact) {
						lost[exact.op] = true
						requireSameBits(t, "after a fault", got, two.run(t, exact, placement{}))
					}
					for _, r := range opt.alone(exact.separable) {
						alone, from, to := exact.row(r)
						requireSameBits(t, fmt.Sprintf("row %d alone", r), got[from:to], one.run(t, alone, placement{}))
					}
				})
			}
			if opt.Only == nil && !narrow {
				for _, rule := range updateRules(dtype) {
					covered[rule.op], updates[rule.op] = true, true
					t.Run(rule.name, func(t *testing.T) { checkUpdate(t, one, three, dtype, rule) })
				}
				t.Run("clip/not finite", func(t *testing.T) { clipNotFinite(t, one) })
			}
			if testing.Short() || opt.Only != nil && !slices.Contains(opt.Only, "attention") {
				return
			}
			if opt.Elements == 0 {
				t.Run("attention/packing", func(t *testing.T) { attentionPacking(t, two, dtype) })
			}
			if opt.Only != nil {
				return
			}
			if opt.Elements == 0 {
				trained := slices.Collect(maps.Keys(updates)) // the optimizer's, whose state is never mapped
				require.Subset(t, append(trained, slices.Collect(maps.Keys(lost))...), known, "the ops that met a lost file")
			}
			t.Run("special numbers", func(t *testing.T) { specialNumbers(t, two, dtype, known) })
			require.ElementsMatch(t, known, slices.Collect(maps.Keys(covered)), "the ops that have cases")
			if dtype == engine.F32 {
				t.Run("adamw/dithering", func(t *testing.T) { dithering(t, one) })
			}
		})
	}
	if opt.Only != nil {
		return
	}
	if !testing.Short() && opt.Elements == 0 {
		t.Run("gradients", func(t *testing.T) { gradients(t, two) })
	}
	t.Run("bad input", func(t *testing.T) { badInput(t, two) })
}

// ops lists the ops that the backend computes in a dtype, with those that it says it fuses.
func (opt Options) ops(d device, dtype tensor.Dtype) []string {
	known := ops.OpsWithBF16()
	if dtype != engine.BFloat16 {
		known = slices.DeleteFunc(ops.Ops(), func(op string) bool {
			return slices.Contains(ops.FusedOps(), op) || slices.Contains(ops.Int8Ops(), op) && !(opt.Int8 && dtype == engine.F32)
		})
	}
	for _, rule := range engine.FusionsOf(d.Backend) {
		if rule.DType == dtype && !slices.Contains(known, rule.Kernel) {
			known = append(known, rule.Kernel)
		}
	}
	return known
}

// sameBits holds for any two NaN.
func sameBits(a, b float64) bool {
	return math.Float64bits(a) == math.Float64bits(b) || math.IsNaN(a) && math.IsNaN(b)
}

// differing counts the numbers that have not the same bits.
func differing(a, b []float64) (n int) {
	for i := range a {
		if !sameBits(a[i], b[i]) {
			n++
		}
	}
	return n
}

func requireSameBits(t *testing.T, what string, want, got []float64) {
	t.Helper()
	require.Len(t, got, len(want), what)
	for i := range want {
		if !sameBits(want[i], got[i]) {
			require.Failf(t, "bits differ", "%s: element %d is %g, was %g", what, i, got[i], want[i])
		}
	}
}

// requireUntouched: what is not specified is the NaN that it was.
func requireUntouched(t *testing.T, want, got []float64) {
	t.Helper()
	for i := range want {
		require.True(t, !math.IsNaN(want[i]) || math.IsNaN(got[i]), "element %d was written", i)
	}
}

// specified picks the elements that the reference specifies; it marks the others NaN.
func specified(want, got []float64) []float64 {
	var picked []float64
	for i, w := range want {
		if !math.IsNaN(w) {
			picked = append(picked, got[i])
		}
	}
	return picked
}

// A testCase is a call at given live counts; build draws the same values whatever the capacity.
type testCase struct {
	name  string
	build func(m *maker) *call
}

func cases() []testCase {
	return slices.Concat(productCases(), int8Cases(), rowCases(), encoderCases(), headCases(), vocabularyCases(), cacheCases(),
		attentionCases(), optimizerCases())
}
