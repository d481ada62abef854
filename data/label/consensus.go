package label

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
)

// Consensus is two judges of whom a step's score is the mean where they agree within Tolerance. Where they do not, or one of
// them has no opinion, there is none. In a pipeline each judge's verdicts are stored as its own, so that another tolerance, or
// a change of one judge, does not ask the other again.
type Consensus struct {
	A, B      Judge
	Tolerance float64
}

var _ Judge = Consensus{}

// Validate checks the settings.
func (c Consensus) Validate() error {
	if c.A == nil || c.B == nil {
		return errors.New("consensus needs two judges")
	}
	if !(c.Tolerance >= 0 && c.Tolerance <= 1) {
		return fmt.Errorf("consensus: the tolerance %v is not between 0 and 1", c.Tolerance)
	}
	return nil
}

// ID names both judges.
func (c Consensus) ID() string {
	return fmt.Sprintf("consensus/1 tolerance=%v (%s) (%s)", c.Tolerance, c.A.ID(), c.B.ID())
}

// Sees is the more of what the two see.
func (c Consensus) Sees() Sees {
	order := []Sees{SeesPrefix, SeesAnswer, SeesResponse, SeesFuture}
	return order[max(slices.Index(order, c.A.Sees()), slices.Index(order, c.B.Sees()), 0)]
}

// StepsPerCall is the smaller of the two limits.
func (c Consensus) StepsPerCall() int {
	a, b := c.A.StepsPerCall(), c.B.StepsPerCall()
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

// Judge asks both.
func (c Consensus) Judge(ctx context.Context, of *Case, steps []int) ([]Verdict, error) {
	a, err := c.A.Judge(ctx, of, steps)
	if err != nil {
		return nil, err
	}
	b, err := c.B.Judge(ctx, of, steps)
	if err != nil {
		return nil, err
	}
	if len(a) != len(steps) || len(b) != len(steps) {
		return nil, fmt.Errorf("consensus: %d and %d verdicts for %d steps", len(a), len(b), len(steps))
	}
	verdicts := make([]Verdict, len(steps))
	for i := range steps {
		if verdicts[i], err = c.agree(a[i], b[i]); err != nil {
			return nil, err
		}
	}
	return verdicts, nil
}

const disagree = "the judges disagree"

func (c Consensus) agree(a, b Verdict) (v Verdict, err error) {
	for _, one := range []Verdict{a, b} {
		raw, err := json.Marshal(one)
		if err != nil {
			return v, err
		}
		v.Raw = append(v.Raw, raw)
		for _, what := range one.Mended {
			if !slices.Contains(v.Mended, what) {
				v.Mended = append(v.Mended, what)
			}
		}
	}
	switch {
	case a.Unchecked != "":
		v.Unchecked = a.Unchecked
	case b.Unchecked != "":
		v.Unchecked = b.Unchecked
	case !(math.Abs(a.Score-b.Score) <= c.Tolerance):
		v.Unchecked = disagree
	default:
		v.Score = (a.Score + b.Score) / 2
	}
	return v, nil
}
