package metrics

import (
	"math"
	"slices"

	"github.com/goprm/goprm/internal/rng"
)

// Interval is a 95 % bootstrap interval.
type Interval struct {
	Low  Float `json:"low"`
	High Float `json:"high"`
}

// BootstrapRounds is how many resamples an interval rests on.
const BootstrapRounds = 1000

// Bootstrap draws the units (problems, say) with replacement, BootstrapRounds times, and returns the 2.5 % and 97.5 %
// quantiles of each statistic. times[u] is how often unit u was drawn; all statistics see the same draws. Draws that leave
// a statistic undefined do not count for it. The statistics must not keep times.
func Bootstrap(units int, seed uint64, statistics func(times []float64) []Float) []Interval {
	stream := rng.New(seed, "bootstrap")
	times := make([]float64, units)
	var values [][]float64
	for round := range BootstrapRounds {
		clear(times)
		for i := range units {
			times[stream.Uint64(uint64(round)*uint64(units)+uint64(i))%uint64(units)]++
		}
		for s, v := range statistics(times) {
			if s == len(values) {
				values = append(values, nil)
			}
			if v.Defined() {
				values[s] = append(values[s], float64(v))
			}
		}
	}
	intervals := make([]Interval, len(values))
	for s, v := range values {
		slices.Sort(v)
		intervals[s] = Interval{quantile(v, 0.025), quantile(v, 0.975)}
	}
	return intervals
}

// quantile interpolates between the two nearest of the sorted values (Hyndman and Fan's type 7, NumPy's default).
func quantile(sorted []float64, q float64) Float {
	if len(sorted) == 0 {
		return undefined()
	}
	at := q * float64(len(sorted)-1)
	below := int(math.Floor(at))
	above := min(below+1, len(sorted)-1)
	return Float(sorted[below] + (at-float64(below))*(sorted[above]-sorted[below]))
}
