package report

import (
	"math"
	"strconv"
)

// The drawing area in user units. It is small on purpose: a chart is as wide as its column, and on a phone's 360 pixels
// the letters still come out at about ten.
const (
	chartWidth   = 480.0
	chartHeight  = 270.0
	topMargin    = 12.0
	rightMargin  = 16.0
	bottomMargin = 46.0
	letter       = 8.8   // width of a digit at the largest font size, a phone's
	biggest      = 1e100 // numbers beyond it are treated as missing, so that differences stay finite
)

// Tick is a mark on an axis.
type Tick struct {
	At    float64 // in user units along the axis
	Value float64
	Text  string
}

// axis maps [low, high] to [from, to] in user units; from > to for an axis that points up.
type axis struct {
	low, high, from, to float64
	step                float64
	log2                bool // it counts doublings, its ticks say what they come to
}

// niceAxis widens [low, high] to whole ticks of 1, 2 or 5 times a power of ten, about count of them.
func niceAxis(low, high float64, count int) axis {
	if low == high { // one value: a little room on both sides
		room := math.Max(math.Abs(low)*0.1, 1e-9)
		if low == 0 {
			room = 1
		}
		low, high = low-room, high+room
	}
	step := niceStep((high - low) / float64(count))
	return axis{low: math.Floor(low/step+1e-9) * step, high: math.Ceil(high/step-1e-9) * step, step: step}
}

// wholeAxis is for the logarithms to base 2 of [2^low, 2^high]: its ticks are powers of two.
func wholeAxis(low, high float64) axis {
	a := axis{low: math.Floor(low + 1e-9), high: math.Ceil(high - 1e-9), log2: true}
	if a.low == a.high {
		a.low, a.high = a.low-1, a.high+1
	}
	a.step = math.Ceil((a.high - a.low) / 8)
	a.high = a.low + a.step*math.Ceil((a.high-a.low)/a.step)
	return a
}

func niceStep(raw float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(raw)))
	for _, m := range []float64{1, 2, 5} {
		if raw <= m*power*(1+1e-9) {
			return m * power
		}
	}
	return 10 * power
}

func (a axis) at(v float64) float64 { return a.from + (v-a.low)/(a.high-a.low)*(a.to-a.from) }

func (a axis) ticks() []Tick {
	n := int(math.Round((a.high - a.low) / a.step))
	out := make([]Tick, 0, n+1)
	for i := range n + 1 {
		v := a.low + float64(i)*a.step
		if math.Abs(v) < a.step*1e-6 {
			v = 0
		}
		text := tickText(v, a.step, math.Max(math.Abs(a.low), math.Abs(a.high)))
		if a.log2 {
			text = strconv.FormatFloat(math.Exp2(v), 'g', 6, 64)
		}
		out = append(out, Tick{At: round(a.at(v)), Value: v, Text: text})
	}
	return out
}

// tickText writes v with as many places as its distance to the next tick needs.
func tickText(v, step, largest float64) string {
	unit, suffix := 1.0, ""
	switch {
	case v == 0:
		return "0"
	case largest >= 1e10 || largest < 1e-3:
		return scientific(v, step)
	case largest >= 1e6:
		unit, suffix = 1e6, "M"
	case largest >= 1e4:
		unit, suffix = 1e3, "k"
	}
	places := int(math.Max(0, -math.Floor(math.Log10(step/unit)+1e-9)))
	if places > 6 {
		return scientific(v, step)
	}
	return strconv.FormatFloat(v/unit, 'f', places, 64) + suffix
}

// scientific keeps the digits of v down to those of its distance to the next tick.
func scientific(v, step float64) string {
	digits := math.Floor(math.Log10(math.Abs(v))+1e-9) - math.Floor(math.Log10(step)+1e-9) + 1
	return strconv.FormatFloat(v, 'g', int(math.Max(1, math.Min(15, digits))), 64)
}

// frame places both axes so that the longest label of the vertical one fits.
func frame(x, y *axis) (left float64) {
	longest := 0
	for _, t := range y.ticks() {
		longest = max(longest, len(t.Text))
	}
	left = 26 + letter*float64(longest)
	x.from, x.to = left, chartWidth-rightMargin
	y.from, y.to = chartHeight-bottomMargin, topMargin
	return left
}

// round keeps the markup short; a tenth of a user unit cannot be seen.
func round(v float64) float64 { return math.Round(v*10) / 10 }

func usable(v float64) bool { return math.Abs(v) <= biggest } // false for NaN too
