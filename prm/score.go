package prm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/modelfolder"
	"github.com/goprm/goprm/internal/nnet"
	"github.com/goprm/goprm/internal/prefix"
)

// Score is what a model says about one trajectory; its JSON form is a line of prm score.
type Score struct {
	ID    string
	Steps []StepScore
	// Trajectory is the score of the whole; nil if the model was not trained to give one.
	Trajectory *float64
	// Sigmoid is the sigmoid of Trajectory, for the formats whose trajectories score without bounds; else nil.
	Sigmoid *float64
	// Mean is the mean score of the steps of the chosen parts; NaN (null in JSON) if the trajectory has no step in these parts.
	Mean float64
	// Reward is Mean plus alpha times Trajectory.
	Reward float64
}

// StepScore is one step's score and place.
type StepScore struct {
	Part string `json:"part"` // thinking or response
	// Bytes [Start, End) and code points [CharStart, CharEnd) of the part's text: the given one, or its steps joined.
	Start     int         `json:"start"`
	End       int         `json:"end"`
	CharStart int         `json:"char_start"`
	CharEnd   int         `json:"char_end"`
	TextOf    data.TextOf `json:"text_of"` // given or joined
	Score     float64     `json:"score"`
	// Window is the part of a trajectory too long for the model in which the step was read, see data.Windows. In the first, 0, it was
	// read with everything before it.
	Window int `json:"window"`
}

// MarshalJSON writes an undefined mean and reward as null.
func (s Score) MarshalJSON() ([]byte, error) {
	var mean, reward *float64
	if !math.IsNaN(s.Reward) {
		mean, reward = &s.Mean, &s.Reward
	}
	steps := s.Steps
	if steps == nil {
		steps = []StepScore{}
	}
	return json.Marshal(struct {
		ID         string      `json:"id"`
		Steps      []StepScore `json:"steps"`
		Trajectory *float64    `json:"trajectory"`
		Sigmoid    *float64    `json:"sigmoid,omitempty"`
		Mean       *float64    `json:"mean"`
		Reward     *float64    `json:"reward"`
	}{s.ID, steps, s.Trajectory, s.Sigmoid, mean, reward})
}

// ScoreOptions say how trajectories are scored together; the zero value takes what was saved with the model.
type ScoreOptions struct {
	Alpha  *float64 // weight of the trajectory's score; nil: the model's
	Parts  string   // which steps the reward averages: trained, thinking, response, all; "": the model's choice
	Tokens int      // most tokens run at once: memory only, it changes no score; 0: 8192
	// OnBad is called for a trajectory that cannot be scored; nil from it skips that one, an error ends the sequence. A nil
	// OnBad ends it at the first. An error of the input that is no *data.RowError ends the sequence without asking.
	OnBad func(error) error
}

// Validate reports the first option that cannot be used.
func (o ScoreOptions) Validate() error {
	if o.Alpha != nil && (math.IsNaN(*o.Alpha) || math.IsInf(*o.Alpha, 0)) {
		return fmt.Errorf("alpha: %v is not a finite number", *o.Alpha)
	}
	if o.Tokens < 0 {
		return fmt.Errorf("tokens: %d is negative", o.Tokens)
	}
	return oneOf(choice{"parts", o.Parts, []string{"", "trained", modelfolder.PartThinking, modelfolder.PartResponse, "all"}})
}

const defaultScoreTokens = 8192

// Score scores one trajectory. Its labels, if it has any, make no difference.
func (m *Model) Score(ctx context.Context, t *data.Trajectory) (*Score, error) {
	one := func(yield func(*data.Trajectory, error) bool) { yield(t, nil) }
	for s, err := range m.ScoreAll(ctx, one, ScoreOptions{}) {
		return s, err
	}
	return nil, errors.New("nothing was scored")
}

