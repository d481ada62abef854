package grade

import (
	"regexp"
	"strings"
)

// wordSet is the empty set or the real numbers, by a symbol or in words; nil for everything else.
func wordSet(n *node) *node {
	if n.kind == symbol && n.name == `\emptyset` || n.kind == set && len(n.args) == 0 {
		return named(symbol, `\emptyset`)
	}
	if n.kind != words {
		if n.kind == symbol && strings.HasPrefix(n.name, `\mathbb{`) {
			return n
		}
		return nil
	}
	switch text := strings.ToLower(strings.Trim(n.name, ".。 ")); {
	case allReal.MatchString(text), realNumbers[strings.TrimPrefix(strings.TrimPrefix(text, "the set of "), "the ")]:
		return named(symbol, `\mathbb{R}`)
	case halfLine.MatchString(text):
		return halfLineOf(halfLine.FindStringSubmatch(text)[1])
	case integers.MatchString(text):
		return named(symbol, `\mathbb{Z}`)
	case rationals.MatchString(text):
		return named(symbol, `\mathbb{Q}`)
	case emptySets[strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(text, "there is "), "there are "), "the ")]:
		return named(symbol, `\emptyset`)
	}
	return nil
}

var (
	integers  = regexp.MustCompile(`^(?:the |all |any |every |the set of (?:all )?|all the )integers?$|^(?:全体|所有)?整数$`)
	rationals = regexp.MustCompile(`^(?:the |all |any |every |the set of (?:all )?)rational numbers?$|^(?:全体|所有)?有理数$`)
)

// halfLine are the real numbers of one sign.
var halfLine = regexp.MustCompile(`^(?:the set of )?(?:all |any |every )?(?:the )?(positive|negative|non-?negative|non-?positive) ` +
	`real(?: numbers?|s)$`)

func halfLineOf(sign string) *node {
	zero, infinity := integer(0), named(symbol, `\infty`)
	switch sign {
	case "positive":
		return named(tuple, "()", zero, infinity)
	case "negative":
		return named(tuple, "()", newNode(negative, infinity), zero)
	}
	if strings.HasSuffix(sign, "negative") {
		return named(tuple, "[)", zero, infinity)
	}
	return named(tuple, "(]", newNode(negative, infinity), zero)
}

var allReal = regexp.MustCompile(`^(?:[a-z] (?:is|can be|may be) )?(?:all|any|every)(?: possible)? real(?: numbers?| values?)?` +
	`(?: (?:of )?[a-z])?$`)

var realNumbers, emptySets = phrases("all real numbers|all reals|all real|real numbers|reals|any real number|every real number|" +
	"all real values|all numbers|the real line|real line|entire real line|全体实数|所有实数|实数集|任意实数|一切实数|" +
	"x is any real number"),
	phrases("no solution|no solutions|no real solution|no real solutions|no real roots|no roots|empty set|" +
		"the empty set|empty|none|null set|无解|没有解|空集|无实数解|无实数根|方程无解|no such solution|no valid solution|" +
		"no valid solutions|no solution exists|no solutions exist|does not have a solution|has no solution")

func phrases(s string) map[string]bool {
	m := map[string]bool{}
	for _, phrase := range strings.Split(s, "|") {
		m[phrase] = true
	}
	return m
}
