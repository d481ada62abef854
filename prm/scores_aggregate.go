package prm

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Aggregation makes one number of the scores of a trajectory's steps.
type Aggregation string

// The ways of aggregating.
const (
	Min    Aggregation = "min"    // the lowest step
	Last   Aggregation = "last"   // the last step
	Mean   Aggregation = "mean"   // the mean of the steps
	Prod   Aggregation = "prod"   // the product of the steps
	Reward Aggregation = "reward" // the mean of the steps plus alpha times the trajectory's score, where the model gives one
)

// Aggregations lists all of them.
var aggregations = []Aggregation{Min, Last, Mean, Prod, Reward}

// Of aggregates: steps are the scores of the steps, trajectory that of the whole, nil where the model gives none. It is
// NaN where there is nothing to aggregate. A model that scores only the whole has a reward of alpha times that.
func (a Aggregation) Of(steps []float64, trajectory *float64, alpha float64) float64 {
	if a == Reward && trajectory != nil {
		if len(steps) == 0 {
			return alpha * *trajectory
		}
		return mean(steps) + alpha**trajectory
	}
	if len(steps) == 0 {
		return math.NaN()
	}
	switch a {
	case Min:
		return slices.Min(steps)
	case Last:
		return steps[len(steps)-1]
	case Prod:
		product := 1.0
		for _, s := range steps {
			product *= s
		}
		return product
	case Mean, Reward:
		return mean(steps)
	}
	return math.NaN()
}

func mean(list []float64) float64 {
	sum := 0.0
	for _, v := range list {
		sum += v
	}
	return sum / float64(len(list))
}

// Validate refuses an unknown name.
func (a Aggregation) Validate() error {
	if slices.Contains(aggregations, a) {
		return nil
	}
	names := make([]string, len(aggregations))
	for i, known := range aggregations {
		names[i] = string(known)
	}
	return fmt.Errorf("aggregation: %q is none of %s", string(a), strings.Join(names, ", "))
}

// ReadOut refuses to rank what a model with a trajectory read-out has scored with what one without has.
type ReadOut struct {
	known, has bool
	where      string
}

// Check compares one more item with the first: whether it has a trajectory score, and where it stands.
func (r *ReadOut) Check(has bool, where string) error {
	if !r.known {
		*r = ReadOut{true, has, where}
		return nil
	}
	if has == r.has {
		return nil
	}
	with, without := where, r.where
	if r.has {
		with, without = r.where, where
	}
	return fmt.Errorf("%s has a trajectory score and %s has none: rewards of models with and without a trajectory read-out are never "+
		"ranked together", with, without)
}
