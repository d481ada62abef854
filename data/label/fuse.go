package label

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Part is one of the three rewards that make a step's reward.
type Part string

const (
	Align    Part = "align"
	Quality  Part = "quality"
	Coherent Part = "coherence"
)

// allParts are the parts in the order of the formulas.
var allParts = []Part{Align, Quality, Coherent}

// Fusion makes one step reward of the parts.
type Fusion string

const (
	// Paper is Σ softmax(raw)_k · raw_k. The raw cosine and log leave [0,1], so a model that learns it needs
	// head.activation: identity.
	Paper Fusion = "paper"
	// Normalised brings the parts to [0,1] first, the alignment as (1+cos)/2. There the softmax's weights differ by a factor e
	// at most: it is nearly a mean.
	Normalised Fusion = "normalised"
	// Mean is the mean of the normalised parts.
	Mean Fusion = "mean"
	// Min is the least of the normalised parts.
	Min Fusion = "min"
	// QualityGated is the quality times the mean of the other normalised parts: a step is never better than its quality.
	QualityGated Fusion = "quality_gated"
)

var fusions = []Fusion{Paper, Normalised, Mean, Min, QualityGated}

// Bounded tells whether the rewards of this fusion lie in [0,1] when quality and coherence do.
func (f Fusion) Bounded() bool { return f != Paper }

// Fuse returns the reward of a step and the weight of each of the named parts; for Min, 1 stands at the least part. raw
// holds the parts as they are stored. A part that is missing, or no finite number, leaves no label: ok is false.
func (f Fusion) Fuse(raw map[Part]float64, use []Part) (reward float64, weights []float64, ok bool) {
	v := make([]float64, len(use))
	for i, part := range use {
		x, given := raw[part]
		if !given || math.IsNaN(x) || math.IsInf(x, 0) {
			return 0, nil, false
		}
		if part == Align && f != Paper {
			x = (1 + x) / 2
		}
		v[i] = x
	}
	weights = make([]float64, len(use))
	switch f {
	case Paper, Normalised:
		top, sum := slices.Max(v), 0.0
		for i, x := range v {
			weights[i] = math.Exp(x - top)
			sum += weights[i]
		}
		for i := range weights {
			weights[i] /= sum
		}
	case Mean:
		for i := range weights {
			weights[i] = 1 / float64(len(use))
		}
	case Min:
		weights[slices.Index(v, slices.Min(v))] = 1
	case QualityGated:
		q := slices.Index(use, Quality)
		if len(use) == 1 {
			weights[q] = 1
			break
		}
		// The weights are what each other part is multiplied by, so that the sum below is the reward.
		for i := range weights {
			if i != q {
				weights[i] = v[q] / float64(len(use)-1)
			}
		}
	}
	for i, x := range v {
		reward += weights[i] * x
	}
	if f != Paper && f != QualityGated { // rounding must not lead out of the parts' range
		reward = math.Max(slices.Min(v), math.Min(slices.Max(v), reward))
	}
	return reward, weights, true
}

// checkFusion refuses what cannot be fused. Its errors name the key.
func checkFusion(f Fusion, use []Part, c Coherence) error {
	if err := oneOf("fusion", f, fusions...); err != nil {
		return err
	}
	if len(use) == 0 {
		return fmt.Errorf("parts: none; name some of %s", list(allParts))
	}
	for i, p := range use {
		if err := oneOf("parts", p, allParts...); err != nil {
			return err
		}
		if slices.Contains(use[:i], p) {
			return fmt.Errorf("parts: %s stands there twice", p)
		}
	}
	switch {
	case f == QualityGated && !slices.Contains(use, Quality):
		return fmt.Errorf("fusion: quality_gated needs quality among the parts (%s)", list(use))
	case f != Paper && slices.Contains(use, Coherent) && !c.bounded():
		return fmt.Errorf("fusion: %s takes coherence in [0,1]: coherence.form: probability and coherence.positive: true, or fusion: paper", f)
	}
	return nil
}

func oneOf[S ~string](key string, value S, allowed ...S) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return fmt.Errorf("%s: %q is none of %s", key, string(value), list(allowed))
}

func list[S ~string](values []S) string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = string(v)
	}
	return strings.Join(texts, ", ")
}
