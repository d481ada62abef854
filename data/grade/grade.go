// Package grade tells whether the answer that a model's text ends with equals the gold answer: as numbers, expressions,
// intervals, sets, tuples, matrices, equations, inequalities, choice letters or words.
//
// Expressions are compared as written, then exactly by rational numbers, then with many digits at several points. What cannot
// be read is compared as text, so that two answers are never equal by accident. Time and memory are bounded (see limits.go).
package grade

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Decision is the outcome of a comparison.
type Decision int

const (
	Undecided Decision = iota // undecidable: there is no label
	No
	Yes
)

func (d Decision) String() string { return [...]string{"undecided", "no", "yes"}[d] }

// Cause tells which side is to blame where a verdict is [Undecided].
type Cause int

const (
	NoCause     Cause = iota // the verdict is decided
	GoldCause                // the gold answer is missing, no answer, or cannot be read: there is no outcome
	AnswerCause              // the text gives no answer, or one that cannot be read or compared: as a reward, it is wrong
)

func (c Cause) String() string { return [...]string{"", "gold", "answer"}[c] }

// Verdict is a decision and, where it is not Yes, why.
type Verdict struct {
	Equal  Decision
	Reason string
	Cause  Cause // of an Undecided
}

// Outcome is the verdict as a reward's outcome: what cannot be read or compared is wrong, unless the gold answer is the cause.
// Then ok is false, and there is no outcome.
func (v Verdict) Outcome() (right, ok bool) {
	return v.Equal == Yes, v.Cause != GoldCause
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
	want, fault := goldAnswer(gold)
	switch {
	case want == "":
		return Verdict{Undecided, fault, GoldCause}
	case len(pred) > maxText:
		return Verdict{Undecided, fmt.Sprintf("the text is longer than %d bytes", maxText), AnswerCause}
	case len(gold) <= maxAnswer && len(pred) <= maxAnswer && sameText(gold, pred):
		return Verdict{Equal: Yes}
	}
	g := &grader{}
	switch d := g.texts(want, find(pred), pred); {
	case d == Yes:
		return Verdict{Equal: Yes}
	case d == No:
		return Verdict{Equal: No, Reason: g.reason}
	case goldFault(want) != "":
		return Verdict{d, g.reason, GoldCause}
	}
	return Verdict{Undecided, g.reason, AnswerCause}
}

// goldAnswer is the answer in a gold text, or why there is none.
func goldAnswer(gold string) (answer, fault string) {
	if len(gold) > maxText {
		return "", fmt.Sprintf("the gold answer is longer than %d bytes", maxText)
	}
	if reason := notGraded(gold); reason != "" {
		return "", reason
	}
	if answer = findGold(gold).answer; answer == "" {
		return "", "there is no gold answer"
	}
	return answer, ""
}

// goldFault is why nothing can be compared with a gold answer but the same text; empty where it is words or an expression.
func goldFault(answer string) string {
	switch {
	case len(answer) > maxAnswer:
		return fmt.Sprintf("the gold answer is longer than %d bytes", maxAnswer)
	case isWords(answer):
		return ""
	}
	r := read(answer, true)
	if r.err != nil {
		return fmt.Sprintf("the gold answer cannot be read: %v", r.err)
	}
	if isScalarKind(r.node.kind) && len(freeVariables(r.node)) == 0 {
		if _, err := (&evaluator{}).eval(r.node); errors.Is(err, errBound) {
			return "the gold answer cannot be evaluated: " + err.Error()
		}
	}
	return ""
}

// texts compares the gold answer with what was found in a text.
func (g *grader) texts(gold string, got finding, text string) Decision {
	if isChoice(gold) {
		if letter := chosenOption(gold, got, text); letter != "" {
			got = finding{answer: letter}
		}
	}
	if word := polar(gold); word != "" && got.beside == "" {
		for _, s := range []string{got.answer, text} {
			if p := polar(s); p != "" {
				got = finding{answer: p}
				break
			}
		}
	}
	switch {
	case got.empty:
		return g.no("%s", got.reason)
	case got.answer == "":
		return g.undecided("%s", got.reason)
	case got.beside == "":
		return g.answers(gold, got.answer)
	}
	// What touches the box counts: only both readings together can make the answer different.
	d := g.answers(gold, got.beside)
	if d == Yes || d == No && g.answers(gold, got.answer) == No {
		return d
	}
	return g.undecided("what touches the box changes its value")
}

// notGraded says why a gold answer is none that can be compared: test cases of a code problem.
func notGraded(gold string) string {
	s := strings.TrimSpace(gold)
	if strings.HasPrefix(s, "{") && json.Valid([]byte(s)) && (strings.Contains(s, `"inputs"`) || strings.Contains(s, `"outputs"`) ||
		strings.Contains(s, `"fn_name"`)) ||
		strings.HasPrefix(s, "```") || strings.HasPrefix(s, "assert ") || strings.HasPrefix(s, "def ") {
		return "not graded: the gold answer is code or test cases"
	}
	return ""
}
