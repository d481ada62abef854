package prm

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/modelfolder"
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
	// OnBad ends it at the first. An error of the input that is no *data.RowError ends the sequence without asking, and so does one of
	// the network, such as a *NonFiniteError.
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
	for s, err := range m.ScoreAll(ctx, Slice([]*data.Trajectory{t}), ScoreOptions{}) {
		return s, err
	}
	return nil, errors.New("nothing was scored")
}

// Tokens is how many tokens are read of a trajectory, those of overlapping windows each time.
func (m *Model) Tokens(t *data.Trajectory) (int, error) {
	_, text, err := m.text(context.Background(), t, 0)
	if err != nil {
		return 0, err
	}
	return text.tokens, nil
}

// ScoreAll scores trajectories in their order, many at a time. A trajectory's scores are the same bits in any company.
// The sequence ends after an error.
func (m *Model) ScoreAll(ctx context.Context, trajectories iter.Seq2[*data.Trajectory, error], opt ScoreOptions) iter.Seq2[*Score, error] {
	return func(yield func(*Score, error) bool) {
		if err := cmp.Or(m.usable(), opt.Validate()); err != nil {
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
			var text *queued
			if err == nil {
				t, text, err = m.text(ctx, t, 0)
			}
			if err != nil {
				if one && opt.OnBad != nil && ctx.Err() == nil {
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
			if (b.tokens+text.tokens > opt.Tokens*len(m.devices()) || len(b.trajectories) == scoreChunk) && !b.flush(ctx, yield) {
				return
			}
			b.add(t, text)
		}
		b.flush(ctx, yield)
	}
}

// text is the trajectory without its labels, laid out to be read, in at most total tokens; 0: any number.
func (m *Model) text(ctx context.Context, t *data.Trajectory, total int) (*data.Trajectory, *queued, error) {
	bare := *t
	bare.Labels = data.Labels{}
	list, err := m.renderWithin(ctx, &bare, total)
	return &bare, newQueued(list), err
}

// scoreBatch is what is scored at once.
type scoreBatch struct {
	model        *Model
	opt          ScoreOptions
	trajectories []*data.Trajectory
	texts        []*queued // of each trajectory
	tokens       int
}

func (b *scoreBatch) add(t *data.Trajectory, text *queued) {
	b.trajectories, b.texts, b.tokens = append(b.trajectories, t), append(b.texts, text), b.tokens+text.tokens
}

// flush scores what was added and reports whether to go on. Nothing of the model is held while the scores are taken.
func (b *scoreBatch) flush(ctx context.Context, yield func(*Score, error) bool) bool {
	if err := b.model.read(ctx, b.texts, b.opt.Tokens); err != nil {
		yield(nil, err)
		return false
	}
	for i, t := range b.trajectories {
		text := b.texts[i]
		if text.err != nil {
			yield(nil, text.err)
			return false
		}
		if !yield(b.model.score(t, text.examples, text.values, b.opt), nil) {
			return false
		}
	}
	*b = scoreBatch{model: b.model, opt: b.opt}
	return true
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
			case r.Kind == data.KindTrajectory:
				final = v
			default:
				steps[r.Index].Score, steps[r.Index].Window = v, r.Window
			}
		}
	}
	return final
}

// averaged are the parts whose steps the reward averages; none: the trajectory's score is all there is.
func (m *Model) averaged(over string) []string {
	if over == "" {
		over = m.card.Over
	}
	switch over {
	case "trained":
		return without(m.card.Parts, modelfolder.PartTrajectory)
	case "all":
		return []string{modelfolder.PartThinking, modelfolder.PartResponse}
	}
	return []string{over}
}

// meanStep averages the steps of the chosen parts. Where none of the parts was trained it is 0.
func (m *Model) meanStep(steps []StepScore, over string) float64 {
	parts := m.averaged(over)
	if len(parts) == 0 {
		return 0
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
