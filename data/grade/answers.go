package grade

import (
	"regexp"
	"strings"
)

// reading is one way to read an answer.
type reading struct {
	node      *node
	err       error
	ambiguous bool
}

func read(answer string, separators bool) reading {
	text := plainText(answer)
	if text == "{}" {
		return reading{node: named(symbol, `\emptyset`)}
	}
	if s := wordSet(named(words, text)); s != nil {
		return reading{node: s}
	}
	if r := spelledNumber(text); r != nil {
		return reading{node: &node{kind: number, value: r}}
	}
	if date.MatchString(text) {
		return reading{node: named(words, text)}
	}
	n, ambiguous, err := parse(answer, separators)
	return reading{n, err, ambiguous}
}

// date is a day of the calendar, which is no difference.
var date = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}$|^\d{1,2}/\d{1,2}/\d{4}$`)

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
	if d := g.choices(gold, pred); d != Undecided {
		return d
	}
	if sameLabel(gold, pred) {
		return Yes
	}
	if d := g.dates(gold, pred); d != Undecided {
		return d
	}
	if a, b := plainText(gold), plainText(pred); len(a) == 1 && strings.EqualFold(a, b) && strings.ToLower(a) <= "j" {
		return g.undecided("a small letter is an option or a variable")
	}
	if differentRuns(gold, pred) {
		return g.undecided("the answers are different runs of letters")
	}
	if isProse(gold) && isProse(pred) && wordSet(named(words, plainText(gold))) == nil && wordSet(named(words, plainText(pred))) == nil {
		return g.differentWords(gold, pred)
	}
	want, got := read(gold, true), read(pred, true)
	d := g.readings(gold, pred, want, got)
	if d == Yes {
		return d
	}
	if want.ambiguous || got.ambiguous {
		reason := g.reason
		if want.ambiguous && g.readings(gold, pred, read(gold, false), got) == Yes || got.ambiguous && g.readings(gold, pred, want,
			read(pred, false)) == Yes {
			return Yes
		}
		g.reason = reason
	}
	return d
}

func (g *grader) readings(gold, pred string, want, got reading) Decision {
	switch {
	case want.err == nil && got.err == nil:
		return g.same(want.node, renamed(want.node, got.node))
	case want.err != nil && isWords(gold) || got.err != nil && isWords(pred):
		return g.differentWords(gold, pred)
	case want.err != nil:
		return g.undecided("the gold answer cannot be read (%v) and is written differently", want.err)
	}
	return g.undecided("the answer cannot be read (%v) and is written differently", got.err)
}
