package inputs

import (
	"slices"

	"github.com/goprm/goprm/internal/report"
)

// mostPoints is how many stretches a curve is kept in; it is even.
const mostPoints = 400

// curve keeps the means of several numbers over stretches of equally many optimizer steps. When there are mostPoints of
// them, each two become one: memory is bounded however long the run.
type curve struct {
	every int         // steps in a stretch; the last may have fewer
	x     []float64   // last step of each stretch
	y     [][]float64 // [stretch][number]
	sums  []float64   // of the stretch that is not full
	n     int         // steps in it
	last  float64
}

func (c *curve) add(step float64, values []float64) {
	if c.every == 0 {
		c.every = 1
	}
	if len(c.x) == mostPoints {
		for i := range mostPoints / 2 {
			mean := make([]float64, len(values))
			for k := range mean {
				mean[k] = (c.y[2*i][k] + c.y[2*i+1][k]) / 2
			}
			c.x[i], c.y[i] = c.x[2*i+1], mean
		}
		c.x, c.y, c.every = c.x[:mostPoints/2], c.y[:mostPoints/2], 2*c.every
	}
	if c.n == 0 {
		c.sums = make([]float64, len(values))
	}
	for k, v := range values {
		c.sums[k] += v
	}
	c.n, c.last = c.n+1, step
	if c.n == c.every {
		c.flush()
	}
}

// flush ends the stretch that is not full.
func (c *curve) flush() {
	if c.n == 0 {
		return
	}
	for k := range c.sums {
		c.sums[k] /= float64(c.n)
	}
	c.x, c.y, c.sums, c.n = append(c.x, c.last), append(c.y, c.sums), nil, 0
}

func (c *curve) values(name string) []float64 {
	list := make([]float64, len(c.y))
	for i, y := range c.y {
		list[i] = y[slices.Index(trained, name)]
	}
	return list
}

func (c *curve) chart(title string, names []string) report.LineChart {
	lines := report.LineChart{Title: title, XLabel: "optimizer step"}
	for _, name := range names {
		lines.Series = append(lines.Series, report.Series{Name: name, X: c.x, Y: c.values(name)})
	}
	return lines
}
