package equations

import (
	"slices"
	"strings"
)

// statement is a chain of sides with the signs = or ≈ between them, as it stands in the text.
type statement struct {
	sides []side
	about []bool // about[i] tells that ≈ stands between sides i and i+1
	latex bool
	// doubt says why a mismatch in it proves nothing, or is empty.
	doubt string
}

// side is one side of an equation: the tokens of the formula, with the text that they were cut from.
type side struct {
	tokens []token // nil: not understood
	text   string
	// counted is a word that follows directly and may be a unit.
	counted bool
}

// opaque stands in plain text for a formula.
const opaque = "\uFFFC"

// find returns the statements of a step: those within formulas, then those in the text between them.
func find(text string) []statement {
	var found []statement
	var plain strings.Builder
	rest := text
	for rest != "" {
		at, inner, length := formula(rest)
		if at < 0 {
			break
		}
		plain.WriteString(rest[:at])
		doubt := ""
		if w := lastWord(plain.String()); before[w] {
			doubt = "it follows " + w
		}
		found = append(found, inFormula(inner, doubt)...)
		plain.WriteString(opaque)
		rest = rest[at+length:]
	}
	plain.WriteString(rest)
	for line := range strings.Lines(plain.String()) {
		found = append(found, inLine(line)...)
	}
	return found
}

var fences = []struct{ open, close string }{
	{"$$", "$$"}, {"\\[", "\\]"}, {"\\(", "\\)"},
	{"\\begin{align*}", "\\end{align*}"}, {"\\begin{align}", "\\end{align}"}, {"\\begin{equation}", "\\end{equation}"},
}

// formula finds the first formula: where it begins, what stands within its fence, and its length with the fence.
func formula(s string) (at int, inner string, length int) {
	for i := range len(s) {
		if s[i] != '$' && s[i] != '\\' {
			continue
		}
		if s[i] == '\\' && strings.HasPrefix(s[i:], "\\$") || i > 0 && s[i] == '$' && s[i-1] == '\\' {
			continue
		}
		for _, f := range fences {
			if body, found := strings.CutPrefix(s[i:], f.open); found {
				if end := strings.Index(body, f.close); end > 0 {
					return i, body[:end], len(f.open) + end + len(f.close)
				}
			}
		}
		if s[i] != '$' {
			continue
		}
		// As Pandoc tells dollars from formulas: no space within the fence, no digit after it.
		if i+1 >= len(s) || s[i+1] == ' ' || s[i+1] == '\n' {
			continue
		}
		for j := i + 1; j < len(s) && !strings.HasPrefix(s[j:], "\n\n"); j++ {
			if s[j] == '$' && s[j-1] != '\\' {
				if s[j-1] == ' ' || s[j-1] == '\n' || s[j-1] == '=' || j+1 < len(s) && digit(s[j+1]) {
					break
				}
				return i, s[i+1 : j], j + 1 - i
			}
		}
	}
	return -1, "", 0
}

func words(set string) map[string]bool {
	m := map[string]bool{}
	for w := range strings.FieldsSeq(set) {
		m[w] = true
	}
	return m
}

var (
	// before are words that make what follows them an argument, so that the sign = speaks of something else.
	before = words("of root roots square squared cube log logarithm ln sin cos tan mod modulo remainder average mean median twice double " +
		"triple thrice half base gcd lcm floor ceiling minus plus times divided by plus less than negative percent between from not")
	// after are words that change the value of the number before them.
	after = words("remainder r mod modulo hundred thousand million billion trillion dozen choose and percent over with or to in st nd rd th")
	// hedges are words of steps that state what they do not hold true.
	hedges = words("equation equations solve not no isn't doesn't don't cannot can't impossible contradiction contradicts wrong incorrect " +
		"incorrectly mistake error false if suppose assume assuming wait instead but check try guess would should approximately about " +
		"roughly around rounded rounding round nearest almost floor ceiling base mod modulo remainder congruent digits digit hex binary octal")
)

