package report

import (
	"math"
	"slices"
	"strconv"
	"strings"
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

// Series is one line. Points whose x or y is not finite leave a gap. Points are drawn in their order.
type Series struct {
	Name string
	X, Y []float64 // the longer one's surplus is left out
	Dots bool      // every point is marked

	Below, Above []float64 // ends of an interval at each point, drawn as whiskers; nil: none
}

// Histogram shows how two or more groups of values are distributed, each as shares of its own size, one over the other.
type Histogram struct {
	Title    string
	XLabel   string
	Low, Top float64 // the range; both 0: that of the values. Values outside fall into the end bins
	Bins     int     // 0: 20
	Groups   []Group
	Marks    []Mark
}

// Group is one group of values; those that are not finite are left out. Of many values the counts will do.
type Group struct {
	Name   string
	Values []float64
	Counts []int // how many values lie in each of the histogram's Bins between Low and Top; Values are not looked at
}

const (
	colours   = 6    // as many as the style sheet has
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
	lowX, highX, lowY, highY := math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)
	for i, s := range c.drawn() {
		v.Legend = append(v.Legend, legendEntry{i % colours, s.Name})
		for k := range min(len(s.X), len(s.Y)) {
			if usable(s.X[k]) && usable(s.Y[k]) {
				lowX, highX = math.Min(lowX, s.X[k]), math.Max(highX, s.X[k])
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
	if c.Log2 {
		x = wholeAxis(lowX, highX)
	}
	v.draw(&x, &y)
	for i, s := range c.drawn() {
		one := s.shape(i%colours, x, y)
		one.Whiskers = s.whiskers(x, y, whiskerGap*(float64(i)-float64(len(c.Series)-1)/2))
		v.Shapes = append(v.Shapes, one)
		v.figure.Lines = append(v.figure.Lines, s.kept())
	}
	return "chart", v
}

// interval is that of a point, if it has one.
func (s Series) interval(k int) (low, high float64, ok bool) {
	if k >= len(s.Below) || k >= len(s.Above) || !usable(s.Below[k]) || !usable(s.Above[k]) {
		return 0, 0, false
	}
	return s.Below[k], s.Above[k], true
}

// Whiskers of several series stand beside each other.
const (
	whiskerGap = 5.0
	whiskerEnd = 2.0 // half the width of an end
	// whiskerRoom is left at both ends of the horizontal axis.
	whiskerRoom = (colours-1)*whiskerGap/2 + whiskerEnd + 2
)

func (s Series) whiskers(x, y axis, aside float64) string {
	var path strings.Builder
	for k := range min(len(s.X), len(s.Y)) {
		low, high, ok := s.interval(k)
		if !ok || !usable(s.X[k]) {
			continue
		}
		at := x.at(s.X[k]) + aside
		for _, end := range []float64{low, high} {
			writePoint(&path, 'M', round(at-whiskerEnd), round(y.at(end)))
			writePoint(&path, 'L', round(at+whiskerEnd), round(y.at(end)))
		}
		writePoint(&path, 'M', round(at), round(y.at(low)))
		writePoint(&path, 'L', round(at), round(y.at(high)))
	}
	return path.String()
}

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

func (s Series) shape(colour int, x, y axis) shape {
	out := shape{Colour: colour}
	var path strings.Builder
	var run []point
	flush := func() {
		if s.Dots || len(run) == 1 {
			out.Dots = append(out.Dots, run...)
		}
		for i, p := range run {
			if len(run) > 1 {
				writePoint(&path, "ML"[min(i, 1)], p.X, p.Y)
			}
		}
		run = run[:0]
	}
	for _, k := range s.thinned() {
		if !usable(s.X[k]) || !usable(s.Y[k]) {
			flush()
			continue
		}
		run = append(run, point{round(x.at(s.X[k])), round(y.at(s.Y[k]))})
	}
	flush()
	out.Path = path.String()
	return out
}

// thinned gives the indices to draw: all of a short line; of a long one the lowest and the highest point of each of
// maxPoints/2 stretches, so that no peak is lost, and one unusable point of a stretch that has any, so that no gap is.
func (s Series) thinned() []int {
	n := min(len(s.X), len(s.Y))
	keep := make([]int, 0, min(n, 2*maxPoints))
	if n <= maxPoints {
		for k := range n {
			keep = append(keep, k)
		}
		return keep
	}
	stretches := maxPoints / 2
	for b := range stretches {
		from, to := b*n/stretches, (b+1)*n/stretches
		low, high, gap := -1, -1, -1
		for k := from; k < to; k++ {
			switch {
			case !usable(s.X[k]) || !usable(s.Y[k]):
				gap = k
			default:
				if low < 0 || s.Y[k] < s.Y[low] {
					low = k
				}
				if high < 0 || s.Y[k] > s.Y[high] {
					high = k
				}
			}
		}
		last := -1
		for _, k := range sorted3(low, high, gap) {
			if k > last {
				keep = append(keep, k)
				last = k
			}
		}
	}
	return keep
}

func sorted3(a, b, c int) [3]int {
	if a > b {
		a, b = b, a
	}
	if b > c {
		b, c = c, b
	}
	if a > b {
		a, b = b, a
	}
	return [3]int{a, b, c}
}

func writePoint(path *strings.Builder, command byte, x, y float64) {
	path.WriteByte(command)
	path.WriteString(strconv.FormatFloat(x, 'f', -1, 64))
	path.WriteByte(' ')
	path.WriteString(strconv.FormatFloat(y, 'f', -1, 64))
}

func (h Histogram) view() (string, any) {
	v := newChartView(h.Title, h.XLabel, "share of the group")
	v.Filled, v.marks = true, h.Marks
	for i, g := range h.Groups {
		v.Legend = append(v.Legend, legendEntry{i % colours, g.Name + " (" + strconv.Itoa(g.size()) + ")"})
	}
	edges, shares := h.bars()
	if edges == nil {
		return "chart", v
	}
	low, top := edges[0], edges[len(edges)-1]
	highest := 0.0
	for _, list := range shares {
		highest = math.Max(highest, slices.Max(list))
	}
	x, y := niceAxis(low, top, 5), niceAxis(0, highest, 4)
	v.draw(&x, &y)
	for i := range shares {
		outline := Series{Name: v.Legend[i].Name, X: []float64{low}, Y: []float64{0}}
		for b, share := range shares[i] {
			outline.X, outline.Y = append(outline.X, edges[b], edges[b+1]), append(outline.Y, share, share)
		}
		outline.X, outline.Y = append(outline.X, top), append(outline.Y, 0)
		v.figure.Lines = append(v.figure.Lines, outline)
		var path strings.Builder
		for k := range outline.X {
			writePoint(&path, "ML"[min(k, 1)], round(x.at(outline.X[k])), round(y.at(outline.Y[k])))
		}
		path.WriteByte('Z')
		v.Shapes = append(v.Shapes, shape{Colour: i % colours, Path: path.String()})
	}
	return "chart", v
}

// bars are the edges of the bins and each group's shares between them; nil if there is nothing to show.
func (h Histogram) bars() (edges []float64, shares [][]float64) {
	low, top := h.bounds()
	if !(low <= top) || h.total() == 0 {
		return nil, nil
	}
	bins := h.Bins
	if bins <= 0 {
		bins = 20
	}
	bins = min(bins, maxBins)
	if low == top {
		low, top = low-0.5, top+0.5
	}
	width := (top - low) / float64(bins)
	for b := range bins {
		edges = append(edges, low+float64(b)*width)
	}
	for _, g := range h.Groups {
		shares = append(shares, g.shares(low, top, bins))
	}
	return append(edges, top), shares
}

func (h Histogram) bounds() (low, top float64) {
	if h.Low != 0 || h.Top != 0 {
		if !usable(h.Low) || !usable(h.Top) {
			return 1, 0
		}
		return h.Low, h.Top
	}
	low, top = math.Inf(1), math.Inf(-1)
	for _, g := range h.Groups {
		for _, value := range g.Values {
			if usable(value) {
				low, top = math.Min(low, value), math.Max(top, value)
			}
		}
	}
	return low, top
}

func (h Histogram) total() int {
	n := 0
	for _, g := range h.Groups {
		n += g.size()
	}
	return n
}

func (g Group) size() int {
	n := 0
	if g.Counts != nil {
		for _, c := range g.Counts {
			n += c
		}
		return n
	}
	for _, value := range g.Values {
		if usable(value) {
			n++
		}
	}
	return n
}

func (g Group) shares(low, top float64, bins int) []float64 {
	out := make([]float64, bins)
	weight := 1 / float64(max(1, g.size()))
	if g.Counts != nil {
		for b, c := range g.Counts[:min(bins, len(g.Counts))] {
			out[b] = float64(c) * weight
		}
		return out
	}
	for _, value := range g.Values {
		if usable(value) {
			place := math.Floor((value - low) / (top - low) * float64(bins))
			out[int(math.Max(0, math.Min(float64(bins-1), place)))] += weight
		}
	}
	return out
}
