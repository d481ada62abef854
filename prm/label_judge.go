package prm

import (
	"context"
	"fmt"
	"sync"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/data/label"
)

// Judge is a label.Judge that is a process reward model: a step's quality is the score that the model gives it. Its calls take
// turns, since the model uses the threads by itself.
type Judge struct {
	mu    sync.Mutex
	model *Model
	id    string
	sees  label.Sees
}

var _ label.Judge = (*Judge)(nil)

// NewJudge makes a judge of an open model, which the caller closes when the judge is not needed any more.
func NewJudge(m *Model) (*Judge, error) {
	hash, err := m.ContentHash()
	if err != nil {
		return nil, err
	}
	info, sees := m.Info(), label.SeesPrefix
	if m.ResponseFirst() {
		sees = label.SeesResponse
	}
	return &Judge{model: m, id: fmt.Sprintf("prm/1 model=%s format=%s dtype=%s", hash, info.Format, info.DType), sees: sees}, nil
}

// ID names the model's files, its format and the arithmetic.
func (j *Judge) ID() string { return j.id }

// Sees is the response for a model that reads it first, else only what came before a step.
func (j *Judge) Sees() label.Sees { return j.sees }

// StepsPerCall: one pass scores all steps.
func (j *Judge) StepsPerCall() int { return 0 }

// Judge scores the trajectory. A score outside [0,1], as PURE's, is an error: it is no share of anything.
func (j *Judge) Judge(ctx context.Context, c *label.Case, steps []int) ([]label.Verdict, error) {
	if err := c.CheckSteps(steps, j.StepsPerCall()); err != nil {
		return nil, fmt.Errorf("prm: %w", err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	t := &data.Trajectory{ID: c.ID, Problem: c.Problem, Steps: c.Thinking, ResponseSteps: c.Response}
	score, err := j.model.Score(ctx, t)
	if err != nil {
		return nil, err
	}
	var thinking []float64
	for _, s := range score.Steps {
		if s.Part == "thinking" {
			thinking = append(thinking, s.Score)
		}
	}
	if len(thinking) != len(c.Thinking) {
		return nil, fmt.Errorf("the model scored %d of %d steps: the trajectory is too long for it", len(thinking), len(c.Thinking))
	}
	verdicts := make([]label.Verdict, len(steps))
	for i, s := range steps {
		verdicts[i].Score = thinking[s]
	}
	return verdicts, nil
}
