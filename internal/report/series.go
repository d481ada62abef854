package report

import (
	"strconv"
	"strings"
)

// Series is one line. Points whose x or y is not finite leave a gap. Points are drawn in their order.
type Series struct {
	Name string
	X, Y []float64 // the longer one's surplus is left out
	Dots bool      // every point is marked

	Below, Above []float64 // ends of an interval at each point, drawn as whiskers; nil: none
}

// interval is that of a point, if it has one.
func (s Series) interval(k int) (low, high float64, ok bool) {
	if k >= len(s.Below) || k >= len(s.Above) || !usable(s.Below[k]) || !usable(s.Above[k]) {
		return 0, 0, false
	}
	return s.Below[k], s.Above[k], true
}

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
