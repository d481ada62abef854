package inputs

import (
	"math"

	"github.com/goprm/goprm/internal/report"
)

// counts is a histogram of values whose range is not known before: it begins with bins of a twentieth, and doubles their
// width, each two becoming one, whenever it would have too many. That is exact: no value is counted in another bin than if
// the width had been known from the beginning.
type counts struct {
	n         int
	doublings int
	bins      map[int]int // by the lower edge, in widths
	low, high int         // the outermost bins
	top       float64     // the largest value
}

const (
	binsOfOne  = 20 // between 0 and 1
	mostCounts = 64
)

func (c *counts) add(v float64) {
	at := int(math.Floor(math.Ldexp(v*binsOfOne, -c.doublings)))
	if c.n == 0 {
		c.bins, c.low, c.high, c.top = map[int]int{}, at, at, v
	}
	c.n++
	c.bins[at]++
	c.low, c.high, c.top = min(c.low, at), max(c.high, at), math.Max(c.top, v)
	for c.high-c.low >= mostCounts {
		c.widen()
	}
}

// widen doubles the width; an arithmetic shift rounds down below 0 too.
func (c *counts) widen() {
	bins := map[int]int{}
	for at, n := range c.bins {
		bins[at>>1] += n
	}
	c.bins, c.low, c.high, c.doublings = bins, c.low>>1, c.high>>1, c.doublings+1
}

// histogramOf draws groups over the same bins: those of [0, 1] if no value lies outside.
func histogramOf(title, label string, names []string, groups []*counts) report.Histogram {
	h := report.Histogram{Title: title, XLabel: label}
	doublings, low, high, top := 0, 0, 0, 0.0
	for _, c := range groups {
		doublings = max(doublings, c.doublings)
	}
	for {
		low, high, top = math.MaxInt, math.MinInt, math.Inf(-1)
		for _, c := range groups {
			if c.n > 0 {
				for c.doublings < doublings {
					c.widen()
				}
				low, high, top = min(low, c.low), max(high, c.high), math.Max(top, c.top)
			}
		}
		if high < low || high-low < 2*mostCounts {
			break
		}
		doublings++
	}
	if high < low {
		low, high = 0, binsOfOne-1
	}
	if doublings == 0 && low >= 0 && top <= 1 {
		low, high = 0, binsOfOne-1 // what is exactly 1 counts in the last of them
	}
	width := math.Ldexp(1.0/binsOfOne, doublings)
	h.Low, h.Top, h.Bins = float64(low)*width, float64(high+1)*width, high-low+1
	for i, c := range groups {
		g := report.Group{Name: names[i], Counts: make([]int, h.Bins)}
		for at, n := range c.bins {
			g.Counts[min(at-low, h.Bins-1)] += n
		}
		h.Groups = append(h.Groups, g)
	}
	return h
}
