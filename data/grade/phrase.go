package grade

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// remark begins what only explains the answer before it.
var remark = setOf(`because since as where which when while whereas whose who that this these those so thus hence therefore then for
	from by using with after before given assuming if unless until it we you they he she is are was were has have had
	can could will would must should may might does do did i.e i.e. i.e., e.g e.g. namely although though due according
	via giving making obtained found leading following based note recall see let rejecting excluding ignoring here
	there indeed yes no remember between among during throughout across however but than? about? on until meaning
	whenever wherever provided regardless once instead`)

// phrase is the longest beginning of a sentence that is one answer: a formula with its unit and what is joined to it, or plain
// text up to a remark.
func phrase(s string) string {
	if found := segments(s); len(found) > 0 && found[0].start == 0 {
		last := 0
		for last+1 < len(found) && joined(s[found[last].end:found[last+1].start]) {
			last++
		}
		end := found[last].end
		rest := whole(plainPhrase(s[end:], true), s[end:])
		if strings.ContainsAny(rest, "$") || len(strings.Fields(rest)) > 6 {
			rest = ""
		}
		return strings.TrimSpace(s[:end] + rest)
	}
	return whole(plainPhrase(s, false), s)
}

// whole is a phrase, or all of the sentence where the phrase ends in the middle of what is said: 12 or so.
func whole(phrase, s string) string {
	switch strings.ToLower(lastWord(phrase)) {
	case "or", "and", "not":
		return s
	}
	return phrase
}

// plainPhrase cuts text before the first remark. behind tells that it stands behind a formula.
func plainPhrase(s string, behind bool) string {
	depth, braces := 0, 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '\\':
			if strings.HasPrefix(s[i:], `\begin`) {
				depth++
			} else if strings.HasPrefix(s[i:], `\end`) {
				depth--
			}
			for i+1 < len(s) && isLetter(s[i+1]) && i+2 < len(s) && isLetter(s[i+2]) {
				i++
			}
			i++
		case '{':
			braces++
		case '}':
			braces--
		case '(', '[':
			if depth == 0 && braces == 0 && i > 0 && (s[i-1] == ' ' && isAside(s[i:]) || isHan(s[i+1:])) {
				return strings.TrimRight(s[:i], " ")
			}
			depth++
		case ')', ']':
			depth--
		case ',', ';', ':':
			rest := strings.TrimLeft(s[i+1:], " ")
			spaced := len(rest) < len(s)-i-1 || rest != "" && rest[0] >= 0x80
			if c == ':' && spacedRatio(s[:i], rest) {
				continue
			}
			if depth <= 0 && braces == 0 && spaced && !continues(rest, s[:i]) || behind && depth <= 0 && i == 0 && !continues(rest, "") {
				return strings.TrimRight(s[:i], " ")
			}
		case ' ', '\n', '\t':
			if depth <= 0 && braces == 0 && i > 0 && strings.HasPrefix(s[i+1:], "not ") && strings.IndexByte("0123456789$)}", s[i-1]) >= 0 {
				return strings.TrimRight(s[:i], " ") // 64 not 46
			}
			if depth <= 0 && braces == 0 && (i > 0 || behind) && startsRemark(s[i+1:]) {
				return strings.TrimRight(s[:i], " ")
			}
		default:
			if c >= 0x80 && depth <= 0 && braces == 0 && i > 0 && chineseRemark(s[i:]) {
				return s[:i]
			}
		}
	}
	return s
}

func chineseRemark(s string) bool {
	for _, word := range []string{"因为", "由于", "其中", "不是", "即", "所以", "——", "—", "–"} {
		if strings.HasPrefix(s, word) {
			return word != "–" && word != "—" || strings.HasPrefix(s[len(word):], " ") && len(s) > len(word)+1 && isLetter(s[len(word)+1]) &&
				!mathStart(s[len(word)+1:])
		}
	}
	return false
}

