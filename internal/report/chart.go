package report

import (
	"math"
	"strconv"
	"strings"
)

// LineChart draws series over a common pair of axes.
type LineChart struct {
	Title          string
	XLabel, YLabel string
	Series         []Series
}

// Series is one line. Points whose x or y is not finite leave a gap. Points are drawn in their order.
type Series struct {
	Name string
	X, Y []float64 // the longer one's surplus is left out
}

// Histogram shows how two or more groups of values are distributed, each as shares of its own size, one over the other.
type Histogram struct {
	Title    string
	XLabel   string
	Low, Top float64 // the range; both 0: that of the values. Values outside fall into the end bins
	Bins     int     // 0: 20
	Groups   []Group
}

// Group is one group of values; those that are not finite are left out.
type Group struct {
	Name   string
	Values []float64
}

const (
	colours   = 6    // as many as the style sheet has
	maxPoints = 1200 // of one line; longer ones are thinned so that peaks stay
	maxBins   = 200
)

type shape struct {
	Colour int
	Path   string
	Dots   []point // where a line is a single point
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
	XTicks, YTicks           []tick
	Legend                   []legendEntry
	Shapes                   []shape
	Filled, Empty            bool
}

func newChartView(title, xLabel, yLabel string) chartView {
	return chartView{Title: title, XLabel: xLabel, YLabel: yLabel, Width: chartWidth, Height: chartHeight, Empty: true}
}

func (v *chartView) draw(x, y *axis) {
	left := frame(x, y)
	v.Left, v.Right, v.Top, v.Bottom = round(left), chartWidth-rightMargin, topMargin, chartHeight-bottomMargin
	v.MiddleX, v.MiddleY = round((v.Left+v.Right)/2), (v.Top+v.Bottom)/2
	v.XTicks, v.YTicks = x.ticks(), y.ticks()
	v.Empty = false
}

func (c LineChart) view() (string, any) {
	v := newChartView(c.Title, c.XLabel, c.YLabel)
	lowX, highX, lowY, highY := math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)
	for i, s := range c.Series {
		v.Legend = append(v.Legend, legendEntry{i % colours, s.Name})
		for k := range min(len(s.X), len(s.Y)) {
			if usable(s.X[k]) && usable(s.Y[k]) {
				lowX, highX = math.Min(lowX, s.X[k]), math.Max(highX, s.X[k])
				lowY, highY = math.Min(lowY, s.Y[k]), math.Max(highY, s.Y[k])
			}
		}
	}
	if lowX > highX {
		return "chart", v
	}
	x, y := niceAxis(lowX, highX, 5), niceAxis(lowY, highY, 5)
	v.draw(&x, &y)
	for i, s := range c.Series {
		v.Shapes = append(v.Shapes, s.shape(i%colours, x, y))
	}
	return "chart", v
}

func (s Series) shape(colour int, x, y axis) shape {
	out := shape{Colour: colour}
	var path strings.Builder
	var run []point
	flush := func() {
		if len(run) == 1 {
			out.Dots = append(out.Dots, run[0])
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
	v.Filled = true
	low, top := h.bounds()
	for i, g := range h.Groups {
		v.Legend = append(v.Legend, legendEntry{i % colours, g.Name + " (" + strconv.Itoa(g.size()) + ")"})
	}
	if !(low <= top) || h.total() == 0 {
		return "chart", v
	}
	bins := h.Bins
	if bins <= 0 {
		bins = 20
	}
	bins = min(bins, maxBins)
	if low == top {
		low, top = low-0.5, top+0.5
	}
	shares := make([][]float64, len(h.Groups))
	highest := 0.0
	for i, g := range h.Groups {
		shares[i] = g.shares(low, top, bins)
		for _, s := range shares[i] {
			highest = math.Max(highest, s)
		}
	}
	x, y := niceAxis(low, top, 5), niceAxis(0, highest, 4)
	v.draw(&x, &y)
	width := (top - low) / float64(bins)
	for i := range shares {
		var path strings.Builder
		writePoint(&path, 'M', round(x.at(low)), round(y.at(0)))
		for b, share := range shares[i] {
			left, right := low+float64(b)*width, low+float64(b+1)*width
			writePoint(&path, 'L', round(x.at(left)), round(y.at(share)))
			writePoint(&path, 'L', round(x.at(right)), round(y.at(share)))
		}
		writePoint(&path, 'L', round(x.at(top)), round(y.at(0)))
		path.WriteByte('Z')
		v.Shapes = append(v.Shapes, shape{Colour: i % colours, Path: path.String()})
	}
	return "chart", v
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
	for _, value := range g.Values {
		if usable(value) {
			place := math.Floor((value - low) / (top - low) * float64(bins))
			out[int(math.Max(0, math.Min(float64(bins-1), place)))] += weight
		}
	}
	return out
}
