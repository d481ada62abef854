package inputs

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/goprm/goprm/internal/report"
)

// bestOfN is what a page shows of a result of prm bestofn --json.
type bestOfN struct {
	Problems int             `json:"problems"`
	Samples  int             `json:"samples"`
	Results  []bestOfNMethod `json:"results"`
	Warnings []string        `json:"warnings"`
}

// bestOfNMethod is how often one way of picking finds a right answer.
type bestOfNMethod struct {
	Method      string   `json:"method"`
	Aggregation string   `json:"aggregation"`
	Alpha       *float64 `json:"alpha"`
	N           int      `json:"n"`
	Accuracy    float64  `json:"accuracy"`
	Low         float64  `json:"low"`
	High        float64  `json:"high"`
	Missing     string   `json:"missing"` // why there is no accuracy
}

// way is one line of a best-of-N chart.
func (m *bestOfNMethod) way() string {
	name := strings.TrimSpace(m.Method + " " + m.Aggregation)
	if m.Alpha != nil {
		name += fmt.Sprintf(", alpha %g", *m.Alpha)
	}
	return name
}

func (f *resultFile) bestOfN(result bestOfN) error {
	w := &bestOfNWays{series: map[string]*report.Series{}, methods: map[string][]string{}, cells: map[string]map[int]string{}}
	for i, m := range result.Results {
		if m.N < 1 || m.Method == "" || m.Missing == "" && !(m.Accuracy >= 0 && m.Accuracy <= 1) {
			return fmt.Errorf("%s: results[%d]: method %q, n %d, accuracy %v: not a line of prm bestofn", f.name, i, m.Method, m.N, m.Accuracy)
		}
		w.add(m)
	}
	for _, warning := range result.Warnings {
		f.r.warnf("%s: %s", f.name, warning)
	}
	blocks := []report.Block{w.facts()}
	blocks = append(blocks, w.charts()...)
	f.r.sections = append(f.r.sections, report.Section{Title: "Best of n, " + f.name,
		Text:   fmt.Sprintf("%d problems, %d samples. Whiskers and brackets are 95 %% intervals.", result.Problems, result.Samples),
		Blocks: append(blocks, w.table())})
	return nil
}

// bestOfNWays are the ways of picking, each over several n.
type bestOfNWays struct {
	ns        []int
	ways      []string // in their order
	series    map[string]*report.Series
	methods   map[string][]string       // the ways of each method
	cells     map[string]map[int]string // of the table
	low, high float64                   // over all intervals, in percent
}

func (w *bestOfNWays) add(m bestOfNMethod) {
	way := m.way()
	if w.cells[way] == nil {
		w.cells[way] = map[int]string{}
		w.ways = append(w.ways, way)
	}
	if !slices.Contains(w.ns, m.N) {
		w.ns = append(w.ns, m.N)
		slices.Sort(w.ns)
	}
	if m.Missing != "" { // the warning says why
		w.cells[way][m.N] = "–"
		return
	}
	if w.series[way] == nil {
		w.series[way] = &report.Series{Name: way, Dots: true}
		w.methods[m.Method] = append(w.methods[m.Method], way)
	}
	s := w.series[way]
	s.X, s.Y = append(s.X, float64(m.N)), append(s.Y, 100*m.Accuracy)
	s.Below, s.Above = append(s.Below, 100*m.Low), append(s.Above, 100*m.High)
	w.cells[way][m.N] = fmt.Sprintf("%.1f (%.1f–%.1f)", 100*m.Accuracy, 100*m.Low, 100*m.High)
	if w.low == w.high {
		w.low, w.high = 100*m.Low, 100*m.High
	}
	w.low, w.high = math.Min(w.low, 100*m.Low), math.Max(w.high, 100*m.High)
}

// facts are the best way that a model picks by, and what it is to be compared with, at the largest n.
func (w *bestOfNWays) facts() report.Facts {
	n := w.ns[len(w.ns)-1]
	best := ""
	at := func(way string) (float64, bool) {
		s := w.series[way]
		if s == nil {
			return 0, false
		}
		i := slices.Index(s.X, float64(n))
		if i < 0 {
			return 0, false
		}
		return s.Y[i], true
	}
	for _, way := range slices.Concat(w.methods["best"], w.methods["weighted"]) {
		if v, ok := at(way); ok {
			if most, ok := at(best); !ok || v > most {
				best = way
			}
		}
	}
	var facts report.Facts
	for _, way := range []string{best, "majority", "random", "oracle"} {
		if v, ok := at(way); ok {
			facts = append(facts, report.Fact{Name: way, Value: fmt.Sprintf("%.1f %%", v), Note: fmt.Sprintf("right at n = %d", n)})
		}
	}
	return facts
}

// charts share their range; ways whose values are all the same are one line.
func (w *bestOfNWays) charts() []report.Block {
	var blocks []report.Block
	draw := func(title string, list ...string) {
		lines := report.LineChart{Title: title, XLabel: "n", YLabel: "answered rightly, %", Log2: true, Low: w.low, High: w.high}
		for _, way := range list {
			s := w.series[way]
			if s == nil {
				continue
			}
			if i := slices.IndexFunc(lines.Series, func(o report.Series) bool { return slices.Equal(o.X, s.X) && slices.Equal(o.Y, s.Y) }); i >= 0 {
				lines.Series[i].Name += " = " + way
				continue
			}
			lines.Series = append(lines.Series, *s)
		}
		if len(lines.Series) > 0 && len(w.ns) > 1 {
			blocks = append(blocks, lines)
		}
	}
	for _, method := range []struct{ name, title string }{{"best", "Best of n"}, {"weighted", "Weighted vote"}} {
		for list := range slices.Chunk(w.methods[method.name], report.Colours-1) { // one is the majority
			draw(method.title, append([]string{"majority"}, list...)...)
		}
	}
	draw("Without a model", "majority", "oracle", "random", "shortest", "fewest_steps")
	return blocks
}

// table has a row a way and a column an n.
func (w *bestOfNWays) table() report.Table {
	t := report.Table{Title: "Problems answered rightly, %", Columns: []string{"method"}}
	for _, n := range w.ns {
		t.Columns = append(t.Columns, fmt.Sprintf("n = %d", n))
	}
	for _, way := range w.ways {
		row := []string{way}
		for _, n := range w.ns {
			row = append(row, w.cells[way][n])
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}
