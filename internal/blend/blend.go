// Package blend is the one definition of how an outcome and a process reward are mixed.
package blend

import (
	"fmt"
	"math"
)

// Beta is the weight of the process reward in the authors' code.
const Beta = 0.75

// What the mixture takes of the process reward r̂.
const (
	Paper = "paper" // r̂ as it is
	Unit  = "unit"  // r̂ divided by the most that it can be, so that it has the range of the outcome
)

// Weights are what outcome and process reward are multiplied by: 1−β, and β or, for Unit, β divided by most.
func Weights(beta *float64, scale string, most float64) (outcome, process float64, err error) {
	b := Beta
	if beta != nil {
		b = *beta
	}
	switch {
	case !(b >= 0 && b <= 1):
		return 0, 0, fmt.Errorf("beta: %v is not in [0,1]", b)
	case scale != "" && scale != Paper && scale != Unit:
		return 0, 0, fmt.Errorf("blend_scale: %q is neither %s nor %s", scale, Paper, Unit)
	case scale != Unit:
		return 1 - b, b, nil
	case !(most > 0) || math.IsInf(most, 0):
		return 0, 0, fmt.Errorf("blend_scale: a reward of at most %v cannot be brought to [0,1]; take %s, or another alpha", most, Paper)
	}
	return 1 - b, b / most, nil
}
