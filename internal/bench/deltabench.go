package bench

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/metrics"
)

// readDeltaBench reads DeltaBench's rows: a long thinking trace cut by headings "section1:", "section2:", ..., and the
// numbers of its wrong and of its useless sections, which together are what is to be found.
func readDeltaBench(s *Set, row *data.Row) error {
	t, text := &data.Trajectory{ID: row.DefaultID()}, ""
	var wrong, useless []int
	sections, group := "sections_content", "all"
	if !row.Has(sections) && row.Has("section_content") {
		sections = "section_content"
	}
	if err := row.TakeText("id", &t.ID); err != nil {
		return err
	}
	if err := row.Take("task_l1", &group); err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		into any
	}{{"question", &t.Problem}, {sections, &text}, {"reason_error_section_numbers", &wrong}, {"reason_unuseful_section_numbers", &useless}} {
		if err := row.Need(f.name, f.into); err != nil {
			return err
		}
	}
	if t.Steps = cutSections(text); len(t.Steps) == 0 {
		return row.FailField(sections, "no line begins with section1:")
	}
	c := &Case{ID: t.ID, Group: group, Trajectory: t}
	for _, number := range slices.Concat(wrong, useless) {
		if number < 1 {
			return row.FailField("reason_error_section_numbers", "%d is no section: they count from 1", number)
		}
		if number > len(t.Steps) {
			s.warnf("%s:%d: %q: section %d of %d sections is passed over", row.File, row.Line, c.ID, number, len(t.Steps))
			continue
		}
		for len(c.errors) < number { // what comes after the last one to find is not judged
			c.errors = append(c.errors, false)
		}
		c.errors[number-1] = true
	}
	if c.errors == nil {
		s.warnf("%s:%d: %q has nothing to find and is left out", row.File, row.Line, c.ID)
		return nil
	}
	for _, is := range c.errors {
		target := 1.0
		if is {
			target = 0
		}
		c.Targets = append(c.Targets, target)
	}
	s.Cases = append(s.Cases, c)
	return nil
}

var sectionHead = regexp.MustCompile(`(?mi)^[ \t]*section[ \t]*([0-9]{1,6})[ \t]*:`)

// cutSections cuts at the headings whose numbers follow one another from 1, so that a section that names another stays whole.
func cutSections(text string) []string {
	var sections []string
	begin := -1
	add := func(end int) {
		if begin >= 0 {
			sections = append(sections, strings.TrimSpace(text[begin:end]))
		}
	}
	next := 1
	for _, at := range sectionHead.FindAllStringSubmatchIndex(text, -1) {
		if number, err := strconv.Atoi(text[at[2]:at[3]]); err != nil || number != next {
			continue
		}
		add(at[0])
		begin = at[1]
		next++
	}
	add(len(text))
	return sections
}

// sectionScores are DeltaBench's metrics: a section counts as wrong if it scores below the threshold; precision, recall
// and F1 are averaged over the traces (macro) or taken of all sections (micro). The group outlier is the same with each
// trace's own threshold, the mean of its sections' scores minus their standard deviation, which is how the paper uses PRMs.
func sectionScores(s *Set, scores [][]float64, opt metrics.Options) measures {
	const width = 7
	groups := append([]string{"overall"}, s.groups()...)
	build := func(groups []string, members func(c *Case) []int, below func(scores []float64) float64) measures {
		t := tally{groups: groups, metrics: []string{"precision_macro", "recall_macro", "f1_score_macro", "precision_micro", "recall_micro",
			"f1_micro"}, width: width}
		t.members, t.counts = make([][]int, len(s.Cases)), make([][]float64, len(s.Cases))
		for i, c := range s.Cases {
			t.members[i] = members(c)
			if scores[i] != nil {
				t.counts[i] = sectionCounts(c.errors, scores[i], below(scores[i]))
			}
		}
		t.finish = func(_ string, n []float64) []metrics.Float {
			return []metrics.Float{ratio(n[4], n[3]), ratio(n[5], n[3]), ratio(n[6], n[3]), orZero(n[0], n[0]+n[1]), orZero(n[0], n[0]+n[2]),
				orZero(2*n[0], 2*n[0]+n[1]+n[2])}
		}
		return t.measures(s)
	}
	return join(
		build(groups, func(c *Case) []int { return []int{0, slices.Index(groups[1:], c.Group) + 1} },
			func([]float64) float64 { return opt.Threshold }),
		build([]string{"outlier"}, func(*Case) []int { return []int{0} }, meanLessDeviation),
	)
}

// sectionCounts are hits, false alarms, misses, 1, and the trace's own precision, recall and F1, each 0 where undefined.
func sectionCounts(errors []bool, scores []float64, threshold float64) []float64 {
	hits, alarms, misses := 0.0, 0.0, 0.0
	for k, is := range errors {
		switch said := scores[k] < threshold; {
		case is && said:
			hits++
		case is:
			misses++
		case said:
			alarms++
		}
	}
	own := []metrics.Float{orZero(hits, hits+alarms), orZero(hits, hits+misses), orZero(2*hits, 2*hits+alarms+misses)}
	return []float64{hits, alarms, misses, 1, float64(own[0]), float64(own[1]), float64(own[2])}
}

func orZero(a, b float64) metrics.Float {
	if b == 0 {
		return 0
	}
	return metrics.Float(a / b)
}

func meanLessDeviation(scores []float64) float64 {
	sum, squares := 0.0, 0.0
	for _, v := range scores {
		sum += v
	}
	m := sum / float64(len(scores))
	for _, v := range scores {
		squares += (v - m) * (v - m)
	}
	return m - math.Sqrt(squares/float64(len(scores)))
}
