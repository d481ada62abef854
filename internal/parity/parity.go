// Package parity compares the library with golden folders: models on disk with the numbers that PyTorch computed for
// them. Every file that a folder must hold is read and compared; a missing one is an error.
package parity

import (
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"text/tabwriter"

	"github.com/goprm/goprm/internal/engine"
	"gorgonia.org/tensor"
)

// Options select what computes.
type Options struct {
	DType   tensor.Dtype // compute dtype: engine.F32, engine.F64, or engine.BFloat16 where the backend has it
	Backend engine.Backend
	OnePass bool // leave out the training runs of a backbone: a slow device takes minutes for them
}

// Report is the outcome for one folder.
type Report struct {
	Folder string `json:"folder"`
	Rows   []Row  `json:"rows"`
}

// Row is one compared quantity, over all its tensors or steps.
type Row struct {
	Quantity  string  `json:"quantity"`
	Worst     float64 `json:"worst"` // relative error
	Where     string  `json:"where"` // the worst tensor or step
	Tolerance float64 `json:"tolerance"`
	Reported  bool    `json:"reported,omitempty"` // there is no tolerance, only NaN is wrong
}

// OK reports whether the worst error is within the tolerance; NaN is not.
func (r Row) OK() bool { return r.Worst <= r.Tolerance || r.Reported && !math.IsNaN(r.Worst) }

// OK reports whether every row is.
func (r *Report) OK() bool {
	for _, row := range r.Rows {
		if !row.OK() {
			return false
		}
	}
	return len(r.Rows) > 0
}

// Write prints the report as a table.
func (r *Report) Write(w io.Writer) error {
	if _, err := fmt.Fprintln(w, r.Folder); err != nil {
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range r.Rows {
		verdict := "ok"
		switch {
		case !row.OK():
			verdict = "DIFFERS"
		case row.Reported:
			verdict = "reported"
		}
		limit := fmt.Sprintf("of %.0e", row.Tolerance)
		if row.Reported {
			limit = ""
		}
		if _, err := fmt.Fprintf(t, "  %s\t%.2e\t%s\t%s\t%s\n", row.Quantity, row.Worst, limit, verdict, row.Where); err != nil {
			return err
		}
	}
	return t.Flush()
}

// Run compares one folder: a backbone (it holds batch.json) or a head format (it holds expected.json).
func Run(dir string, opt Options) (*Report, error) {
	c := &comparer{report: &Report{Folder: dir}, limits: limitsOf(opt.DType), opt: opt, key: engine.DTypeName(opt.DType)}
	if opt.DType == engine.BFloat16 {
		c.key = engine.DTypeName(engine.F64)
	}
	var err error
	switch {
	case exists(filepath.Join(dir, "batch.json")):
		err = c.backbone(dir)
	case exists(filepath.Join(dir, "expected.json")):
		err = c.head(dir)
	default:
		err = fmt.Errorf("%s: neither batch.json (a backbone) nor expected.json (a head format) is there", dir)
	}
	return c.report, err
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// limits are the relative tolerances of one compute dtype.
type limits struct{ value, gradient, curve, norm, last float64 }

func limitsOf(dtype tensor.Dtype) limits {
	switch dtype {
	case engine.F64:
		return limits{value: 1e-9, gradient: 1e-8, curve: 1e-8, norm: 1e-8}
	case engine.BFloat16: // curves and norms are reported; of a curve the last loss must be near
		return limits{value: 3e-2, gradient: 6e-2, curve: math.Inf(1), norm: math.Inf(1), last: 0.1}
	}
	return limits{value: 1e-4, gradient: 1e-3, curve: 1e-4, norm: 1e-3}
}

// comparer collects the worst error of each quantity.
type comparer struct {
	report *Report
	limits limits
	opt    Options
	key    string // "f32" or "f64": which of the golden numbers are meant; bf16 is compared with f64
	// bf16Error is, by quantity, how far PyTorch's own bf16 is from the golden numbers: some tiny models amplify rounding.
	bf16Error map[string]float64
}

// record keeps the worst error of a quantity. In bf16 twice PyTorch's own error is allowed where that is more than the tolerance.
func (c *comparer) record(quantity string, tolerance, err float64, where string) {
	if c.opt.DType == engine.BFloat16 {
		tolerance = max(tolerance, 2*c.bf16Error[quantity])
	}
	for i := range c.report.Rows {
		row := &c.report.Rows[i]
		if row.Quantity == quantity {
			if err > row.Worst || math.IsNaN(err) {
				row.Worst, row.Where = err, where
			}
			return
		}
	}
	row := Row{Quantity: quantity, Worst: err, Where: where, Tolerance: tolerance}
	if row.Reported = math.IsInf(tolerance, 1); row.Reported {
		row.Tolerance = 0
	}
	c.report.Rows = append(c.report.Rows, row)
}

// tensor compares ‖got − want‖/‖want‖.
func (c *comparer) tensor(quantity string, tolerance float64, where string, got, want []float64) {
	if len(got) != len(want) || len(want) == 0 {
		c.record(quantity, tolerance, math.Inf(1), fmt.Sprintf("%s: %d numbers, want %d", where, len(got), len(want)))
		return
	}
	c.record(quantity, tolerance, relative(norm(difference(got, want)), norm(want)), where)
}

// list compares numbers one by one; 0 against 0 is equal.
func (c *comparer) list(quantity string, tolerance float64, where string, got, want []float64) {
	if len(got) != len(want) || len(want) == 0 {
		c.record(quantity, tolerance, math.Inf(1), fmt.Sprintf("%s: %d numbers, want %d", where, len(got), len(want)))
		return
	}
	for i := range want {
		c.record(quantity, tolerance, relative(math.Abs(got[i]-want[i]), math.Abs(want[i])), fmt.Sprintf("%s[%d]", where, i))
	}
}

func relative(difference, reference float64) float64 {
	if difference == 0 {
		return 0
	}
	return difference / reference
}

func norm(v []float64) float64 {
	s := 0.0
	for _, x := range v {
		s += x * x
	}
	return math.Sqrt(s)
}

func difference(a, b []float64) []float64 {
	d := make([]float64, len(a))
	for i := range a {
		d[i] = a[i] - b[i]
	}
	return d
}