func lastWord(s string) string {
	fields := strings.Fields(s[max(0, len(s)-60):])
	if len(fields) == 0 {
		return ""
	}
	return strings.ToLower(strings.Trim(fields[len(fields)-1], "(:\""))
}

// statements cuts tokens into chains, each a list of sides.
func statements(tokens []token, take func(sides [][]token, about []bool)) {
	var sides [][]token
	var abouts []bool
	from := 0
	for i := 0; i <= len(tokens); i++ {
		end := i == len(tokens) || tokens[i].kind == cut
		if !end && tokens[i].kind != equals && tokens[i].kind != about {
			continue
		}
		sides = append(sides, tokens[from:i])
		from = i + 1
		if !end {
			abouts = append(abouts, tokens[i].kind == about)
			continue
		}
		if len(sides) > 1 {
			take(sides, abouts)
		}
		sides, abouts = nil, nil
	}
}

func inFormula(text, doubt string) []statement {
	var found []statement
	statements(tokenize(text, true), func(sides [][]token, about []bool) {
		s := statement{about: about, latex: true, doubt: doubt}
		for _, tokens := range sides {
			for len(tokens) > 0 && tokens[len(tokens)-1].kind == word && strings.Trim(tokens[len(tokens)-1].text, ".:") == "" {
				tokens = tokens[:len(tokens)-1]
			}
			s.sides = append(s.sides, side{tokens: tokens, text: textOf(text, tokens)})
		}
		found = append(found, s)
	})
	return found
}

func textOf(text string, tokens []token) string {
	if len(tokens) == 0 {
		return ""
	}
	return text[tokens[0].start:tokens[len(tokens)-1].end]
}

func operator(k kind) bool { return k >= plus && k <= power }

// inLine finds statements in a line of plain text, where a formula has to be told from the words around it: the first side
// is what of the text before = reads as a formula, the last one what of the text after it does.
func inLine(text string) []statement {
	if !strings.ContainsAny(text, "=≈") {
		return nil
	}
	tokens := countUnits(tokenize(text, false))
	var found []statement
	statements(tokens, func(sides [][]token, about []bool) {
		var s statement
		for i, t := range sides {
			whole := i > 0 && i < len(sides)-1 && !slices.ContainsFunc(t, func(t token) bool { return t.kind == word || t.kind == variable })
			if i > 0 {
				s.about = append(s.about, about[i-1])
				part := side{tokens: t}
				if !whole { // a chain ends here
					var next []token
					if part.tokens, next = beginning(t); len(next) > 0 {
						part.counted = true
						if w := strings.ToLower(next[0].text); after[w] && w != "and" || w == "and" && len(next) > 1 && next[1].kind == word {
							s.doubt = w + " follows it"
						}
					}
				}
				part.text = textOf(text, part.tokens)
				s.sides = append(s.sides, part)
			}
			if !whole {
				if i > 0 {
					found = append(found, s)
				}
				s = statement{} // and another begins
				formula, prior := ending(t)
				for _, p := range prior[max(0, len(prior)-2):] {
					if w := strings.ToLower(p.text); len(formula) > 0 && before[w] {
						s.doubt = "it follows " + w
					}
				}
				s.sides = []side{{tokens: formula, text: textOf(text, formula)}}
			}
		}
	})
	return found
}

// countUnits makes units of words that stand between a number and an operator, as in "5 miles * 3", and products of
// "20% of 50" and "1/2 of 50".
func countUnits(tokens []token) []token {
	out := tokens[:0:0]
	for i := 0; i < len(tokens); i++ {
		t := tokens[i]
		if t.kind == word && i > 0 && i+1 < len(tokens) {
			last := tokens[i-1].kind
			switch {
			case strings.EqualFold(t.text, "of") && tokens[i+1].kind == number &&
				(last == percent || last == number && i > 1 && tokens[i-2].kind == divide):
				t.kind = times
			case last == number || last == percent:
				n := 1
				if tokens[i+1].kind == word {
					n = 2
				}
				if i+n < len(tokens) && (operator(tokens[i+n].kind) || tokens[i+n].kind == equals || tokens[i+n].kind == closing) &&
					letters(tokens[i:i+n]) {
					t.kind, t.end = unit, tokens[i+n-1].end
					if n == 2 {
						t.text += " " + tokens[i+1].text
					}
					i += n - 1
				}
			// miles/hour
			case last == divide && letters(tokens[i:i+1]) && len(out) > 0 && i > 1 && (tokens[i-2].kind == unit || tokens[i-2].kind == word):
				out[len(out)-1].kind = unit
				t.kind = unit
			}
		}
		out = append(out, t)
	}
	return out
}

