package grade

import "errors"

// Verifier grades texts by Equal. It is the data/label.Verifier of mathematical problems.
type Verifier struct{}

// ID changes whenever a verdict may.
func (Verifier) ID() string { return "grade/3" }

// Verify returns an error for whatever Equal leaves undecided.
func (Verifier) Verify(gold, text string) (right bool, reason string, err error) {
	v := Equal(gold, text)
	if v.Equal == Undecided {
		return false, "", errors.New(v.Reason)
	}
	return v.Equal == Yes, v.Reason, nil
}

// CheckGold tells why no answer can be compared with a gold answer: it is missing, no answer, or cannot be read. Where it returns
// nil, an error of Verify is the text's, which then counts as wrong for a reward.
func (Verifier) CheckGold(gold string) error {
	answer, fault := goldAnswer(gold)
	if fault == "" {
		fault = goldFault(answer)
	}
	if fault != "" {
		return errors.New(fault)
	}
	return nil
}
