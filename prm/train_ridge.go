package prm

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/nnet"
	"gonum.org/v1/gonum/mat"
)

// initRidge fits the head's rows to what they are to learn: with one row to all read-outs, with two to steps and trajectories.
func (s *session) initRidge(ctx context.Context, network *nnet.Network) error {
	f := s.features
	if f == nil {
		var err error
		if f, err = s.featuresOf(ctx, s.data.train); err != nil {
			return err
		}
	}
	weight, err := network.Get("score.weight")
	if err != nil {
		return err
	}
	bias, err := network.Get("score.bias")
	if err != nil {
		return err
	}
	width := s.folder.Config.HiddenSize
	for column := range bias {
		rows := s.ridgeRows(func(r data.ReadOut) bool { return len(bias) == 1 || (column == 1) == (r.Kind == data.KindTrajectory) })
		if len(bias) > 1 && len(rows.targets) < 2 {
			continue // nothing to fit: the row keeps its start
		}
		row := func(dst []float64, i int) ([]float64, error) { return f.values(dst, rows.examples[i], rows.reads[i]) }
		w, b, err := ridge(width, row, rows.targets, rows.weights, *s.c.Head.Ridge)
		if err != nil {
			return err
		}
		for i, e := range rows.examples {
			if i > 0 && e == rows.examples[i-1] {
				continue
			}
			if err := f.check(e); err != nil {
				return err
			}
		}
		copy(weight[column*width:], w)
		bias[column] = b
	}
	if err := network.Set("score.weight", weight); err != nil {
		return err
	}
	return network.Set("score.bias", bias)
}

// ridgeRows are the read-outs that a row of the head is fitted to.
type ridgeRows struct {
	examples         []*data.Example
	reads            []int
	targets, weights []float64
}

// ridgeRows lists the read-outs of the training data that weigh something in the loss, the heaviest one with weight 1.
func (s *session) ridgeRows(of func(data.ReadOut) bool) ridgeRows {
	var rows ridgeRows
	s.data.eachWeight(&s.c, func(e *data.Example, i int, weight float64) {
		r := e.Reads[i]
		if !of(r) {
			return
		}
		target := r.Target
		if s.c.Head.Activation == "sigmoid" {
			target = logit(target)
		}
		rows.examples, rows.reads = append(rows.examples, e), append(rows.reads, i)
		rows.targets, rows.weights = append(rows.targets, target), append(rows.weights, weight)
	})
	if len(rows.weights) > 0 {
		heaviest := slices.Max(rows.weights)
		for i := range rows.weights {
			rows.weights[i] /= heaviest
		}
	}
	return rows
}

// ridge fits y ≈ w·x + b, row i counting c_i times, with the penalty strength·n·var(X): with n = Σc, m the mean row and
// Z = X − m,
//
//	w = (Z'CZ + strength·n·var(X)·I)⁻¹ Z'C(y − ȳ),  b = ȳ − m·w,
//
// means and var (over all entries of X, unbiased) being weighted by c. row appends X's row i to dst[:0]; it is called twice
// for each row.
func ridge(width int, row func(dst []float64, i int) ([]float64, error), y, c []float64,
	strength float64) (w []float64, b float64, err error) {
	count := len(y)
	if count < 2 {
		return nil, 0, fmt.Errorf("%d labelled read-outs that weigh something: a regression needs 2", count)
	}
	n := 0.0
	for _, times := range c {
		n += times
	}
	mean, buffer := make([]float64, width), make([]float64, 0, width)
	for i := range y {
		if buffer, err = row(buffer[:0], i); err != nil {
			return nil, 0, err
		}
		for j, v := range buffer {
			mean[j] += c[i] * v / n
		}
		b += c[i] * y[i] / n
	}
	grand := 0.0
	for _, m := range mean {
		grand += m / float64(width)
	}
	const rows = 512 // of a block of √C·Z
	gram, target := mat.NewSymDense(width, nil), mat.NewVecDense(width, nil)
	squares := 0.0
	for lo := 0; lo < count; lo += rows {
		hi := min(lo+rows, count)
		z := mat.NewDense(hi-lo, width, nil)
		for i := lo; i < hi; i++ {
			if buffer, err = row(buffer[:0], i); err != nil {
				return nil, 0, err
			}
			root := math.Sqrt(c[i])
			for j, v := range buffer {
				squares += c[i] * (v - grand) * (v - grand)
				z.Set(i-lo, j, root*(v-mean[j]))
			}
			target.AddScaledVec(target, root*(y[i]-b), z.RowView(i-lo))
		}
		gram.SymRankK(gram, 1, z.T())
	}
	penalty := strength * n * squares / (n*float64(width) - 1)
	for j := range width {
		gram.SetSym(j, j, gram.At(j, j)+penalty)
	}
	var factor mat.Cholesky
	if !(penalty > 0) || math.IsInf(penalty, 0) || !factor.Factorize(gram) {
		return nil, 0, errors.New("the hidden states do not vary, or are not finite")
	}
	solution := mat.NewVecDense(width, nil)
	if err := factor.SolveVecTo(solution, target); err != nil {
		return nil, 0, fmt.Errorf("solving for the head: %w", err)
	}
	w = solution.RawVector().Data
	for j := range width {
		b -= mean[j] * w[j]
	}
	return w, b, nil
}

// logit is the inverse of the sigmoid, of a target clamped to where it is moderate.
func logit(target float64) float64 {
	p := math.Min(0.99, math.Max(0.01, target))
	return math.Log(p / (1 - p))
}
