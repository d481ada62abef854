package metrics

import (
	"math"
	"slices"
)

// Pearson is the linear correlation of x and y over the items where both are numbers; undefined when either is constant.
func Pearson(x, y []float64) Float {
	x, y = complete(x, y)
	n := float64(len(x))
	var meanX, meanY float64
	for i := range x {
		meanX += x[i] / n
		meanY += y[i] / n
	}
	var xx, yy, xy float64
	for i := range x {
		dx, dy := x[i]-meanX, y[i]-meanY
		xx += dx * dx
		yy += dy * dy
		xy += dx * dy
	}
	// A constant column leaves rounding noise behind, not always an exact 0: its own spread says it surely.
	if len(x) < 2 || slices.Min(x) == slices.Max(x) || slices.Min(y) == slices.Max(y) {
		return undefined()
	}
	return Float(math.Max(-1, math.Min(1, xy/(math.Sqrt(xx)*math.Sqrt(yy)))))
}

// Spearman is the Pearson correlation of the midranks.
func Spearman(x, y []float64) Float {
	x, y = complete(x, y)
	return Pearson(midranks(x), midranks(y))
}

func complete(x, y []float64) (cx, cy []float64) {
	for i := range x {
		if !math.IsNaN(x[i]) && !math.IsNaN(y[i]) {
			cx = append(cx, x[i])
			cy = append(cy, y[i])
		}
	}
	return cx, cy
}

// trajectoryErrorFamily is the mean squared error of the trajectories' own scores.
var trajectoryErrorFamily = family{
	metrics: []Metric{{Name: "trajectory_mse", Title: "squared error of trajectories", Calibrated: true}},
	start: func(Options) gatherer {
		return &sums{
			width: 2,
			count: func(t *Trajectory, n []float64) {
				if d := t.Final - t.FinalTarget; !math.IsNaN(d) {
					n[0] += d * d
					n[1]++
				}
			},
			finish: func(n []float64) []Float { return []Float{ratio(n[0], n[1])} },
		}
	},
}

// correlationFamily is how the trajectories' own scores go with their targets: [Pearson] and [Spearman].
var correlationFamily = family{
	metrics: []Metric{{Name: "trajectory_pearson"}, {Name: "trajectory_spearman"}},
	start:   func(Options) gatherer { return &correlationGatherer{} },
}

type correlationGatherer struct {
	final, targets []float64
	unit           []int
}

func (c *correlationGatherer) add(t *Trajectory) {
	c.final, c.targets, c.unit = append(c.final, t.Final), append(c.targets, t.FinalTarget), append(c.unit, t.Unit)
}

func (c *correlationGatherer) values(times []float64) []Float {
	var x, y []float64
	for i, unit := range c.unit {
		for range int(times[unit]) {
			x, y = append(x, c.final[i]), append(y, c.targets[i])
		}
	}
	return []Float{Pearson(x, y), Spearman(x, y)}
}
