// Package grade tells whether the answer that a model's text ends with equals the gold answer: as numbers, expressions,
// intervals, sets, tuples, matrices, equations, inequalities, choice letters or words.
//
// Expressions are compared as written, then exactly by rational numbers, then with many digits at several points. What cannot
// be read is compared as text, so that two answers are never equal by accident. Time and memory are bounded (see limits.go).
package grade

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Decision is the outcome of a comparison.
type Decision int

const (
	Undecided Decision = iota // nothing can be said: there is no label
	No
	Yes
)

func (d Decision) String() string { return [...]string{"undecided", "no", "yes"}[d] }

// Verdict is a decision and, where it is not Yes, why.
type Verdict struct {
	Equal  Decision
	Reason string
}

// grader is one comparison.
type grader struct {
	evaluator
	reason string // of the last no or undecided
}

func (g *grader) no(format string, args ...any) Decision {
	g.reason = fmt.Sprintf(format, args...)
	return No
}

func (g *grader) undecided(format string, args ...any) Decision {
	g.reason = fmt.Sprintf(format, args...)
	return Undecided
}

// Equal tells whether pred, a bare answer or a text that ends with one, gives the same answer as gold. The order matters: a
// gold answer 1/3 is met by 0.33333, a gold answer 0.33333 is not met by a less precise one.
func Equal(gold, pred string) Verdict {
	if len(gold) > maxText || len(pred) > maxText {
		return Verdict{Undecided, fmt.Sprintf("a text is longer than %d bytes", maxText)}
	}
	if reason := notGraded(gold); reason != "" {
		return Verdict{Undecided, reason}
	}
	want, ok := Extract(gold)
	if !ok {
		return Verdict{Undecided, "there is no gold answer"}
	}
	got, ok := Extract(pred)
	if !ok {
		return Verdict{No, "no final answer was found"}
	}
	if len(want) < 40 && soleChoice.MatchString(plainText(want)) && choiceLetter(got, want) == "" {
		if letter := chosen(pred); letter != "" {
			got = letter
		}
	}
	g := &grader{}
	d := g.answers(want, got)
	if d == Yes {
		return Verdict{Equal: Yes}
	}
	return Verdict{d, g.reason}
}

// notGraded says why a gold answer is none that can be compared: test cases of a code problem.
func notGraded(gold string) string {
	s := strings.TrimSpace(gold)
	if strings.HasPrefix(s, "{") && json.Valid([]byte(s)) && (strings.Contains(s, `"inputs"`) || strings.Contains(s, `"outputs"`) || strings.Contains(s, `"fn_name"`)) ||
		strings.HasPrefix(s, "```") || strings.HasPrefix(s, "assert ") || strings.HasPrefix(s, "def ") {
		return "not graded: the gold answer is code or test cases"
	}
	return ""
}

// reading is one way to read an answer.
type reading struct {
	node      *node
	err       error
	ambiguous bool
}

func read(answer string, separators bool) reading {
	n, ambiguous, err := parse(answer, separators)
	return reading{n, err, ambiguous}
}

// answers compares two answers: as text, then as mathematics, a comma between digits being a separator of thousands first and
// of elements where that fails.
func (g *grader) answers(gold, pred string) Decision {
	if gold == pred {
		return Yes
	}
	if len(gold) > maxAnswer || len(pred) > maxAnswer {
		return g.undecided("an answer is longer than %d bytes", maxAnswer)
	}
	if sameText(gold, pred) {
		return Yes
	}
	a, b := choiceLetter(gold, pred), choiceLetter(pred, gold)
	if a != "" && b != "" {
		if strings.EqualFold(a, b) && (a == b || len(a) > 1) {
			return Yes
		}
		return g.no("another choice")
	}
	if isProse(gold) && isProse(pred) {
		return g.no("the answers are different words")
	}
	want, got := read(gold, true), read(pred, true)
	d := g.readings(gold, pred, want, got)
	if d == Yes {
		return d
	}
	if want.ambiguous || got.ambiguous {
		reason := g.reason
		if want.ambiguous && g.readings(gold, pred, read(gold, false), got) == Yes || got.ambiguous && g.readings(gold, pred, want, read(pred, false)) == Yes {
			return Yes
		}
		g.reason = reason
	}
	return d
}

func (g *grader) readings(gold, pred string, want, got reading) Decision {
	switch {
	case want.err == nil && got.err == nil:
		return g.same(want.node, got.node)
	case want.err != nil && isWords(gold) || got.err != nil && isWords(pred):
		return g.no("the answers are different words")
	case want.err != nil:
		return g.undecided("the gold answer cannot be read (%v) and is written differently", want.err)
	case got.err == errUnknown:
		return g.undecided("the answer cannot be read (%v) and is written differently", got.err)
	}
	return g.no("the answer is not mathematics (%v), the gold answer is", got.err)
}
