package report

import (
	"math"
	"slices"
)

// LineChart draws series over a common pair of axes.
type LineChart struct {
	Title          string
	XLabel, YLabel string
	Log2           bool    // doublings of x are equally far apart; x of 0 and less are left out
	Low, High      float64 // least range of y, so that charts can be compared; both 0: that of the values
	Series         []Series
	Marks          []Mark
}

// Mark is a vertical line, such as a threshold.
type Mark struct {
	At   float64
	Name string
}

// Colours is how many lines of a chart can be told apart: as many as the style sheet has colours.
const Colours = 6

const (
	maxPoints = 1200 // of one line; longer ones are thinned so that peaks stay
	maxBins   = 200
)

type shape struct {
	Colour   int
	Path     string
	Whiskers string
	Dots     []point // where a line is a single point
}

type markView struct {
	At   float64
	Text string
	Left bool // the text stands left of the line
}

type point struct{ X, Y float64 }

type legendEntry struct {
	Colour int
	Name   string
}

type chartView struct {
	Title, XLabel, YLabel    string
	Width, Height            float64
	Left, Right, Top, Bottom float64
	MiddleX, MiddleY         float64
	XTicks, YTicks           []Tick
	Legend                   []legendEntry
	Shapes                   []shape
	Marks                    []markView
	Filled, Empty            bool
	marks                    []Mark
	whiskers                 bool
	figure                   Figure
}

func newChartView(title, xLabel, yLabel string) chartView {
	return chartView{Title: title, XLabel: xLabel, YLabel: yLabel, Width: chartWidth, Height: chartHeight, Empty: true}
}

func (v *chartView) draw(x, y *axis) {
	left := frame(x, y)
	if v.whiskers {
		x.from, x.to = x.from+whiskerRoom, x.to-whiskerRoom
	}
	v.Left, v.Right, v.Top, v.Bottom = round(left), chartWidth-rightMargin, topMargin, chartHeight-bottomMargin
	v.MiddleX, v.MiddleY = round((v.Left+v.Right)/2), (v.Top+v.Bottom)/2
	v.XTicks, v.YTicks = x.ticks(), y.ticks()
	v.Empty = false
	var drawn []Mark
	for _, m := range v.marks {
		if m.At >= x.low && m.At <= x.high {
			at := round(x.at(m.At))
			v.Marks = append(v.Marks, markView{at, m.Name, at > v.MiddleX})
			drawn = append(drawn, m)
		}
	}
	v.figure = Figure{Title: v.Title, XLabel: v.XLabel, YLabel: v.YLabel, X: Axis{x.low, x.high, v.XTicks}, Y: Axis{y.low, y.high, v.YTicks},
		Filled: v.Filled, Marks: drawn}
}

func (c LineChart) view() (string, any) {
	v := newChartView(c.Title, c.XLabel, c.YLabel)
	v.marks = c.Marks
	lowX, highX, lowY, highY, whole := math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1), true
	series := c.drawn()
	for i, s := range series {
		v.Legend = append(v.Legend, legendEntry{i % Colours, s.Name})
		for k := range min(len(s.X), len(s.Y)) {
			if usable(s.X[k]) && usable(s.Y[k]) {
				lowX, highX, whole = math.Min(lowX, s.X[k]), math.Max(highX, s.X[k]), whole && s.X[k] == math.Trunc(s.X[k])
				lowY, highY = math.Min(lowY, s.Y[k]), math.Max(highY, s.Y[k])
				if low, high, ok := s.interval(k); ok {
					lowY, highY, v.whiskers = math.Min(lowY, low), math.Max(highY, high), true
				}
			}
		}
	}
	if lowX > highX {
		return "chart", v
	}
	if c.Low != c.High {
		lowY, highY = math.Min(lowY, c.Low), math.Max(highY, c.High)
	}
	x, y := niceAxis(lowX, highX, 5), niceAxis(lowY, highY, 5)
	switch {
	case c.Log2:
		x = wholeAxis(lowX, highX)
	case whole && x.step < 1: // there is no step 1.5
		x = axis{low: math.Floor(x.low), high: math.Ceil(x.high), step: 1}
	}
	v.draw(&x, &y)
	for i, s := range series {
		one := s.shape(i%Colours, x, y)
		one.Whiskers = s.whiskers(x, y, whiskerGap*(float64(i)-float64(len(series)-1)/2))
		v.Shapes = append(v.Shapes, one)
		v.figure.Lines = append(v.figure.Lines, s.kept())
	}
	return "chart", v
}

// Whiskers of several series stand beside each other.
const (
	whiskerGap = 5.0
	whiskerEnd = 2.0 // half the width of an end
	// whiskerRoom is left at both ends of the horizontal axis.
	whiskerRoom = (Colours-1)*whiskerGap/2 + whiskerEnd + 2
)

// drawn are the series with x as it is drawn.
func (c LineChart) drawn() []Series {
	if !c.Log2 {
		return c.Series
	}
	list := slices.Clone(c.Series)
	for i := range list {
		list[i].X = make([]float64, len(c.Series[i].X))
		for k, x := range c.Series[i].X {
			list[i].X[k] = math.Log2(x) // not usable for x of 0 and less
		}
	}
	return list
}
