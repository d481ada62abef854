package grade

import "errors"

// Verifier grades texts by Equal. It is the data/label.Verifier of mathematical problems.
type Verifier struct{}

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
