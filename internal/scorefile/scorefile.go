// Package scorefile reads the lines of a file of scores: those that prm score writes, and {"id", "scores": [...], "trajectory"?}.
package scorefile

import (
	"errors"
	"fmt"
	"math"

	"github.com/goprm/goprm/data"
)

// Score is one line; prm.StoredScore has the same fields.
type Score struct {
	ID         string
	Steps      []float64
	Parts      []string // of each step, thinking or response; nil: the line does not tell
	Trajectory *float64 // nil: the model gives none
	Mean       float64  // of the steps that count for the reward; NaN: undefined
	Where      string   // "file:line"
}

// Parse reads one row.
func Parse(row *data.Row) (*Score, error) {
	s := &Score{Mean: math.NaN(), Where: fmt.Sprintf("%s:%d", row.File, row.Line)}
	err := row.Need("id", &s.ID)
	if err == nil {
		err = row.Take("trajectory", &s.Trajectory)
	}
	if err == nil && row.Has("scores") {
		s.Steps, err = row.Numbers("scores")
		if len(s.Steps) > 0 {
			sum := 0.0
			for _, v := range s.Steps {
				sum += v
			}
			s.Mean = sum / float64(len(s.Steps))
		}
		return s, err
	}
	if err == nil && !row.Has("steps") {
		err = row.FailField("scores", "missing; scores are expected under scores (a list of numbers) or steps (as prm score writes them)")
	}
	var steps []*data.Row
	if err == nil {
		steps, err = row.Objects("steps")
	}
	for _, step := range steps {
		part, score := "", 0.0
		if err = errors.Join(step.Need("part", &part), step.Need("score", &score)); err != nil {
			break
		}
		s.Steps, s.Parts = append(s.Steps, score), append(s.Parts, part)
	}
	if err == nil {
		err = row.Take("mean", &s.Mean)
	}
	return s, err
}