// startsRemark tells whether a word is the beginning of a remark.
func startsRemark(s string) bool {
	s = strings.TrimLeft(s[:min(len(s), 256)], " ")
	w := leadingWord(s)
	lower := strings.ToLower(w)
	next := strings.TrimLeft(s[len(w):min(len(s), len(w)+64)], " .")
	switch {
	case w == "":
		dash := strings.HasPrefix(s, "- ") || strings.HasPrefix(s, "-- ") || strings.HasPrefix(s, "--- ")
		rest := strings.TrimLeft(s, "- ")
		return dash && rest != "" && isLetter(rest[0]) && !mathStart(rest)
	case len(s) > 2 && s[1] == '.' && (strings.EqualFold(s[:3], "i.e") || strings.EqualFold(s[:3], "e.g")):
		return true
	case len(w) == 1 && w != "I":
		return false
	case lower == "and":
		n := leadingWord(next)
		return len(n) > 1 && remark[strings.ToLower(n)]
	case lower == "in" || lower == "of":
		n := leadingWord(next)
		return len(n) > 1 && numberWord(n) == nil && !isMonth.MatchString(n)
	case lower == "not":
		return false
	case lower == "to":
		return purpose.MatchString(" " + s)
	}
	return remark[lower]
}

func leadingWord(s string) string {
	n := 0
	for n < len(s) && (isLetter(s[n]) || s[n] == '\'') {
		n++
	}
	return s[:n]
}

// continues tells whether what follows a comma belongs to the answer before it.
func continues(rest, before string) bool {
	w := strings.ToLower(leadingWord(rest))
	if w == "and" || w == "or" {
		rest = strings.TrimLeft(rest[len(w):], " ")
		w = strings.ToLower(leadingWord(rest))
	}
	if mathStart(rest) {
		return true
	}
	if w == "" || remark[w] || w == "not" || w == "but" {
		return false
	}
	return !strings.ContainsAny(before, `0123456789\$`) // a list of words
}

// isHan tells whether s begins with a Chinese character.
func isHan(s string) bool {
	r, _ := utf8.DecodeRuneInString(s)
	return unicode.Is(unicode.Han, r)
}

var asideWord = regexp.MustCompile(`[A-Za-z]{3,}`)

// isAside tells whether brackets hold a remark: words that are no functions.
func isAside(s string) bool {
	end := strings.IndexAny(s, ")]")
	if end < 0 {
		end = len(s)
	}
	for _, w := range asideWord.FindAllString(command.ReplaceAllString(s[:end], " "), -1) {
		if functionWords[w] == "" && w != "inf" && w != "infty" && w != "infinity" && w != "and" && w != "mod" && w != "base" {
			return true
		}
	}
	return false
}

// signWords may begin an expression.
var signWords = setOf(`minus negative half twice double one-half`)

// mathStart tells whether s begins with mathematics: a digit, an operator, a command, a letter alone.
func mathStart(s string) bool {
	if s == "" {
		return false
	}
	s = s[:min(len(s), maxStart)]
	if c := s[0]; isDigit(c) || strings.IndexByte("$\\(-+{[|.<>=", c) >= 0 && (len(s) == 1 || c != '.' || isDigit(s[1])) && (c != '-' ||
		len(s) > 1 && s[1] != ' ' || mathStart(strings.TrimLeft(s[1:], " "))) {
		return !(c == '(' || c == '[') || !isAside(s)
	} else if c >= 0x80 {
		return strings.HasPrefix(asLatex(s[:min(len(s), 8)]), `\`) || strings.IndexAny(s[:min(len(s), 3)], "−–√∛€£¥₹") == 0 ||
			strings.HasPrefix(s, "½") || strings.HasPrefix(s, "∞")
	}
	w := leadingWord(s)
	switch {
	case w == "":
		return false
	case len(w) == 1:
		return w != "a" && w != "I" && w != "A" || len(s) == 1 || s[1] != ' ' || len(s) > 2 && strings.IndexByte("+-*/=<>^", s[2]) >= 0
	case signWords[strings.ToLower(w)] || numberWord(w) != nil:
		return true
	case functionWords[w] != "" || len(s) > len(w) && strings.IndexByte("^_(=", s[len(w)]) >= 0:
		return true
	case len(w) <= 3 && len(s) > len(w)+1 && !remark[strings.ToLower(w)]: // ab + c
		next := strings.TrimLeft(s[len(w):], " ")
		return next != "" && strings.IndexByte("+-*/=<>^", next[0]) >= 0
	}
	return false
}
