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
	count map[string]int   // by reason
	first map[string]error // of each reason
}

func (b *badRows) add(reason string, err error) {
	if b.count == nil {
		b.count, b.first = map[string]int{}, map[string]error{}
	}
	if b.count[reason]++; b.first[reason] == nil {
		b.first[reason] = err
	}
}

// warnings says of each reason how often it was met, and where first.
func (b *badRows) warnings(key string) []string {
	var list []string
	for _, reason := range slices.Sorted(maps.Keys(b.count)) {
		list = append(list, fmt.Sprintf("%s: %d skipped: %s; the first: %v", key, b.count[reason], reason, b.first[reason]))
	}
	return list
}

// strayErrors counts PRMBench's rows that name error steps beyond their last, next to others that they have.
type strayErrors struct {
	rows  int
	first string
}

func (s *strayErrors) add(t *data.Trajectory) {
	var steps []int
	if t.Source != "prmbench" || json.Unmarshal(t.Meta["error_steps"], &steps) != nil {
		return
	}
	if slices.ContainsFunc(steps, func(n int) bool { return n > len(t.ResponseSteps) }) {
		if s.rows++; s.rows == 1 {
			s.first = fmt.Sprintf("%q: %v of %d steps", t.ID, steps, len(t.ResponseSteps))
		}
	}
}

func (s *strayErrors) warning(key string) []string {
	if s.rows == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%s: %d rows of PRMBench name error steps beyond their last, which are passed over; the first: %s",
		key, s.rows, s.first)}
}
