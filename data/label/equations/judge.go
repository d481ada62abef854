// Package equations is a judge that needs no model: it checks the arithmetic and the algebraic identities that a step
// states. It has no opinion of the many steps that state none, and prefers none to a doubtful one.
package equations

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/goprm/goprm/data/label"
)

// Judge gives 1 to a step whose equations all hold, 0 to a step with one that does not, and has no opinion of the others.
type Judge struct{}

var _ label.Judge = Judge{}

// ID changes with every change of what is checked.
func (Judge) ID() string { return "equations/1" }

// Sees: the step itself and the problem's words.
func (Judge) Sees() label.Sees { return label.SeesPrefix }

// StepsPerCall: all of them, since a call costs nothing.
func (Judge) StepsPerCall() int { return 0 }

// Judge implements label.Judge.
func (j Judge) Judge(ctx context.Context, c *label.Case, steps []int) ([]label.Verdict, error) {
	if err := c.CheckSteps(steps, j.StepsPerCall()); err != nil {
		return nil, fmt.Errorf("equations: %w", err)
	}
	verdicts := make([]label.Verdict, len(steps))
	for i, s := range steps {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		claims := Check(c.Problem, c.Thinking[s])
		if len(claims) == 0 {
			verdicts[i].Unchecked = "nothing to check"
			continue
		}
		verdicts[i].Score = 1
		for _, claim := range claims {
			if !claim.Holds {
				verdicts[i].Score = 0
			}
			raw, err := json.Marshal(claim)
			if err != nil {
				return nil, err
			}
			verdicts[i].Raw = append(verdicts[i].Raw, raw)
		}
	}
	return verdicts, nil
}
