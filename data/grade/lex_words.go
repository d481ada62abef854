package grade

import (
	"slices"
	"strings"
)

// shortWords are words that are no products of variables.
var shortWords = setOf(`is are was were the not for all any but yes at least most of no on to by if than more less fewer only per men man
	boy day box can car cat dog pen egg cup bag bus cow pig hen red one two six ten odd low new old out off up its way
	its nor big top end toy pie hat she he we you they it each both`)

// run adds a run of Latin letters: a function, "and", a unit, a word, or variables.
func (l *lexer) run(s string) {
	last := token{}
	if len(l.out) > 0 {
		last = l.out[len(l.out)-1]
	}
	switch lower := strings.ToLower(s); {
	case lower == "minus" || lower == "negative":
		l.add(tPunct, "-")
	case lower == "plus" || lower == "positive":
		l.add(tPunct, "+")
	case (s == "Rs" || s == "USD" || s == "US" || s == "INR") && len(l.out) == 0:
		l.add(tMoney, s)
	case lower == "and" || lower == "or":
		l.add(tJoin, lower)
	case slices.Contains(percentWords, lower):
		l.add(tPunct, "%")
	case slices.Contains(degreeWords, lower) && last.kind != tEnd:
		l.add(tPunct, "°")
	case s == "pi":
		l.add(tLetter, `\pi`)
	case lower == "infinity" || s == "inf" || s == "infty" || s == "oo":
		l.add(tLetter, `\infty`)
	case (s == "min" || s == "sec" || s == "sq" || s == "cu") && last.kind == tNumber:
		l.add(tText, s)
	case s == "sqrt" || s == "cbrt":
		l.out = append(l.out, token{kind: tCommand, text: s, whole: true})
	case functionWords[s] != "":
		l.add(tCommand, functionWords[s])
	case strings.HasPrefix(s, "or") && last.kind == tNumber && len(s) <= 4: // "1orW(x)"
		l.add(tJoin, "or")
		l.run(s[2:])
	case len(s) > 1 && units[s] != nil && l.afterQuantity() && (last.text != `\pi` || len(s) > 2 || s == "cm" || s == "ft"):
		l.add(tText, s)
	case splitFunction(s) > 0:
		n := splitFunction(s)
		l.add(tCommand, functionWords[s[:n]])
		l.run(s[n:])
	case len(s) > 1 && last.kind == tText, len(s) == 3 && last.kind == tNumber && l.gap && strings.ContainsAny(lower,
		"eiou"): // 3 hours ago, 5 men
		l.add(tText, s)
	case len(s) > 3 || shortWords[lower] || len(s) > 1 && scaleOf(s) != nil || len(s) > 2 && numberWord(s) != nil:
		l.add(tText, s)
	default:
		for _, c := range s {
			l.add(tLetter, string(c))
		}
	}
}

// splitFunction is the length of the function's name in a run such as "sinx".
func splitFunction(s string) int {
	for n := len(s) - 1; n >= 2 && n >= len(s)-2; n-- {
		if functionWords[s[:n]] != "" {
			return n
		}
	}
	return 0
}
