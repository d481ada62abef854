package report

import "math"

// Figure is a chart of a page in numbers, for other writers than the page's.
type Figure struct {
	Section, Title, XLabel, YLabel string
	X, Y                           Axis
	Filled                         bool     // the lines are outlines of areas
	Lines                          []Series // in the order of their colours; NaN is a gap
	Marks                          []Mark   // inside the axis
}

// Axis is an axis with its ticks; of a chart with Log2 it is in logarithms.
type Axis struct {
	Low, High float64
	Ticks     []Tick
}

// Figures are the charts of a page that show something.
func Figures(p Page) []Figure {
	var list []Figure
	for _, s := range p.Sections {
		for _, b := range s.Blocks {
			switch b.(type) {
			case Traces, Steps: // rendering their texts would take long for nothing
				continue
			}
			if v, ok := viewOf(b).Data.(chartView); ok && !v.Empty {
				v.figure.Section = s.Title
				list = append(list, v.figure)
			}
		}
	}
	return list
}

// kept are the points that are drawn.
func (s Series) kept() Series {
	out := Series{Name: s.Name, Dots: s.Dots}
	for _, k := range s.thinned() {
		x, y := s.X[k], s.Y[k]
		if !usable(x) || !usable(y) {
			x, y = math.NaN(), math.NaN()
		}
		out.X, out.Y = append(out.X, x), append(out.Y, y)
	}
	return out
}