// ScoreAll scores trajectories in their order, many at a time. A trajectory's scores are the same bits in any company.
// The sequence ends after an error.
func (m *Model) ScoreAll(ctx context.Context, trajectories iter.Seq2[*data.Trajectory, error], opt ScoreOptions) iter.Seq2[*Score, error] {
	return func(yield func(*Score, error) bool) {
		if err := opt.Validate(); err != nil {
			yield(nil, err)
			return
		}
		if opt.Tokens == 0 {
			opt.Tokens = defaultScoreTokens
		}
		b := scoreBatch{model: m, opt: opt}
		for t, err := range trajectories {
			var row *data.RowError
			one := err == nil || errors.As(err, &row) // else the input ends here
			if err == nil && t == nil {
				err = errors.New("a trajectory is nil")
			}
			var texts []*data.Example
			if err == nil {
				t, texts, err = m.texts(t)
			}
			if err != nil {
				if one && opt.OnBad != nil {
					err = opt.OnBad(err)
				}
				if err == nil {
					continue
				}
				if b.flush(ctx, yield) {
					yield(nil, err)
				}
				return
			}
			tokens := 0
			for _, e := range texts {
				tokens += len(e.Tokens)
			}
			if (b.tokens+tokens > opt.Tokens || len(b.trajectories) == scoreChunk) && !b.flush(ctx, yield) {
				return
			}
			b.add(t, texts, tokens)
		}
		b.flush(ctx, yield)
	}
}

// texts are the trajectory without its labels, and the texts in which it is read.
func (m *Model) texts(t *data.Trajectory) (*data.Trajectory, []*data.Example, error) {
	bare := *t
	bare.Labels = data.Labels{}
	list, err := m.render(&bare)
	return &bare, list, err
}

// scoreBatch is what is scored at once.
type scoreBatch struct {
	model        *Model
	opt          ScoreOptions
	trajectories []*data.Trajectory
	first        []int // each trajectory's first text
	examples     []*data.Example
	tokens       int
}

func (b *scoreBatch) add(t *data.Trajectory, texts []*data.Example, tokens int) {
	b.trajectories, b.first = append(b.trajectories, t), append(b.first, len(b.examples))
	b.examples, b.tokens = append(b.examples, texts...), b.tokens+tokens
}

// flush scores what was added and reports whether to go on.
func (b *scoreBatch) flush(ctx context.Context, yield func(*Score, error) bool) bool {
	if len(b.trajectories) == 0 {
		return true
	}
	err := ctx.Err()
	scores := newReadScores(b.examples)
	if err == nil {
		err = b.model.read(b.examples, b.opt.Tokens, scores)
	}
	if err != nil {
		yield(nil, err)
		return false
	}
	for i, t := range b.trajectories {
		from, to := b.first[i], len(b.examples)
		if i+1 < len(b.first) {
			to = b.first[i+1]
		}
		if !yield(b.model.score(t, b.examples[from:to], scores.values[from:to], b.opt), nil) {
			return false
		}
	}
	*b = scoreBatch{model: b.model, opt: b.opt}
	return true
}

// read runs the network over the examples.
func (m *Model) read(list []*data.Example, tokens int, scores *readScores) error {
	batches, err := packShared(list, tokens, m.folder.Config)
	if err != nil {
		return err
	}
	m.reused = make([]int, len(list))
	for _, batch := range batches {
		s, err := m.readBatch(batch, list)
		if err != nil {
			return err
		}
		scores.put(batch, s, 0)
	}
	return nil
}

// readBatch returns the scores of a batch's read-outs, computing what no earlier text has brought.
func (m *Model) readBatch(batch *data.Batch, list []*data.Example) (nnet.Scores, error) {
	if m.prefixes == nil {
		return m.compute(nnet.Micro{Batch: batch}, list)
	}
	plan := m.prefixes.Plan(batch)
	m.countReused(batch, plan, list)
	defer plan.Drop() // also if the network panics
	var s nnet.Scores
	if len(plan.Tokens) > 0 {
		var err error
		if s, err = m.compute(plan.Micro, list); err != nil {
			return s, err
		}
	}
	return nnet.Scores{Values: plan.Done(s.Values)}, nil
}

