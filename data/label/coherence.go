package label

import (
	"fmt"
	"math"
)

// Coherence is how a step is compared with the one before it, against steps of unrelated trajectories. With p the cosine of
// step and predecessor and n_i those of the negatives and the predecessor, each divided by τ, it is p − log Σ exp(n_i).
type Coherence struct {
	// Negatives is |N|, the number of steps that a step is compared with.
	Negatives int `yaml:"negatives" json:"negatives"`
	// Tau is τ, the softmax's temperature.
	Tau float64 `yaml:"tau" json:"tau"`
	// Form is "log", or "probability": its exponential.
	Form string `yaml:"form" json:"form"`
	// Positive adds exp(p) to the sum, so that the probability is one. The paper's form, as written, leaves it out.
	Positive bool `yaml:"positive" json:"positive"`
	// Pool is how many steps of the data set the negatives are drawn from.
	Pool int `yaml:"pool" json:"pool"`
	// Centre subtracts the pool's mean vector from every vector, for alignment too: for encoders whose cosines crowd.
	Centre bool `yaml:"centre" json:"centre"`
}

// DefaultCoherence is the probability among the step and 8 negatives at τ = 0.1.
func DefaultCoherence() Coherence {
	return Coherence{Negatives: 8, Tau: 0.1, Form: "probability", Positive: true, Pool: 1024}
}

// Validate checks the settings. Its errors name the key.
func (c Coherence) Validate() error {
	switch {
	case c.Negatives < 1 || c.Negatives > 1<<12:
		return fmt.Errorf("coherence.negatives: %d is not between 1 and %d", c.Negatives, 1<<12)
	case c.Pool < c.Negatives || c.Pool > 1<<16:
		return fmt.Errorf("coherence.pool: %d is not between coherence.negatives (%d) and %d", c.Pool, c.Negatives, 1<<16)
	case !(c.Tau >= 1e-3 && c.Tau <= 1e3):
		return fmt.Errorf("coherence.tau: %v is not between 0.001 and 1000", c.Tau)
	}
	return oneOf("coherence.form", c.Form, "probability", "log")
}

// Score compares step with the step before it.
func (c Coherence) Score(before, step []float32, negatives [][]float32) float64 {
	p := Cosine(before, step) / c.Tau
	top := math.Inf(-1)
	scaled := make([]float64, len(negatives), len(negatives)+1)
	for i, n := range negatives {
		scaled[i] = Cosine(before, n) / c.Tau
		top = math.Max(top, scaled[i])
	}
	if c.Positive {
		scaled = append(scaled, p)
		top = math.Max(top, p)
	}
	sum := 0.0
	for _, s := range scaled {
		sum += math.Exp(s - top)
	}
	log := p - top - math.Log(sum)
	if c.Form == "log" {
		return log
	}
	return math.Exp(log)
}

// bounded tells whether scores lie in [0,1].
func (c Coherence) bounded() bool { return c.Form == "probability" && c.Positive }
