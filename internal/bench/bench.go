// Package bench runs process reward models against benchmarks: it reads the published files, says what is to be scored,
// and computes each benchmark's own metrics from the scores, with bootstrap intervals over the problems and, beside them,
// the same metrics of quantities that need no model.
package bench

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/metrics"
)

// Case is one trajectory to score.
type Case struct {
	ID         string
	Group      string           // the benchmark's own subset or class
	Trajectory *data.Trajectory // already in steps
	Targets    []float64        // of each step; NaN: no label

	lengths  []int  // of each step, in characters
	problem  int    // numbers the problems
	original string // PRMBench: the case of the unmodified process
	errors   []bool // DeltaBench: of the sections that are judged
}

// Set is a benchmark's data.
type Set struct {
	Bench    string
	Cases    []*Case
	Warnings []string
	problems map[data.ProblemKey]int
	ids      map[string]bool
}

// kinds are the benchmarks.
var kinds = map[string]struct {
	read        func(s *Set, row *data.Row) error                              // nil: labelled trajectories
	thresholded func(s *Set, scores [][]float64, opt metrics.Options) measures // nil: no threshold is used
	main        name                                                           // what a threshold is tuned for
}{
	"processbench": {readProcessBench, firstErrors, name{"average", "f1"}},
	"prmbench":     {readPRMBench, prmScores, name{"total", "PRMScore"}},
	"deltabench":   {readDeltaBench, sectionScores, name{"overall", "f1_score_macro"}},
	"pairs":        {read: readPair},
	"steps":        {nil, labelledErrors, name{"all", "first_error_f1"}},
}

// Names lists the benchmarks.
func Names() []string { return []string{"processbench", "prmbench", "deltabench", "pairs", "steps"} }

// ReadOptions say how a benchmark is read.
type ReadOptions struct {
	data.ReadOptions
	Split string // cuts labelled trajectories and pairs that are not in steps; "": "\n\n"
}

// Read reads a benchmark's files.
func Read(bench string, paths []string, opt ReadOptions) (*Set, error) {
	k, ok := kinds[bench]
	if !ok {
		return nil, fmt.Errorf("benchmark: %q is none of %s", bench, strings.Join(Names(), ", "))
	}
	if opt.Split == "" {
		opt.Split = "\n\n"
	}
	s := &Set{Bench: bench, problems: map[data.ProblemKey]int{}, ids: map[string]bool{}}
	if k.read == nil {
		return s, s.readSteps(paths, opt)
	}
	for row, err := range data.Rows(paths, opt.ReadOptions) {
		if err == nil {
			before := len(s.Cases)
			if err = k.read(s, row); err == nil {
				err = row.Fail(s.finish(s.Cases[before:], opt.Split))
			}
		}
		if err != nil {
			return nil, err
		}
	}
	return s, s.check()
}

// finish completes new cases.
func (s *Set) finish(cases []*Case, split string) error {
	for _, c := range cases {
		if s.ids[c.ID] {
			return fmt.Errorf("a second %q: scores are told apart by these ids", c.ID)
		}
		s.ids[c.ID] = true
		thinking, response := c.Trajectory.Cut(split)
		c.Trajectory.Steps, c.Trajectory.ResponseSteps = thinking.Steps, response.Steps
		for _, step := range slices.Concat(thinking.Steps, response.Steps) {
			c.lengths = append(c.lengths, utf8.RuneCountInString(step))
		}
		if len(c.lengths) == 0 {
			return fmt.Errorf("%q has no steps", c.ID)
		}
		for len(c.Targets) < len(c.lengths) {
			c.Targets = append(c.Targets, math.NaN())
		}
		if len(c.Targets) > len(c.lengths) {
			return fmt.Errorf("%q has %d labels for %d steps", c.ID, len(c.Targets), len(c.lengths))
		}
		key := data.KeyOf(c.Trajectory.Problem)
		number, seen := s.problems[key]
		if !seen {
			number = len(s.problems)
			s.problems[key] = number
		}
		c.problem = number
	}
	return nil
}

func (s *Set) check() error {
	if len(s.Cases) == 0 {
		return errors.New("nothing to evaluate")
	}
	return nil
}

// readSteps reads labelled trajectories of any kind that data.Read knows.
func (s *Set) readSteps(paths []string, opt ReadOptions) error {
	for t, err := range data.Read(paths, opt.ReadOptions) {
		if err != nil {
			return err
		}
		c := &Case{ID: t.ID, Group: t.Source, Trajectory: t, Targets: targets(t)}
		s.Cases = append(s.Cases, c)
		if err := s.finish([]*Case{c}, opt.Split); err != nil {
			return fmt.Errorf("%s: %w", t.Where, err)
		}
	}
	return s.check()
}

// targets are the labels of a trajectory's steps as numbers.
func targets(t *data.Trajectory) (list []float64) {
	for _, l := range t.Labels.Steps {
		target := math.NaN()
		if l != nil {
			target = *l
		}
		list = append(list, target)
	}
	return list
}

// judgedCase is a case of a judged response. What else its row holds is not kept.
func judgedCase(id string, t *data.Trajectory) *Case {
	return &Case{ID: id, Trajectory: &data.Trajectory{ID: id, Problem: t.Problem, ResponseSteps: t.ResponseSteps}, Targets: targets(t)}
}

// SharedID is an id that both sets have, "" if there is none.
func (s *Set) SharedID(other *Set) string {
	for _, c := range s.Cases {
		if other.ids[c.ID] {
			return c.ID
		}
	}
	return ""
}

// SharedProblems counts the problems that both sets have.
func (s *Set) SharedProblems(other *Set) int {
	n := 0
	for key := range s.problems {
		if _, ok := other.problems[key]; ok {
			n++
		}
	}
	return n
}

// groups lists the cases' groups in the order in which they come.
func (s *Set) groups() []string {
	var list []string
	for _, c := range s.Cases {
		if !slices.Contains(list, c.Group) {
			list = append(list, c.Group)
		}
	}
	return list
}

func (s *Set) warnf(format string, args ...any) {
	s.Warnings = append(s.Warnings, fmt.Sprintf(format, args...))
}
