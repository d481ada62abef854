package grade

import (
	"regexp"
	"slices"
	"strings"
)

const maxSentences = 6 // that are looked at for one that states a value, from the last on

// verb is what states a value of what stands before it.
var verb = regexp.MustCompile(`(?i)\b(?:is|are|was|were|be|equals?|(?:equal|equals|simplif\w+|reduces?|evaluates?|leads?|adds? up|` +
	`amounts?|sums?|down|up|close|rounds?) to|gets?|gives?|gave|got|obtains?|obtained|has|have|yields?|` +
	`comes? to|totals?|becomes?|lies? (?:in|on|at)|belongs? to|finds?|found|value|number|at|choice|option|hence|thus|therefore|so|isn't|` +
	`aren't|wasn't)\b(?:\s*[:：])?|[:：]\s|=|等于|得到|是|为|得|有|共`)

// prose are words that no answer is made of, so that a text with one of them states something.
var prose = setOf(`is are was were be so we it this these which there then thus hence therefore has have had find get gives can if let
	equals since because he she they paid costs cost needs need bought sold isn't aren't wasn't my our i'm think would
	comes equals becomes totals yields obtain obtained`)

// stated is the value that the last sentence with one states. A text that is nothing but an answer is returned whole.
func stated(text string) finding {
	text = trimMarks(strings.TrimPrefix(text, `\displaystyle `))
	if reals := exceptFrom(text); reals != "" {
		return finding{answer: reals}
	}
	if text == "" {
		return finding{empty: true, reason: "no final answer was found"}
	}
	if len(text) > maxAnswer && !strings.ContainsAny(text, " \n") || !strings.Contains(text, "\n\n") && len(text) <= maxAnswer &&
		sentenceEnd(text) >= len(text)-1 && !isStatement(text) {
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

var (
	realsExcept = regexp.MustCompile(`(?i)^(?:all|any|every) real (?:numbers?|values?)(?: (?:of )?\$?[a-z]\$?)?` +
		`(?: except| other than| but(?: not)?| excluding) (?:for )?(?:\$?[a-z]\s*=)?\s*([^a-zA-Z.]+(?:(?:,? and|,? or|,) [^a-zA-Z.]+)*)\.?$`)
	values   = regexp.MustCompile(`\s*(?:,?\s*\band\b|,?\s*\bor\b|,)\s*`)
	isAnswer = regexp.MustCompile(`(?i)\s+(?:is|would be|must be) (?:the|my|our) ` +
		`(?:correct |right |best |final |required |desired )?(?:answer|choice|option|one|result|solution)\.?$`)
	purpose = regexp.MustCompile(`\s+to (?:do|make|get|choose|arrange|reach|finish|complete|form|select|pay|win|have|go|seat|order|assign|` +
		`distribute|pick|travel|spell|tile|color|divide|split|buy|read|fill|place|build|walk|drive)\b.*$`)
)

// exceptFrom writes "all real numbers except 2 and 3" as a difference of sets; empty for other texts.
func exceptFrom(text string) string {
	if len(text) > maxAnswer {
		return ""
	}
	m := realsExcept.FindStringSubmatch(untext(text))
	if m == nil {
		return ""
	}
	return `\mathbb{R}\setminus\{` + strings.Join(values.Split(m[1], -1), ", ") + `\}`
}

// plainPhraseOfAnswer cuts an aside off an answer that stands alone: 3 (rejecting -2).
func plainPhraseOfAnswer(s string) string {
	if i := isAnswer.FindStringIndex(s); i != nil { // in conclusion, $5$ is the answer
		if chunk, ok := onlyExpression(s[:i[0]], segments(s[:i[0]])); ok && chunk != "" {
			return chunk
		}
	}
	s = purpose.ReplaceAllString(isAnswer.ReplaceAllString(introduction.ReplaceAllString(s, ""), ""), "")
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
		text = strings.TrimPrefix(text, "\x80\x82") // the rest of 。
	}
	slices.Reverse(all)
	return all[:min(len(all), maxSentences)]
}

// isStatement tells whether a text says something instead of being an answer.
func isStatement(s string) bool {
	if _, ok := mainClause(s); ok {
		return true
	}
	s = isAnswer.ReplaceAllString(s, "")
	outside := outsideFormulas(s)
	for _, w := range latinWord.FindAllString(command.ReplaceAllString(outside, " "), -1) {
		if prose[strings.ToLower(w)] {
			return true
		}
	}
	if w := leadingWord(s); len(w) > 1 && !mathStart(s) && digits.MatchString(s) &&
		len(latinWord.FindAllString(command.ReplaceAllString(outside, " "), -1)) > 3 {
		return true
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
	s = lastBytes(s, maxSentence)
	switch clause, ok := mainClause(s); {
	case clause != "":
		return expression(clause)
	case ok:
		return finding{reason: "no single value is stated"}
	}
	inFormula := segments(s)
	verbs := verb.FindAllStringIndex(s, -1)
	doubts := improbable.FindAllStringIndex(s, -1)
	words := finding{}
	for i := len(verbs) - 1; i >= max(0, len(verbs)-maxMarkers); i-- {
		v := verbs[i]
		if slices.ContainsFunc(inFormula, func(f segment) bool { return f.start < v[0] && v[1] < f.end }) {
			continue
		}
		name := strings.ToLower(s[v[0]:v[1]])
		if spacedRatio(s[:v[0]], strings.TrimLeft(s[v[0]:], ": ")) && name[0] == ':' {
			continue
		}
		if left := s[strings.LastIndexByte(s[:v[0]], '=')+1 : v[0]]; name == "=" && (!computed.MatchString(left) || multiple.MatchString(left)) {
			continue // x = 2 and x = 9, 5x - 7y = 4
		}
		if strings.HasSuffix(name, "n't") {
			return finding{reason: "the text denies an answer instead of giving one"}
		}
		if unsure.MatchString(s[max(0, v[0]-24):v[0]]) || inClause(s, doubts, v[1]) {
			return finding{reason: "the text denies or doubts an answer instead of giving one"}
		}
		rest := lead(s[v[1]:])
		if denial.MatchString(rest) && !strings.Contains(strings.ToLower(s[v[1]:]), " but ") || bounds.MatchString(rest) {
			return expression(s[v[1]:])
		}
		if mathStart(rest) {
			return expression(s[v[1]:])
		}
		if words.answer == "" && (name == "is" || name == "are" || name == "was" || name == "be" || name == "是" || name == "为") {
			words = expression(s[v[1]:])
		}
	}
	if withdrawal.MatchString(s) {
		return finding{reason: "the text denies an answer instead of giving one"}
	}
	if chunk, ok := onlyExpression(s, inFormula); ok {
		if i := strings.LastIndex(s, chunk); i >= 0 && refusal.MatchString(s[i+len(chunk):]) {
			return finding{reason: "the text denies an answer instead of giving one"}
		}
		if m := subject.FindStringSubmatch(s); m != nil && m[1] != "the" && m[1] != "correct" && m[1] != "right" {
			return finding{answer: s}
		}
		return finding{answer: chunk}
	}
	if len(inFormula) > 0 || digits.MatchString(s) {
		return finding{reason: "no single value is stated"}
	}
	return words
}

// subject is a variable of which a sentence says something: n is prime.
var subject = regexp.MustCompile(`^\$?[a-z]\$?\s+(?:is|are)\s+(?:not\s+)?([a-z]{3,})\b`)

// spacedRatio tells whether a colon between two texts, with a blank before it, is a ratio's: 2 : 3.
func spacedRatio(before, after string) bool {
	left := strings.TrimRight(before, " ")
	return len(left) < len(before) && isDigit(lastByte(left)) && after != "" && isDigit(after[0])
}

// inClause tells whether the last of the places before end stands in the same clause.
func inClause(s string, places [][]int, end int) bool {
	for _, p := range slices.Backward(places) {
		if p[1] <= end {
			return !strings.ContainsAny(s[p[1]:end], ",;:=0123456789")
		}
	}
	return false
}

// computed is what a value was computed from: 60 miles - 35 miles, 5*15, before its equals sign.
var computed = regexp.MustCompile(`\d[^=;:?!]*?(?:[+*/×÷·]|\s[-−–]\s|\d[-−–]\$?\d|\d\s*x\s*[$\d])[^=;:?!]*\d[^=;:?!\d]*$`)

// multiple is that of a variable.
var multiple = regexp.MustCompile(`\d[A-Za-z](?:[^A-Za-z]|$)`)

var (
	// unsure before a verb denies or doubts what follows it.
	unsure = regexp.MustCompile(`(?i)(?:\b(?:cannot|can\s+not|not|never|could|may|might|can)|n't|不|可能|至少|至多` +
		`|最多|最少|大于|小于|多于|少于|超过|接近)\s*$`)
	// turning words before an expression make another value of it: root of 12, not 12, divided by 12.
	turning = regexp.MustCompile(`(?i)\b(?:not|than|least|most|over|under|about|between|by|times|minus|plus|from|to|except|without|until|` +
		`before|after|unless|if|even|never|nor|below|above|half|twice|double|triple|or|and|vs|versus|per|` +
		`out|against|exclud(?:e|es|ed|ing)|eliminat(?:e|es|ed|ing)|reject(?:s|ed|ing)?|discard(?:s|ed|ing)?|` +
		`avoid|instead|rather|unlike|beyond|towards?|near|dismiss|(?:end|start|begin)s?\s+(?:in|with))\s*\*{0,2}$|\bof\s*\*{0,2}$`)
	totals = regexp.MustCompile(`(?i)\b(?:total|value|sum|answer|number|result|area|volume|length|maximum|minimum|distance|price|cost|` +
		`probability|average|mean|median|perimeter|speed|profit|amount|count)\s+of\s*$`)
)

func turned(before string) bool {
	before = lastBytes(before, 64)
	return turning.MatchString(before) && !totals.MatchString(before)
}

var digits = regexp.MustCompile(`\d`)

// onlyExpression is the one expression in a sentence; ok is false where there are several.
func onlyExpression(s string, formulas []segment) (string, bool) {
	if len(formulas) > 0 {
		if digits.MatchString(outsideFormulas(s)) {
			return "", false
		}
		first := 0
		if turned(s[:formulas[0].start]) {
			return "", false
		}
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
	if start < 0 || turned(s[:start]) {
		return "", false
	}
	chunk := phrase(s[start:])
	if digits.MatchString(s[start+len(chunk):]) {
		return "", false
	}
	return trimMarks(chunk), true
}
