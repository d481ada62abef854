package prm

import (
	"encoding/json"

	"github.com/goprm/goprm/internal/metrics"
	"github.com/goprm/goprm/internal/runlog"
)

// StepMetrics are the numbers of one optimizer step; its JSON is a line of metrics.jsonl.
type StepMetrics struct {
	Step         int // optimizer steps done, this one and those of earlier sessions included
	Tokens       int
	Trajectories int
	NStep        int // step labels
	NFinal       int // trajectory labels
	// Loss is LossStep + LossFinal, each with its λ.
	Loss, LossStep, LossFinal float64
	GradNorm                  float64 // before clipping
	NonFinite                 string  // the first tensor that was NaN or Inf, of a step that on_nonfinite passed over; then losses are NaN
	LR                        float64 // of all but the head
	TokensPerS                float64
	Time                      string // RFC 3339
}

// MarshalJSON writes the line in metrics.jsonl.
func (s StepMetrics) MarshalJSON() ([]byte, error) {
	return json.Marshal(runlog.Step{
		Step: s.Step, Tokens: s.Tokens, Trajectories: s.Trajectories, NStep: s.NStep, NFinal: s.NFinal,
		Loss: metrics.Float(s.Loss), LossStep: metrics.Float(s.LossStep), LossFinal: metrics.Float(s.LossFinal),
		GradNorm: metrics.Float(s.GradNorm), NonFinite: s.NonFinite, LR: s.LR, TokensPerS: s.TokensPerS, Time: s.Time,
	})
}

// UnmarshalJSON reads a line of metrics.jsonl.
func (s *StepMetrics) UnmarshalJSON(text []byte) error {
	var r runlog.Step
	if err := json.Unmarshal(text, &r); err != nil {
		return err
	}
	*s = StepMetrics{
		Step: r.Step, Tokens: r.Tokens, Trajectories: r.Trajectories, NStep: r.NStep, NFinal: r.NFinal,
		Loss: float64(r.Loss), LossStep: float64(r.LossStep), LossFinal: float64(r.LossFinal), GradNorm: float64(r.GradNorm),
		NonFinite: r.NonFinite, LR: r.LR, TokensPerS: r.TokensPerS, Time: r.Time,
	}
	return nil
}