// letters tells whether the words are words indeed, and none a variable.
func letters(tokens []token) bool {
	for _, t := range tokens {
		if len(t.text) < 2 || before[strings.ToLower(t.text)] || after[strings.ToLower(t.text)] {
			return false
		}
		for _, r := range t.text {
			if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') {
				return false
			}
		}
	}
	return true
}

// ending returns the tokens at the end that are a formula, and those before them.
func ending(tokens []token) (formula, prior []token) {
	from := len(tokens)
	for from > 0 && tokens[from-1].kind != word && tokens[from-1].kind != variable {
		from--
	}
	// Brackets opened here and closed elsewhere, or the other way round, are the sentence's.
	depth := 0
	for i := len(tokens) - 1; i >= from; i-- {
		switch tokens[i].kind {
		case closing:
			depth++
		case open:
			depth--
		}
		if depth < 0 {
			from = i + 1
			break
		}
	}
	if depth > 0 { // "2) 3 + 4"
		for i := from; i < len(tokens) && depth > 0; i++ {
			if tokens[i].kind == closing {
				from, depth = i+1, depth-1
			}
		}
	}
	if from == len(tokens) {
		return nil, tokens
	}
	first, prior := tokens[from], tokens[:from]
	if len(prior) > 0 && !first.space {
		if last := prior[len(prior)-1]; last.kind == word && last.text != ":" && last.text != "." && last.text != "\"" {
			return nil, tokens // a part of something else: x3, log_2
		}
	}
	switch {
	case first.kind == minus && from == 0 && len(tokens) > 1 && tokens[1].space:
		return tokens[1:], prior // a list's dash
	case first.kind == times && from == 0 && len(tokens) > 1 && tokens[1].space:
		return tokens[1:], prior
	case first.kind == minus && first.space && len(tokens) > from+1 && !tokens[from+1].space:
		if len(prior) > 0 && len(prior[len(prior)-1].text) <= len(opaque) {
			return nil, tokens // x -3
		}
	case operator(first.kind) || first.kind == percent || first.kind == factorial || first.kind == unit:
		return nil, tokens
	}
	return tokens[from:], prior
}

// beginning returns the tokens at the beginning that are a formula, and those that follow. It returns none where the
// formula goes on with something that is not understood.
func beginning(tokens []token) (formula, next []token) {
	n, depth := 0, 0
	for n < len(tokens) && tokens[n].kind != word && tokens[n].kind != variable {
		switch tokens[n].kind {
		case open:
			depth++
		case closing:
			depth--
		}
		if depth < 0 {
			break
		}
		n++
	}
	for n > 0 && tokens[n-1].kind == open {
		n--
	}
	if n == 0 {
		return nil, tokens
	}
	next = tokens[n:]
	if operator(tokens[n-1].kind) {
		if tokens[n-1].kind != divide || len(next) == 0 || next[0].space {
			return nil, tokens
		}
		n-- // 12 miles/hour, $3/hour
	}
	if len(next) > 0 && next[0].kind == word {
		w := next[0].text
		if w == opaque || len(w) == 1 && (w[0] >= 'b' && w[0] <= 'z' || w[0] >= 'B' && w[0] <= 'Z') || w == "..." || w == "_" ||
			w == ":" && len(next) > 1 && !next[1].space {
			return nil, tokens
		}
	}
	return tokens[:n], next
}
