package prm

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// ridge fits y ≈ w·x + b with the penalty strength·n·var(X): with m the mean row and Z = X − m,
//
//	w = (Z'Z + strength·n·var(X)·I)⁻¹ Z'(y − ȳ),  b = ȳ − m·w,
//
// var being over all entries of X, unbiased. row appends X's row i to dst[:0]; it is called twice for each row.
func ridge(n, width int, row func(dst []float64, i int) ([]float64, error), y []float64, strength float64) (w []float64, b float64, err error) {
	if n < 2 {
		return nil, 0, fmt.Errorf("%d labelled read-outs: a regression needs 2", n)
	}
	mean, buffer := make([]float64, width), make([]float64, 0, width)
	for i := range n {
		if buffer, err = row(buffer[:0], i); err != nil {
			return nil, 0, err
		}
		for j, v := range buffer {
			mean[j] += v / float64(n)
		}
		b += y[i] / float64(n)
	}
	grand := 0.0
	for _, m := range mean {
		grand += m / float64(width)
	}
	const rows = 512 // of a block of Z
	gram, target := mat.NewSymDense(width, nil), mat.NewVecDense(width, nil)
	squares := 0.0
	for lo := 0; lo < n; lo += rows {
		hi := min(lo+rows, n)
		z := mat.NewDense(hi-lo, width, nil)
		for i := lo; i < hi; i++ {
			if buffer, err = row(buffer[:0], i); err != nil {
				return nil, 0, err
			}
			for j, v := range buffer {
				squares += (v - grand) * (v - grand)
				z.Set(i-lo, j, v-mean[j])
			}
			target.AddScaledVec(target, y[i]-b, z.RowView(i-lo))
		}
		gram.SymRankK(gram, 1, z.T())
	}
	penalty := strength * float64(n) * squares / (float64(n)*float64(width) - 1)
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
