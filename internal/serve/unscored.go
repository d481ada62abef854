package serve

import (
	"fmt"
	"math"
	"strconv"

	"github.com/goprm/goprm/data"
)

// unscored is what a trainer is told of a text that has no reward: an error, or this value.
type unscored struct {
	answer bool // else an error
	reward *float64
	unit   *float64 // the reward, kept in [0,1]
}

func parseUnscored(policy string) (unscored, error) {
	switch policy {
	case UnscoredError:
		return unscored{}, nil
	case UnscoredNull:
		return unscored{answer: true}, nil
	}
	v, err := strconv.ParseFloat(policy, 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return unscored{}, fmt.Errorf("unscored: %q is neither %s, nor %s, nor a finite number", policy, UnscoredError, UnscoredNull)
	}
	return unscored{true, data.Float(v), data.Float(min(1, max(0, v)))}, nil
}

// Why a text has no reward.
const (
	noText    = "text"     // it cannot be taken apart or has no step
	tooLong   = "too_long" // it is longer than is taken
	noOutcome = "outcome"  // its label cannot be compared
	noParts   = "parts"    // no step is of the parts that the reward averages
)
