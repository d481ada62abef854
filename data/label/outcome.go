package label

import (
	"errors"
	"strings"
)

// GoldChecker is a verifier that tells whether anything can be compared with a gold answer. Where it finds nothing wrong with one,
// an error of Verify is the text's, and the text counts as wrong: were it left out or spared, a policy could learn to write texts
// that cannot be read. Of a verifier that is no GoldChecker, every error leaves no outcome.
type GoldChecker interface {
	CheckGold(gold string) error
}

// CheckGold tells why no text can be compared with a gold answer. A verifier that is no [GoldChecker] is shown the answer itself.
func CheckGold(v Verifier, gold string) error {
	if checker, ok := v.(GoldChecker); ok {
		return checker.CheckGold(gold)
	}
	_, why, err := v.Verify(gold, boxed(gold))
	return withReason(why, err)
}

// Outcome tells whether a text is right, as a reward counts it. unread is why a text that counts as wrong could not be compared.
// An error means that there is no outcome, because of the gold answer or because the verifier does not tell.
func Outcome(v Verifier, gold, text string) (right bool, reason, unread string, err error) {
	right, reason, err = v.Verify(gold, text)
	if err == nil {
		return right, reason, "", nil
	}
	err = withReason(reason, err)
	if checker, ok := v.(GoldChecker); ok && checker.CheckGold(gold) == nil {
		return false, "", err.Error(), nil
	}
	return false, "", "", err
}

func withReason(why string, err error) error {
	if err != nil && why != "" {
		return errors.New(why)
	}
	return err
}

// cause is what an unread text is counted by: its reason without the details, which differ from text to text.
func cause(unread string) string {
	if i := strings.IndexAny(unread, `(:"`); i > 0 {
		unread = unread[:i]
	}
	return strings.TrimSpace(unread)
}
