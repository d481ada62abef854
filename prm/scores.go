package prm

import (
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/modelfolder"
	"github.com/goprm/goprm/internal/scorefile"
)

// StoredScore is one line of a file of scores: what prm score writes, or {"id", "scores": [...], "trajectory"?}.
type StoredScore struct {
	ID         string
	Steps      []float64
	Parts      []string // of each step, thinking or response; nil: the line does not tell
	Trajectory *float64 // nil: the model gives none
	Mean       float64  // of the steps that count for the reward; NaN: undefined
	Where      string   // "file:line"
}

// ReadScores yields the scores of the files one by one. With an error the score is nil and the sequence ends.
func ReadScores(paths []string, opt data.ReadOptions) iter.Seq2[*StoredScore, error] {
	return func(yield func(*StoredScore, error) bool) {
		for row, err := range data.Rows(paths, opt) {
			var s *StoredScore
			if err == nil {
				s, err = storedScore(row)
			}
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(s, nil) {
				return
			}
		}
	}
}

func storedScore(row *data.Row) (*StoredScore, error) {
	s, err := scorefile.Parse(row)
	return (*StoredScore)(s), err
}

// Stored is the score as a file would hold it.
func (s *Score) Stored() *StoredScore {
	stored := &StoredScore{ID: s.ID, Trajectory: s.Trajectory, Mean: s.Mean, Where: fmt.Sprintf("trajectory %q", s.ID)}
	for _, step := range s.Steps {
		stored.Steps, stored.Parts = append(stored.Steps, step.Score), append(stored.Parts, step.Part)
	}
	return stored
}

// Stored hands on what a model says, as ScoreAll yields it, to where stored scores are taken.
func Stored(scores iter.Seq2[*Score, error]) iter.Seq2[*StoredScore, error] {
	return func(yield func(*StoredScore, error) bool) {
		for s, err := range scores {
			var stored *StoredScore
			if err == nil {
				stored = s.Stored()
			}
			if !yield(stored, err) {
				return
			}
		}
	}
}

// Samples yields every sample of the problems as a trajectory to score; see WithScores.
func Samples(problems iter.Seq2[*data.SampledProblem, error]) iter.Seq2[*data.Trajectory, error] {
	return func(yield func(*data.Trajectory, error) bool) {
		for p, err := range problems {
			if err != nil {
				yield(nil, err)
				return
			}
			for i := range p.Samples {
				if !yield(p.Trajectory(i), nil) {
					return
				}
			}
		}
	}
}

// Reward is the mean of the steps that count plus alpha times the trajectory's score, if the model gives one; NaN: undefined.
func (s *StoredScore) Reward(alpha float64) float64 {
	if s.Trajectory == nil {
		return s.Mean
	}
	if math.IsNaN(s.Mean) && len(s.Steps) == 0 {
		return alpha * *s.Trajectory
	}
	return s.Mean + alpha**s.Trajectory
}

// rewarded are the scores of the steps that the reward averages: those of the parts whose mean is the line's.
func (s *StoredScore) rewarded() []float64 {
	if s.Parts == nil || math.IsNaN(s.Mean) {
		return s.Steps
	}
	for _, part := range []string{"", modelfolder.PartThinking, modelfolder.PartResponse} {
		var list []float64
		for i, v := range s.Steps {
			if part == "" || s.Parts[i] == part {
				list = append(list, v)
			}
		}
		if len(list) > 0 && mean(list) == s.Mean {
			return list
		}
	}
	return nil // the model was trained to score the whole alone
}

// WithScores puts scores into the samples that they are of: those of SampledProblem.Trajectory, by their ids, in the same
// order, instead of those that the rows had. Samples may lack one; scores that are of no sample are an error.
func WithScores(problems iter.Seq2[*data.SampledProblem, error],
	scores iter.Seq2[*StoredScore, error]) iter.Seq2[*data.SampledProblem, error] {
	return func(yield func(*data.SampledProblem, error) bool) {
		next := newAlong(scores)
		defer next.stop()
		for p, err := range problems {
			for i := 0; err == nil && i < len(p.Samples); i++ {
				var s *StoredScore
				p.Samples[i].Scores, p.Samples[i].Trajectory = nil, nil
				if s, err = next.of(p.SampleID(i)); s != nil {
					p.Samples[i].Scores, p.Samples[i].Trajectory = s.rewarded(), s.Trajectory
				}
			}
			if err != nil {
				p = nil
			}
			if !yield(p, err) || err != nil {
				return
			}
		}
		if err := next.end(); err != nil {
			yield(nil, err)
		}
	}
}

// along reads scores beside the rows that they are of, both in the same order, so that neither need be held in memory.
type along struct {
	pull func() (*StoredScore, error, bool)
	stop func()
	head *StoredScore
	done bool
}

func newAlong(scores iter.Seq2[*StoredScore, error]) *along {
	a := &along{}
	a.pull, a.stop = iter.Pull2(scores)
	return a
}

func (a *along) fill() error {
	if a.head != nil || a.done {
		return nil
	}
	s, err, ok := a.pull()
	a.head, a.done = s, !ok
	return err
}

// of is the score of the next row if it has that id, nil if that row has none.
func (a *along) of(id string) (*StoredScore, error) {
	if err := a.fill(); err != nil {
		return nil, err
	}
	if a.head == nil || a.head.ID != id {
		return nil, nil
	}
	s := a.head
	a.head = nil
	return s, nil
}

// end checks that every score was of some row.
func (a *along) end() error {
	if err := a.fill(); err != nil || a.head == nil {
		return err
	}
	return orderError{a.head}
}

func (a *along) close() { a.stop() }

// orderError is a score that is not of the row that is next.
type orderError struct{ score *StoredScore }

func (e orderError) Error() string {
	return fmt.Sprintf("%s: no row with the id %q where it is due: scores must stand in the order of the input, each once", e.score.Where,
		e.score.ID)
}

// anyOrder holds all scores by id: some hundred bytes each.
type anyOrder struct {
	scores map[string]*StoredScore
	used   map[string]bool
}

func newAnyOrder(scores iter.Seq2[*StoredScore, error]) (*anyOrder, error) {
	a := &anyOrder{scores: map[string]*StoredScore{}, used: map[string]bool{}}
	for s, err := range scores {
		if err != nil {
			return nil, err
		}
		if first, seen := a.scores[s.ID]; seen {
			return nil, fmt.Errorf("%s: a second line of scores for %q, after %s; scores that are not in the order of the input are told apart "+
				"by their ids", s.Where, s.ID, first.Where)
		}
		short := *s
		short.Steps, short.Parts = slices.Clone(s.Steps[:min(1, len(s.Steps))]), nil // the mean is all that is needed
		a.scores[s.ID] = &short
	}
	return a, nil
}

func (a *anyOrder) of(id string) (*StoredScore, error) {
	s := a.scores[id]
	if s != nil && a.used[id] {
		return nil, fmt.Errorf("two rows have the id %q, so that scores can only be in the order of the input", id)
	}
	a.used[id] = true
	return s, nil
}

func (a *anyOrder) end() error {
	for _, id := range slices.Sorted(maps.Keys(a.scores)) {
		if !a.used[id] {
			return fmt.Errorf("%s: no row has the id %q", a.scores[id].Where, id)
		}
	}
	return nil
}

func (a *anyOrder) close() { clear(a.used) }