// countReused counts what a plan spares each text: up to the segment of its last read-out.
func (m *Model) countReused(batch *data.Batch, plan *prefix.Plan, list []*data.Example) {
	type text struct{ example, window int }
	longest := map[text]int{}
	for i, at := range batch.Trajectory {
		t := text{int(at), list[at].Reads[batch.Read[i]].Window}
		longest[t] = max(longest[t], int(plan.Reused[i]))
	}
	for t, n := range longest {
		m.reused[t.example] += n
	}
}

// compute runs the network over a batch.
func (m *Model) compute(micro nnet.Micro, list []*data.Example) (nnet.Scores, error) {
	batch := micro.Batch
	s, err := m.scoreBatch(micro, list)
	if err != nil {
		return s, err
	}
	if m.public != nil && m.public.Score != nil {
		columns := len(s.Logits) / max(1, len(s.Values))
		for i := range s.Values {
			s.Values[i] = m.public.Score(s.Logits[i*columns : (i+1)*columns])
		}
	}
	for i, v := range s.Values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			e := list[batch.Trajectory[i]]
			return s, fmt.Errorf("trajectory %q: the score of read-out %d is %v: the weights or the arithmetic are broken", e.ID, batch.Read[i], v)
		}
	}
	return s, nil
}

// score puts the values that a trajectory's texts were read with into their places. Steps that no text reads are left out.
func (m *Model) score(t *data.Trajectory, texts []*data.Example, values [][]float64, opt ScoreOptions) *Score {
	thinking, response := m.cut(t)
	s := &Score{ID: t.ID, Steps: make([]StepScore, len(thinking.Steps)+len(response.Steps))}
	for i := range s.Steps {
		part, cut, at := modelfolder.PartThinking, thinking, i
		if i >= len(thinking.Steps) {
			part, cut, at = modelfolder.PartResponse, response, i-len(thinking.Steps)
		}
		span := cut.Spans[at]
		s.Steps[i] = StepScore{
			Part: part, Start: span.Start, End: span.End, CharStart: span.CharStart, CharEnd: span.CharEnd, TextOf: cut.TextOf, Score: math.NaN(),
		}
	}
	final := m.place(s.Steps, texts, values)
	s.Steps = slices.DeleteFunc(s.Steps, func(s StepScore) bool { return math.IsNaN(s.Score) })
	alpha := m.card.Alpha
	if opt.Alpha != nil {
		alpha = *opt.Alpha
	}
	s.Mean = m.meanStep(s.Steps, opt.Parts)
	s.Reward = s.Mean
	if m.hasTrajectory() {
		s.Trajectory = &final
		if m.public != nil && m.public.Raw {
			sigmoid := 1 / (1 + math.Exp(-final))
			s.Sigmoid = &sigmoid
		}
		s.Reward += alpha * final
	}
	return s
}

// place gives the steps their scores and returns the trajectory's. Implicit rewards are sums over tokens.
func (m *Model) place(steps []StepScore, texts []*data.Example, values [][]float64) (final float64) {
	implicit := m.public != nil && m.public.Implicit != 0
	for i := range steps {
		if implicit {
			steps[i].Score = 0
		}
	}
	for i, e := range texts {
		for j, r := range e.Reads {
			v := values[i][j]
			switch {
			case implicit:
				steps[r.Index].Score += m.public.Implicit * v
				final += m.public.Implicit * v
			case r.Kind == data.Final:
				final = v
			default:
				steps[r.Index].Score, steps[r.Index].Window = v, r.Window
			}
		}
	}
	return final
}

// meanStep averages the steps of the chosen parts. Where none of the parts was trained it is 0: then the trajectory's
// score is all there is.
func (m *Model) meanStep(steps []StepScore, over string) float64 {
	if over == "" {
		over = m.card.Over
	}
	parts := []string{over}
	switch over {
	case "trained":
		parts = without(m.card.Parts, modelfolder.PartTrajectory)
		if len(parts) == 0 {
			return 0
		}
	case "all":
		parts = []string{modelfolder.PartThinking, modelfolder.PartResponse}
	}
	sum, n := 0.0, 0
	for _, s := range steps {
		if slices.Contains(parts, s.Part) {
			sum += s.Score
			n++
		}
	}
	return sum / float64(n) // NaN without steps
}
