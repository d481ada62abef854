package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/goprm/goprm/internal/atomicfile"
)

// Results are all runs on one machine of one commit. The file is written after each run, and the next call goes on from it.
type Results struct {
	Machine Machine `json:"machine"`
	Rows    []*Row  `json:"rows"`
	path    string
}

// Row is a case with what each program did, by name.
type Row struct {
	Case
	Sides map[string]*Entry `json:"programs"`
}

// Entry is what one program did of a case.
type Entry struct {
	Runs     []Run             `json:"runs,omitempty"` // in the order in which they ran
	Reason   string            `json:"not_run,omitempty"`
	Failed   string            `json:"failed,omitempty"`
	Versions map[string]string `json:"versions,omitempty"`
}

func openResults(path string, m Machine) (*Results, error) {
	r := &Results{path: path}
	text, err := os.ReadFile(path)
	if err == nil {
		if err := json.Unmarshal(text, r); err != nil {
			return nil, fmt.Errorf("%s: %w; move it away to begin again", path, err)
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	r.Machine = m
	return r, nil
}

func (r *Results) save() error { return r.write(r.path) }

func (r *Results) write(path string) error {
	slices.SortStableFunc(r.Rows, func(a, b *Row) int { return slices.Index(cases(), a.Case) - slices.Index(cases(), b.Case) })
	return atomicfile.WriteFile(path, func(w io.Writer) error {
		text, err := json.MarshalIndent(r, "", " ")
		if err == nil {
			_, err = w.Write(append(text, '\n'))
		}
		return err
	})
}

// row finds a case's row, or adds one.
func (r *Results) row(c Case) *Row {
	for _, row := range r.Rows {
		if row.Case == c {
			return row
		}
	}
	row := &Row{Case: c, Sides: map[string]*Entry{}}
	r.Rows = append(r.Rows, row)
	return row
}

func (r *Row) side(name string) *Entry {
	if r.Sides[name] == nil {
		r.Sides[name] = &Entry{}
	}
	return r.Sides[name]
}

// leave says why the programs of a case that have no runs have none.
func (r *Results) leave(c Case, why string) {
	row := r.row(c)
	for _, s := range sides() {
		if e := row.side(s.Name); len(e.Runs) == 0 && e.Failed == "" {
			if e.Reason = c.unsupported(s); e.Reason == "" {
				e.Reason = why
			}
		}
	}
}

// kept are the runs that nothing disturbed.
func (e *Entry) kept() (list []Run) {
	for _, r := range e.Runs {
		if !r.Dropped {
			list = append(list, r)
		}
	}
	return list
}

// steps are the median seconds of a step, of each run that was kept.
func (e *Entry) steps() (list []float64) {
	for _, r := range e.kept() {
		list = append(list, r.step())
	}
	return list
}

// why is what a table says about a program without a number.
func (e *Entry) why() string {
	switch {
	case len(e.kept()) > 0:
		return ""
	case e.Failed != "":
		return e.Failed
	case len(e.Runs) > 0:
		least := math.Inf(1)
		for _, r := range e.Runs {
			least = min(least, r.Others)
		}
		return fmt.Sprintf("all %d runs disturbed: other programs had %.0f %% of a processor at least", len(e.Runs), 100*least)
	}
	return e.Reason
}

// ratio is how many times the tokens of another program this one does in the same time: the median of the rounds that both have.
func (e *Entry) ratio(other *Entry) float64 {
	var list []float64
	for _, a := range e.kept() {
		for _, b := range other.kept() {
			if a.Round == b.Round {
				list = append(list, b.step()/a.step())
			}
		}
	}
	return median(list)
}

// median is 0 of nothing.
func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(v))
	return (s[len(s)/2] + s[(len(s)-1)/2]) / 2
}

func round1(v float64) float64 { return math.Round(v*10) / 10 }
func round3(v float64) float64 { return math.Round(v*1000) / 1000 }

// publish writes the tables into a page, and all numbers beside it.
func (r *Results) publish(page string) error {
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	text, err = between(text, r.Machine, r.tables())
	if err != nil {
		return fmt.Errorf("%s: %w", page, err)
	}
	if err := atomicfile.WriteFile(page, func(w io.Writer) error { _, err := w.Write(text); return err }); err != nil {
		return err
	}
	return r.write(filepath.Join(filepath.Dir(page), "benchmarks"+r.Machine.suffix()+".json"))
}
