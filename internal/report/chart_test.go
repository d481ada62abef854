package report

import (
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func texts(a axis) []string {
	var out []string
	for _, t := range a.ticks() {
		out = append(out, t.Text)
	}
	return out
}

func TestNiceTicks(t *testing.T) {
	for _, c := range []struct {
		low, high float64
		want      string
	}{
		{0, 1, "0 0.2 0.4 0.6 0.8 1.0"},
		{0.083, 0.25, "0.05 0.10 0.15 0.20 0.25"},
		{0, 400, "0 100 200 300 400"},
		{-3, 4, "-4 -2 0 2 4"},
		{0, 40000, "0 10k 20k 30k 40k"},
		{0, 1500, "0 500 1000 1500"},
		{0, 2.5e6, "0 0.5M 1.0M 1.5M 2.0M 2.5M"},
		{0, 1e-4, "0 2e-05 4e-05 6e-05 8e-05 0.0001"},
		{0.5, 0.5, "0.44 0.46 0.48 0.50 0.52 0.54 0.56"},
		{0, 0, "-1.0 -0.5 0 0.5 1.0"},
	} {
		got := texts(niceAxis(c.low, c.high, 5))
		require.Equal(t, c.want, strings.Join(got, " "), "%v to %v", c.low, c.high)
	}
}

// Whatever the data, the ticks are few, rise, differ in their texts and hold the data.
func TestTicksHoldTheData(t *testing.T) {
	for _, low := range []float64{-1e99, -1e6, -1, -1e-12, 0, 1e-7, 0.3, 1, 12345.678, 1e12} {
		for _, size := range []float64{0, 1e-6, 0.01, 1, 977, 1e9, 1e98} {
			high := low + size
			a := niceAxis(low, high, 5)
			a.from, a.to = 0, 100
			require.LessOrEqual(t, a.low, low+1e-6*a.step)
			require.GreaterOrEqual(t, a.high, high-1e-6*a.step)
			ticks := a.ticks()
			require.GreaterOrEqual(t, len(ticks), 2)
			require.LessOrEqual(t, len(ticks), 9, "%v to %v", low, high)
			for i, tk := range ticks {
				require.GreaterOrEqual(t, tk.At, 0.0)
				require.LessOrEqual(t, tk.At, 100.0)
				require.True(t, i == 0 || ticks[i-1].At < tk.At)
				coarse := a.step > 1e-13*math.Abs(a.high) // finer ticks lie within rounding of each other
				require.True(t, i == 0 || !coarse || ticks[i-1].Text != tk.Text, "%v to %v: %v", low, high, ticks)
			}
		}
	}
}

func chartOf(b Block) chartView { _, v := b.view(); return v.(chartView) }

func TestLinePoints(t *testing.T) {
	v := chartOf(LineChart{Series: []Series{{X: []float64{0, 1, 2, 3, 4, 5}, Y: []float64{0, 1, math.NaN(), 0.5, math.Inf(1), 1}}}})
	require.False(t, v.Empty)
	x, y := axis{low: 0, high: 5, from: v.Left, to: v.Right}, axis{low: 0, high: 1, from: v.Bottom, to: v.Top}
	num := func(f float64) string { return strconv.FormatFloat(round(f), 'f', -1, 64) }
	require.Equal(t, "M"+num(x.at(0))+" "+num(v.Bottom)+"L"+num(x.at(1))+" "+num(v.Top), v.Shapes[0].Path,
		"the gap ends the line; lone points are dots")
	require.Equal(t, []point{{round(x.at(3)), round(y.at(0.5))}, {round(x.at(5)), v.Top}}, v.Shapes[0].Dots)
	require.True(t, chartOf(LineChart{Series: []Series{{X: []float64{1}, Y: []float64{math.NaN()}}}}).Empty)
	require.True(t, chartOf(LineChart{}).Empty)
	require.True(t, chartOf(LineChart{Series: []Series{{X: []float64{1e308}, Y: []float64{-1e308}}}}).Empty)
}

func TestLongLinesKeepTheirPeaks(t *testing.T) {
	const n = 100_000
	s := Series{X: make([]float64, n), Y: make([]float64, n)}
	for i := range n {
		s.X[i], s.Y[i] = float64(i), math.Sin(float64(i)/5000)
	}
	peaks := []int{54321, 60000, 70001}
	s.Y[54321], s.Y[60000], s.Y[70001] = 9, -9, math.NaN()
	for k := 1000; k < 50_000; k += 500 { // a high and a low in one stretch, before and after each other
		peaks = append(peaks, k, k+1)
		s.Y[k], s.Y[k+1] = 5-10*float64(k/500%2), -5+10*float64(k/500%2)
	}
	keep := s.thinned()
	require.LessOrEqual(t, len(keep), 2*maxPoints)
	for _, k := range peaks {
		require.Contains(t, keep, k)
	}
	for i := 1; i < len(keep); i++ {
		require.Less(t, keep[i-1], keep[i])
	}
}

func TestHistogramShares(t *testing.T) {
	g := Group{Values: []float64{-5, 0.1, 0.5, 1, 9, math.NaN()}}
	require.InDeltaSlice(t, []float64{0.4, 0, 0.2, 0.4}, g.shares(0, 1, 4), 1e-15)
	v := chartOf(Histogram{Low: 0, Top: 1, Bins: 4, Groups: []Group{g, {Name: "empty"}}})
	require.Equal(t, " (5)", v.Legend[0].Name)
	require.Len(t, v.Shapes, 2)
	require.Equal(t, 10, strings.Count(v.Shapes[0].Path, "L")+1, "two corners a bin and the base")
	require.True(t, chartOf(Histogram{Groups: []Group{{Values: []float64{math.NaN()}}}}).Empty)
	require.False(t, chartOf(Histogram{Groups: []Group{{Values: []float64{3, 3}}}, Bins: 1e9}).Empty)
	require.True(t, chartOf(Histogram{Low: 1, Top: 0, Groups: []Group{g}}).Empty)
}

func TestLogarithmicAxis(t *testing.T) {
	require.Equal(t, "1 2 4 8", strings.Join(texts(wholeAxis(0, 3)), " "))
	require.Equal(t, "0.5 1 2", strings.Join(texts(wholeAxis(0, 0)), " "))
	require.Equal(t, "1 8 64 512 4096 32768 262144 2.09715e+06 1.67772e+07", strings.Join(texts(wholeAxis(0.2, 23.5)), " "))
	require.Equal(t, "1 4 16 64 256 1024", strings.Join(texts(wholeAxis(0, 9)), " "))
	v := chartOf(LineChart{Log2: true, Series: []Series{{X: []float64{0, 1, 2, 8, -1}, Y: []float64{5, 1, 2, 3, 9}, Dots: true}}})
	require.Len(t, v.Shapes[0].Dots, 3)
	first, second, third := v.Shapes[0].Dots[0].X, v.Shapes[0].Dots[1].X, v.Shapes[0].Dots[2].X
	require.InDelta(t, 3, (third-first)/(second-first), 0.01)
	require.Equal(t, v.Left, first)
}

func TestHistogramOfCounts(t *testing.T) {
	values := Group{Values: []float64{0.1, 0.3, 0.35, 0.9, 1}}
	counted := Group{Counts: []int{1, 2, 0, 2}}
	require.Equal(t, 5, counted.size())
	require.InDeltaSlice(t, values.shares(0, 1, 4), counted.shares(0, 1, 4), 1e-15)
	from := func(g Group) string {
		return chartOf(Histogram{Low: 0, Top: 1, Bins: 4, Groups: []Group{g}}).Shapes[0].Path
	}
	require.Equal(t, from(values), from(counted))
	require.True(t, chartOf(Histogram{Groups: []Group{counted}}).Empty, "counts need bins")
}

func TestFigures(t *testing.T) {
	list := Figures(Page{Sections: []Section{{Title: "S", Blocks: []Block{nil, Table{}, LineChart{},
		LineChart{Title: "L", Series: []Series{{Name: "a", X: []float64{0, 1, 2}, Y: []float64{3, math.NaN(), 5}}}},
		Histogram{Low: 0, Top: 1, Bins: 2, Groups: []Group{{Counts: []int{1, 3}}}}}}}})
	require.Len(t, list, 2)
	require.Equal(t, "S", list[0].Section)
	require.Equal(t, []float64{0, 2}, []float64{list[0].X.Low, list[0].X.High})
	require.True(t, math.IsNaN(list[0].Lines[0].Y[1]))
	require.Equal(t, 5.0, list[0].Lines[0].Y[2])
	require.Equal(t, []float64{0, 0, 0.5, 0.5, 1, 1}, list[1].Lines[0].X)
	require.Equal(t, []float64{0, 0.25, 0.25, 0.75, 0.75, 0}, list[1].Lines[0].Y)
	require.True(t, list[1].Filled)
}

// Intervals widen the axis and are drawn beside each other; marks stand where their values are.
func TestIntervalsAndMarks(t *testing.T) {
	c := LineChart{Low: 0, High: 1, Marks: []Mark{{At: 1, Name: "t"}, {At: 9, Name: "outside"}}, Series: []Series{
		{Name: "a", X: []float64{0, 2}, Y: []float64{0.5, 0.6}, Below: []float64{0.4, math.NaN()}, Above: []float64{1.5, 0.7}},
		{Name: "b", X: []float64{0, 2}, Y: []float64{0.5, 0.6}}}}
	v := chartOf(c)
	require.Equal(t, []float64{0, 1.5}, []float64{v.figure.Y.Low, v.figure.Y.High})
	x, y := axis{low: 0, high: 2, from: v.Left + whiskerRoom, to: v.Right - whiskerRoom}, axis{low: 0, high: 1.5, from: v.Bottom, to: v.Top}
	num := func(f float64) string { return strconv.FormatFloat(round(f), 'f', -1, 64) }
	at := x.at(0) - whiskerGap/2
	end := func(v float64) string {
		return "M" + num(at-whiskerEnd) + " " + num(y.at(v)) + "L" + num(at+whiskerEnd) + " " + num(y.at(v))
	}
	require.Equal(t, end(0.4)+end(1.5)+"M"+num(at)+" "+num(y.at(0.4))+"L"+num(at)+" "+num(y.at(1.5)), v.Shapes[0].Whiskers)
	require.Empty(t, v.Shapes[1].Whiskers)
	require.Equal(t, []markView{{round(x.at(1)), "t", false}}, v.Marks)
	require.Equal(t, []Mark{{1, "t"}}, v.figure.Marks)
}

// Steps are whole: a chart over few of them has no ticks between.
func TestWholeTicks(t *testing.T) {
	for _, c := range []struct {
		x    []float64
		want string
	}{{[]float64{1, 2}, "1 2"}, {[]float64{6}, "5 6 7"}, {[]float64{0, 1, 3}, "0 1 2 3"}, {[]float64{1, 1.5}, "1.0 1.1 1.2 1.3 1.4 1.5"}} {
		_, drawn := LineChart{Series: []Series{{Name: "loss", X: c.x, Y: make([]float64, len(c.x))}}}.view()
		var got []string
		for _, tick := range drawn.(chartView).XTicks {
			got = append(got, tick.Text)
		}
		require.Equal(t, c.want, strings.Join(got, " "))
	}
}
