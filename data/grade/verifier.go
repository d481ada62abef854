package grade

import (
	"errors"

	"github.com/goprm/goprm/data/label"
)

// Verifier grades texts by Equal. It is the label.Verifier of mathematical problems.
type Verifier struct{}

var _ label.Verifier = Verifier{}

// ID changes whenever a verdict may.
func (Verifier) ID() string { return "grade/1" }

// Verify returns an error for whatever Equal leaves undecided.
func (Verifier) Verify(gold, text string) (right bool, reason string, err error) {
	v := Equal(gold, text)
	if v.Equal == Undecided {
		return false, "", errors.New(v.Reason)
	}
	return v.Equal == Yes, v.Reason, nil
}
