package prm

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/goprm/goprm/data"
)

// badRows counts what data.on_bad: skip leaves out.
type badRows struct {
	Count map[string]int    // by reason
	First map[string]string // error of each reason
}

func (b *badRows) add(reason, first string) {
	b.addAll(badRows{map[string]int{reason: 1}, map[string]string{reason: first}})
}

// addAll adds those of later rows.
func (b *badRows) addAll(later badRows) {
	if len(later.Count) == 0 {
		return
	}
	if b.Count == nil {
		b.Count, b.First = map[string]int{}, map[string]string{}
	}
	for reason, n := range later.Count {
		if b.Count[reason] == 0 {
			b.First[reason] = later.First[reason]
		}
		b.Count[reason] += n
	}
}

// warnings says of each reason how often it was met, and where first.
func (b *badRows) warnings(key string) []string {
	var list []string
	for _, reason := range slices.Sorted(maps.Keys(b.Count)) {
		list = append(list, fmt.Sprintf("%s: %d skipped: %s; the first: %s", key, b.Count[reason], reason, b.First[reason]))
	}
	return list
}

// strayErrors counts PRMBench's rows that name error steps beyond their last, next to others that they have.
type strayErrors struct {
	Rows  int
	First string
}

// strayError says which error steps a row of PRMBench names and does not have; "": none.
func strayError(t *data.Trajectory) string {
	var steps []int
	if t.Source != "prmbench" || json.Unmarshal(t.Meta["error_steps"], &steps) != nil ||
		!slices.ContainsFunc(steps, func(n int) bool { return n > len(t.ResponseSteps) }) {
		return ""
	}
	return fmt.Sprintf("%q: %v of %d steps", t.ID, steps, len(t.ResponseSteps))
}

func (s *strayErrors) add(stray string) {
	if stray != "" {
		s.addAll(strayErrors{1, stray})
	}
}

// addAll adds those of later rows.
func (s *strayErrors) addAll(later strayErrors) {
	if s.Rows == 0 {
		s.First = later.First
	}
	s.Rows += later.Rows
}

func (s *strayErrors) warning(key string) []string {
	if s.Rows == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%s: %d rows of PRMBench name error steps beyond their last, which are passed over; the first: %s",
		key, s.Rows, s.First)}
}
