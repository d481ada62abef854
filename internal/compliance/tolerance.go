package compliance

import (
	"math"
	"testing"

	"github.com/goprm/goprm/internal/engine"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"
)

// A tolerance bounds |got − want| by absolute + relative·|want|.
type tolerance struct{ absolute, relative float64 }

// class is a set of ops whose error has the same source. Cases are scaled so that results are of order one.
type class struct {
	ops            []string
	f32, f64, bf16 tolerance
}

// half is half a unit in the last place of bf16: what rounding the result alone may take. Attention also rounds its
// probabilities and slopes on the way.
const half = 1.0 / 256

var tolerances = []class{
	// Copies and sign changes: exact.
	{[]string{"embedding", "gather", "cache_write", "pick", "pick_dx", "relu", "relu_dx"},
		tolerance{0, 0}, tolerance{0, 0}, tolerance{0, half}},
	// One or two roundings.
	{[]string{"add", "scale", "dropout"}, tolerance{1e-7, 2.4e-7}, tolerance{2e-16, 4.5e-16}, tolerance{1e-6, half}},
	// A few roundings, and functions good to some units in the last place.
	{[]string{"sigmoid", "sigmoid_dx", "positive_prob", "positive_prob_dx", "log_prob", "swiglu", "swiglu_backward", "gelu", "tanh", "pool",
		"rmsnorm",
		"squared_error_dy", "bce_dz", "ce_dz", "sgd"},
		tolerance{5e-7, 1e-6}, tolerance{1e-15, 4e-15}, tolerance{1e-5, half}},
	// The same, of terms up to about ten that may cancel in the last sum. Where the mean is 128 deviations, float64's sums
	// reach 57000, whose last place is 7e-12; f32 does not notice.
	{[]string{"layernorm"}, tolerance{2e-6, 1e-6}, tolerance{4e-12, 4e-15}, tolerance{}},
	// Angles near 10⁴ lose 10⁴ of float64's precision before the sine, which f32 does not notice.
	{[]string{"rope"}, tolerance{5e-7, 5e-7}, tolerance{1e-11, 1e-13}, tolerance{1e-6, half}},
	// Sums of blocks that are exact, of which a term may be rounded to the neighbouring step of 1/127 of some units.
	{[]string{"linear_int8"}, tolerance{2e-3, 1e-6}, tolerance{}, tolerance{}},
	// Sums of up to a few hundred terms of order K^−½, or of float64 terms rounded once.
	{[]string{"linear", "linear_dx", "linear_dw", "linear_db", "embedding_dtable", "gather_dx", "rmsnorm_dx", "rmsnorm_dw", "squared_error",
		"bce", "ce", "sum_squares", "log_prob_block"},
		tolerance{4e-6, 2e-6}, tolerance{1e-14, 4e-15}, tolerance{1e-5, half}},
	// Products rounded on the way to bf16; their bits are compared with those of the single ops too.
	{[]string{"linear_add", "linear_dx_add"}, tolerance{}, tolerance{}, tolerance{3e-2, 2 * half}},
	// The same; in f32 the errors of two products, each times the other, which is up to about ten.
	{[]string{"linear_swiglu"}, tolerance{4e-5, 4e-6}, tolerance{}, tolerance{3e-2, 2 * half}},
	// Scores of order one from up to 128 terms, their exponentials, sums of up to some hundred values.
	{[]string{"attention"}, tolerance{4e-6, 4e-6}, tolerance{1e-14, 1e-14}, tolerance{8e-3, half}},
	// The same, through probabilities recomputed from a rounded log-sum-exp, summed over queries and heads.
	{[]string{"attention_backward"}, tolerance{2e-5, 1e-5}, tolerance{4e-14, 2e-14}, tolerance{5e-2, 2 * half}},
	// Division by the root of a small second moment.
	{[]string{"adamw", "clip"}, tolerance{5e-7, 2e-6}, tolerance{1e-15, 4e-15}, tolerance{}},
}

func toleranceOf(t *testing.T, op string, dtype tensor.Dtype) tolerance {
	for _, c := range tolerances {
		for _, name := range c.ops {
			switch {
			case name != op:
			case dtype == engine.F32:
				return c.f32
			case dtype == engine.BFloat16:
				return c.bf16
			default:
				return c.f64
			}
		}
	}
	require.Failf(t, "no tolerance", "op %s", op)
	return tolerance{}
}

// requireClose compares where want is not NaN, which marks what an op leaves unspecified, and returns the largest error as a share of
// what is allowed.
func requireClose(t *testing.T, op string, dtype tensor.Dtype, want, got []float64) (share float64) {
	t.Helper()
	require.Len(t, got, len(want))
	tol := toleranceOf(t, op, dtype)
	for i, w := range want {
		if math.IsNaN(w) || w == got[i] {
			continue
		}
		diff, allowed := math.Abs(got[i]-w), tol.absolute+tol.relative*math.Abs(w)
		if !(diff <= allowed) {
			require.Failf(t, "out of tolerance", "%s %s: element %d of %d is %g, want %g: off by %.3g, allowed %.3g",
				op, engine.DTypeName(dtype), i, len(want), got[i], w, diff, allowed)
		}
		share = max(share, diff/allowed)
	}
	return share
}
