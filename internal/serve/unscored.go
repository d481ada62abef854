package serve

import (
	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/served"
)

// unscored is what a trainer is told of a text that has no reward: an error, or this value.
type unscored struct {
	answer bool // else an error
	reward *float64
	unit   *float64 // the reward, kept in [0,1]
}

func parseUnscored(policy string) (unscored, error) {
	reward, answered, err := served.ParseUnscored(policy)
	if reward == nil {
		return unscored{answer: answered}, err
	}
	return unscored{true, reward, data.Float(min(1, max(0, *reward)))}, nil
}

// Why a text has no reward.
const (
	noText    = "text"     // it cannot be taken apart or has no step
	tooLong   = "too_long" // it is longer than is taken
	noOutcome = "outcome"  // its label cannot be compared
	noParts   = "parts"    // no step is of the parts that the reward averages
)
