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

// CheckGold tells why a gold answer can be compared with no answer: Equal leaves undecided even whether it is 0, and whether it is 1.
// Where it returns nil, an error of Verify is the text's.
func (Verifier) CheckGold(gold string) error {
	for _, answer := range []string{"0", "1"} {
		v := Equal(gold, answer)
		if v.Equal != Undecided {
			return nil
		}
		if answer == "1" {
			return errors.New(v.Reason)
		}
	}
	return nil
}
