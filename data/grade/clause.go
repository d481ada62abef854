package grade

import (
	"regexp"
	"slices"
)

var (
	// subordinate begins a clause that only explains the one behind it: since a = 2, x = 8.
	subordinate = regexp.MustCompile(`(?i)^(?:(?:so|thus|hence|therefore|now|and|but),?\s+)?(?:since|because|as|when|if|given|` +
		`once|while|although|though)\s`)
	// assignment is a name with its value.
	assignment = regexp.MustCompile(`^(?:\$|\\\(|\\\[)?\s*\\?[A-Za-z]{1,2}(?:_\{?\w+\}?)?\s*=`)
	clauseEnd  = regexp.MustCompile(`,\s+|\s+then\s+`)
)

// mainClause is the one assignment behind a subordinate clause, empty where there are several; ok is false for other sentences.
func mainClause(s string) (clause string, ok bool) {
	begin := subordinate.FindStringIndex(s)
	if begin == nil {
		return "", false
	}
	formulas := segments(s)
	for _, end := range clauseEnd.FindAllStringIndex(s, maxElements) {
		if end[0] < begin[1] || slices.ContainsFunc(formulas, func(f segment) bool { return f.start < end[0] && end[1] < f.end }) {
			continue
		}
		rest := lead(s[end[1]:])
		if !assignment.MatchString(rest) {
			continue
		}
		if ok && rest != clause { // ", then" ends a clause twice
			return "", true
		}
		clause, ok = rest, true
	}
	return clause, ok
}
