package report

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

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

func (h Histogram) view() (string, any) {
	v := newChartView(h.Title, h.XLabel, "share of the group")
	v.Filled, v.marks = true, h.Marks
	for i, g := range h.Groups {
		v.Legend = append(v.Legend, legendEntry{i % Colours, g.Name + " (" + strconv.Itoa(g.size()) + ")"})
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
		v.Shapes = append(v.Shapes, shape{Colour: i % Colours, Path: path.String()})
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
