package grade

import (
	"regexp"
	"slices"
	"strings"
)

var (
	soleChoice  = regexp.MustCompile(`^\(?([A-Z])\)?[.:]?$`)
	lowerChoice = regexp.MustCompile(`^\s*(?:(?:[Oo]ption|[Cc]hoice)\s+\(?([a-j])\)?|\(?([a-j])\))\.?\s*$`)
	firstChoice = regexp.MustCompile(`^(?:[Oo]ption|[Cc]hoice)?\s*(?:\(([A-Z])\)|([A-Z])(?:[.):]|\s*[—–]\s*[^A-Z]))\s*(\S.*)$`)
	otherChoice = regexp.MustCompile(`(?:^|[\s,;(])(?:\([A-J]\)|[A-J][.)])|\b(?:and|or)\s*\(?[A-J]\b|^[=<>]`)
)

func isChoice(answer string) bool {
	return len(answer) < 40 && soleChoice.MatchString(plainText(answer))
}

// choiceOf splits an option into its letter and the text behind it: (B) 12. letter is empty for what is none.
func choiceOf(answer string) (letter, text string) {
	if len(answer) > 400 {
		return "", ""
	}
	s := strings.TrimPrefix(strings.TrimPrefix(plainText(answer), "Option "), "option ")
	if m := soleChoice.FindStringSubmatch(s); m != nil {
		return m[1], ""
	}
	if m := firstChoice.FindStringSubmatch(s); m != nil && !otherChoice.MatchString(m[3]) {
		return m[1] + m[2], m[3]
	}
	return "", ""
}

// choices compares where both answers name an option, or where one is the text of the option that the other names.
func (g *grader) choices(gold, pred string) Decision {
	a, textA := choiceOf(gold)
	b, textB := choiceOf(pred)
	if m := lowerChoice.FindStringSubmatch(pred); m != nil && a != "" {
		b = strings.ToUpper(m[1] + m[2])
	}
	if p := plainText(pred); a != "" && textA == "" && b == "" && strings.HasPrefix(p, a+" ") && (a == "A" || a == "I") {
		return g.no("a phrase, no choice")
	}
	switch {
	case a != "" && b != "" && (textA == "" || textB == "" || a != b):
		if a == b {
			return Yes
		}
		return g.no("another choice")
	case a != "" && b != "":
		return Yes
	case a != "" && textA != "" && mathStart(textA):
		return g.undecidedUnlessEqual(textA, pred)
	case b != "" && textB != "" && mathStart(textB):
		return g.undecidedUnlessEqual(gold, textB)
	}
	if d := g.romans(gold, pred); d != Undecided {
		return d
	}
	return g.letterSets(gold, pred)
}

var (
	romanList = regexp.MustCompile(`^\(?[ivxIVX]+\)?(?:(?:,|;|、|&|,?\s*\band\b)\s*\(?[ivxIVX]+\)?)*$`)
	roman     = regexp.MustCompile(`[ivxIVX]+`)
)

// romans compares statements that are numbered in brackets: (i) and (iii).
func (g *grader) romans(gold, pred string) Decision {
	a, b := plainText(halfWidth(gold)), plainText(halfWidth(pred))
	if len(a) > 60 || len(b) > 60 || !strings.Contains(a, "(") || !strings.Contains(b, "(") ||
		!romanList.MatchString(a) || !romanList.MatchString(b) {
		return Undecided
	}
	x, y := roman.FindAllString(strings.ToLower(a), -1), roman.FindAllString(strings.ToLower(b), -1)
	slices.Sort(x)
	slices.Sort(y)
	if !slices.Equal(x, y) {
		return g.no("other statements")
	}
	return Yes
}

var letterRun = regexp.MustCompile(`^[A-H]{2,6}$`)

// letterSets compares several choices, which may be written as one run: AC is A, C.
func (g *grader) letterSets(gold, pred string) Decision {
	a, b := plainText(halfWidth(gold)), plainText(halfWidth(pred))
	if len(a) > 40 || len(b) > 40 || letterRun.MatchString(a) == letterRun.MatchString(b) {
		return Undecided
	}
	run, several := a, b
	if letterRun.MatchString(b) {
		run, several = b, a
	}
	letters := []byte(run)
	if !severalChoices.MatchString(several) || strings.Contains(several, "or") || !slices.IsSorted(letters) {
		return Undecided
	}
	named := []byte(strings.Join(capitals.FindAllString(several, -1), ""))
	slices.Sort(named)
	if string(named) == run {
		return Yes
	}
	return g.no("other choices")
}

var capitals = regexp.MustCompile(`[A-Z]`)

// undecidedUnlessEqual compares the text of an option with an answer that names none.
func (g *grader) undecidedUnlessEqual(text, pred string) Decision {
	before := g.reason
	if g.answers(text, pred) == Yes {
		return Yes
	}
	g.reason = before
	return Undecided
}

// options are the ways in which a text names the option it takes.
var options = regexp.MustCompile(`(?m)(?:\b(?:[Oo]ption|OPTION|[Cc]hoice|CHOICE|(?:[Aa]nswer|ANSWER)(?:\s+is|\s+IS)?|choose|chose|pick|` +
	`select)\b|উত্তর|বিকল্প|অপশন|选择?|答案)(?:[^\pL\d]|是|为){0,12}([A-J])(?:[^\pL\d]|$)` +
	`|\*\*\(?([A-J])(?:[).:]|\s*\*\*)|^\s*\(?([A-J])[).:]?\s*$|(?:[Ss]o|[Hh]ence|[Tt]hus|[Tt]herefore),?\s+\(?([A-J])\)?(?:\.|\s+is\b|` +
	`\s*$)`)

// chosenOption is the option that a text takes, where the gold answer is one. It is empty where what was found is an option
// already or several, and where the text names none.
func chosenOption(gold string, got finding, text string) string {
	if letter, _ := choiceOf(got.answer); letter != "" || severalChoices.MatchString(plainText(got.answer)) {
		return ""
	}
	text, _ = response(text)
	text = lastBytes(text, maxTail)
	all := options.FindAllStringSubmatchIndex(text, -1)
	for i := len(all) - 1; i >= 0; i-- {
		for group := 1; group <= 4; group++ {
			if start := all[i][2*group]; start >= 0 {
				rest := strings.TrimLeft(text[start+1:], ").:*")
				if refused.MatchString(rest) || negated.MatchString(text[max(0, all[i][0]-30):all[i][0]]) {
					break
				}
				return text[start : start+1]
			}
		}
	}
	return ""
}

var (
	severalChoices = regexp.MustCompile(`^\(?[A-Z]\)?(?:\s*(?:,|;|/|、|&|\band\b|\bor\b)\s*(?:and\s*|or\s*)?\(?[A-Z]\)?)+$`)
	refused        = regexp.MustCompile(`^\s*(?:(?:is|was|seems|looks)\s+(?:wrong|incorrect|false|not|tempting|out)\b|` +
		`(?:and|or)\s+\(?[A-J]\b|can(?:not|'t)|[=<>+*/^])`)
	negated = regexp.MustCompile(`(?i)(?:\bnot|n't|cannot|never|between)\s*(?:the\s+)?$`)
)
