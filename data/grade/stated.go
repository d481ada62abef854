package grade

import (
	"regexp"
	"slices"
	"strings"
)

const maxSentences = 6 // that are looked at for one that states a value, from the last on

// verb is what states a value of what stands before it.
var verb = regexp.MustCompile(`(?i)\b(?:is|are|was|were|be|equals?|equal to|gets?|gives?|gave|got|obtains?|obtained|has|have|yields?|comes? to|totals?|becomes?|finds?|found|value|number|at|to|choice|option|hence|thus|therefore|so|isn't|aren't|wasn't)\b(?:\s*[:：])?|[:：]\s|等于|得到|是|为|得|有|共`)

// prose are words that no answer is made of, so that a text with one of them states something.
var prose = setOf(`is are was were be so we it this these which there then thus hence therefore has have had find get gives can if let equals since because
	isn't aren't wasn't my our i'm think would comes equals becomes totals yields obtain obtained`)

// stated is the value that the last sentence with one states. A text that is nothing but an answer is returned whole.
func stated(text string) finding {
	text = trimMarks(text)
	if text == "" {
		return finding{empty: true, reason: "no final answer was found"}
	}
	if len(text) > maxAnswer && !strings.ContainsAny(text, " \n") || !strings.Contains(text, "\n\n") && len(text) <= maxAnswer && sentenceEnd(text) >= len(text)-1 && !isStatement(text) {
		return finding{answer: plainPhraseOfAnswer(text)}
	}
	sentences := lastSentences(text)
	for _, s := range sentences {
		if f := states(s); f.answer != "" || f.reason != "" {
			return f
		}
	}
	if len(text) <= maxAnswer && !strings.Contains(text, "\n") {
		return finding{answer: text}
	}
	return finding{reason: "no sentence states a value"}
}

// plainPhraseOfAnswer cuts an aside off an answer that stands alone: 3 (rejecting -2).
func plainPhraseOfAnswer(s string) string {
	if i := strings.Index(s, " ("); i > 0 && mathStart(s) && isAside(s[i+1:]) && strings.HasSuffix(s, ")") && strings.Count(s, "(") == 1 {
		return s[:i]
	}
	return s
}

// lastSentences are the last sentences of a text, the last one first.
func lastSentences(text string) []string {
	text = lastBytes(text, maxSentences*maxSentence)
	var all []string
	for text != "" {
		end := sentenceEnd(text)
		if s := trimMarks(text[:end]); s != "" {
			all = append(all, s)
		}
		text = text[min(len(text), end+1):]
		if strings.HasPrefix(text, "\x80\x82") { // the rest of 。
			text = text[2:]
		}
	}
	slices.Reverse(all)
	return all[:min(len(all), maxSentences)]
}

// isStatement tells whether a text says something instead of being an answer.
func isStatement(s string) bool {
	outside := outsideFormulas(s)
	for _, w := range latinWord.FindAllString(command.ReplaceAllString(outside, " "), -1) {
		if prose[strings.ToLower(w)] {
			return true
		}
	}
	return len(segments(s)) > 0 && len(latinWord.FindAllString(command.ReplaceAllString(outside, " "), -1)) > 2 || chineseVerb.MatchString(s)
}

var (
	latinWord   = regexp.MustCompile(`[A-Za-z']{2,}`)
	chineseVerb = regexp.MustCompile(`等于|得到|解为|[共有是为得].*\d`)
	command     = regexp.MustCompile(`\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox|operatorname|begin|end)\s*\{[^{}]*\}|\\[A-Za-z]+`)
)

func outsideFormulas(s string) string {
	var b strings.Builder
	at := 0
	for _, f := range segments(s) {
		b.WriteString(s[at:f.start] + " ")
		at = f.end
	}
	return b.String() + s[at:]
}

// states is the value that a sentence states: the first expression behind the last verb that has one, the only expression
// there is, or the words behind the last verb.
func states(s string) finding {
	inFormula := segments(s)
	verbs := verb.FindAllStringIndex(s, -1)
	words := finding{}
	for i := len(verbs) - 1; i >= max(0, len(verbs)-maxMarkers); i-- {
		v := verbs[i]
		if slices.ContainsFunc(inFormula, func(f segment) bool { return f.start < v[0] && v[1] < f.end }) {
			continue
		}
		name := strings.ToLower(s[v[0]:v[1]])
		if strings.HasSuffix(name, "n't") {
			return finding{reason: "the text denies an answer instead of giving one"}
		}
		rest := lead(s[v[1]:])
		if denial.MatchString(rest) && !strings.Contains(strings.ToLower(s[v[1]:]), " but ") || bounds.MatchString(rest) {
			return first(s[v[1]:])
		}
		if mathStart(rest) {
			return first(s[v[1]:])
		}
		if words.answer == "" && (name == "is" || name == "are" || name == "was" || name == "是" || name == "为") {
			words = first(s[v[1]:])
		}
	}
	if chunk, ok := onlyExpression(s, inFormula); ok {
		return finding{answer: chunk}
	}
	if len(inFormula) > 0 || digits.MatchString(s) {
		return finding{reason: "no single value is stated"}
	}
	return words
}

var digits = regexp.MustCompile(`\d`)

// onlyExpression is the one expression in a sentence; ok is false where there are several.
func onlyExpression(s string, formulas []segment) (string, bool) {
	if len(formulas) > 0 {
		if digits.MatchString(outsideFormulas(s)) {
			return "", false
		}
		first := 0
		for last := 1; last < len(formulas); last++ {
			if !joined(s[formulas[last-1].end:formulas[last].start]) {
				return "", false
			}
		}
		return phrase(s[formulas[first].start:]), true
	}
	start := -1
	for at := 0; at < len(s); {
		rest := s[at:]
		if (at == 0 || s[at-1] == ' ') && mathStart(rest) {
			start = at
			break
		}
		next := strings.IndexByte(rest, ' ')
		if next < 0 {
			break
		}
		at += next + 1
	}
	if start < 0 {
		return "", false
	}
	chunk := phrase(s[start:])
	if digits.MatchString(s[start+len(chunk):]) {
		return "", false
	}
	return trimMarks(chunk), true
}
