package grade

import (
	"regexp"
	"slices"
	"strings"
)

// marker is what announces an answer.
var marker = regexp.MustCompile(`(?i)####` +
	`|\bfinal\s+(?:answer|result)\b(?:\s*(?:is|are|equals)\b(?:n't\b)?)?` +
	`|\banswers?\b(?:\s+(?:to|of|for|in)\b[^.:\n$\\\d]{0,60}?)?` +
	`(?:\s+(?:is|are|should be|must be|will be|would be|equals|comes out to be|turns out to be)\b|` +
	`\s*\([^()\n]{0,40}\)\s*[:：]|\*{0,2}\s*[:=：]|\*{0,2}\s+[—–-]\s)` +
	`|\b(?:correct|right|best)\s+(?:option|choice|answer|one)\b(?:\s+(?:is\b|should be\b|would be\b)|\s*[:：])` +
	`|\b(?:ans|final)\.?\s*[:：]` +
	`|\b(?:option|choice|solution|result)\s*(?:is\b|:)|\b(?:result|solution)s?\s+(?:are|equals)\b` +
	`|答案(?:应该|应当|应|就|便)?(?:是|为|：|:)|答案选|故选|应选|因此选|所以选` +
	`|正确选项(?:是|为|：|:)|答[：:]|共有|解为|结果(?:是|为|：|:)`)

// markerKeys are in every marker, so that lines without one need no closer look.
var markerKeys = []string{"nswer", "NSWER", "esult", "ESULT", "ption", "PTION", "hoice", "HOICE", "olution", "OLUTION", "orrect",
	"ORRECT", "Ans", "ans:", "ANS", "inal:", "INAL:", "ight one", "est one", "####", "答", "选", "有", "解为", "结果"}

func markersIn(line string) [][]int {
	if !slices.ContainsFunc(markerKeys, func(key string) bool { return strings.Contains(line, key) }) {
		return nil
	}
	return marker.FindAllStringIndex(line, -1)
}

// marked is the first complete expression behind the last marker. Where a marker is followed by nothing, by a denial or by a
// bound, the one before it counts; where none is left, the bound is the reason for no answer.
func marked(s string) (finding, bool) {
	refused := finding{}
	tried := 0
	for end := len(s); end > 0 && tried < maxMarkers; { // line by line, from the last one on
		start := strings.LastIndexByte(s[:end], '\n') + 1
		all := markersIn(s[start:end])
		for i := len(all) - 1; i >= 0 && tried < maxMarkers; i-- {
			tried++
			f := finding{reason: "the text denies, doubts or supposes an answer instead of giving one"}
			if at := start + all[i][0]; !doubted(s[start:at]) {
				f = first(s[start+all[i][1]:])
			}
			switch {
			case f.answer != "" && f.reason == "":
				return f, true
			case f.reason != "" && refused.reason == "":
				refused = f
			}
		}
		end = start - 1
	}
	if refused.reason == "" {
		return finding{}, false
	}
	refused.answer = ""
	return refused, true
}

var (
	// filler may stand between a marker and the answer.
	filler = regexp.MustCompile(`(?i)^(?:(?:is|are|be|indeed|thus|therefore|then|clearly|definitely|certainly|surely|` +
		`obviously|evidently|actually|simply|just|exactly|precisely|hence|so|given by|equal to|equals|to be|that|found to be|` +
		`option|choice|now|also|still|only|the (?:value|number|option|choice|expression|set|interval|integer|fraction|total|sum)(?: of)?|` +
		`it is|we (?:get|have|obtain)|it's|` +
		`approximately|about|roughly|around)(?:\s+|\s*:\s*|[,，]\s+)|是|为|应该|：|应)`)
	// denial are words right behind a marker that leave no value: what follows is not the answer, or bounds it.
	denial = regexp.MustCompile(`(?i)^(?:(?:is\s+|are\s+)?(?:not|never|neither|isn't|aren't|wasn't|won't|cannot|can't)\b|n't\b|不是|并非)`)
	bounds = regexp.MustCompile(`(?i)^(?:at (?:least|most)|(?:strictly )?(?:less|more|fewer|greater|larger|smaller|bigger|higher|lower|` +
		`other) than|no (?:less|more|fewer|greater) than|not (?:less|more|greater) than|between|up to|over|under|` +
		`below|above|beyond|somewhere|either|within|nearly|almost|close to|大于|小于|至少|至多|不超过|不少于)(?:\s|\b)`)
	// refusal behind a value or an option takes it back: D is incorrect; 5, which is too large.
	refusal = regexp.MustCompile(`(?i)^\W*(?:(?:does\s+not|doesn't|do\s+not|don't|cannot|can't|can\s+not)\s+` +
		`(?:work|fit|satisfy|hold|count|be)|fails?)\b|^\W*(?:is|are|was|were|seems?|looks?)\s+(?:not|n't)\s+(?:the\b|an?\b|what)|` +
		`^\W*(?:(?:which|but\s+(?:that|this|it))\s+)?(?:is|are|was|were|seems?|looks?|(?:can|must|should|may) be|(?:has|have) been)\s+` + rejects)
	// exclaimed is a fraction or a decimal before an exclamation mark, which is no factorial.
	exclaimed = regexp.MustCompile(`^-?(?:\d+/\d+|\d*\.\d+)!$`)
	// instead is what a denial may settle on: not 5, it is 6.
	instead = regexp.MustCompile(`(?i)(?:[,;.:，；]|—)\s*(?:but\s+)?(?:rather\s+|instead\s+)?(?:(?:it\s+is|it's|it\s+equals|` +
		`it\s+should\s+be|is|rather|instead)\b|而是|应为)\s*|\bbut\s+(?:rather\s+|instead\s+|it\s+is\s+)?|而是`)
)

// first is the first complete expression of what follows a marker, or what the sentence there states.
func first(s string) finding {
	s = lead(s[:min(len(s), maxSentence)])
	if line := sentence(s); !mathStart(line) && !denial.MatchString(line) && !bounds.MatchString(line) {
		if isStatement(line) { // the largest $n$ is 34
			return states(line)
		}
		if f := only(line); f.answer != "" {
			return f
		}
	}
	return expression(s)
}

// expression is the first complete expression of what follows a marker or a verb.
func expression(s string) finding {
	s = lead(s[:min(len(s), maxSentence)])
	if s == "" {
		return finding{}
	}
	line := sentence(s)
	if m := denial.FindString(line); m != "" {
		whole, _, _ := strings.Cut(s, "\n")
		if i := instead.FindStringIndex(whole); i != nil && i[1] < len(whole) {
			if f := expression(whole[i[1]:]); f.answer != "" {
				return f
			}
		}
		return finding{reason: "the text denies an answer instead of giving one"}
	}
	if bounds.MatchString(line) {
		return finding{reason: "the text bounds the answer instead of giving it"}
	}
	chosen := phrase(line)
	if refusal.MatchString(line[min(len(line), len(chosen)):]) {
		return finding{reason: "the text denies an answer instead of giving one"}
	}
	if exclaimed.MatchString(chosen) {
		chosen = strings.TrimSuffix(chosen, "!")
	}
	answer := trimMarks(chosen)
	if n, ok := strings.CutSuffix(answer, "!"); ok && isDigits(n) && len(answer) == len(line) { // a factorial, or an exclamation
		return finding{answer: n, beside: answer}
	}
	if len(answer) == 2 && answer[1] == '.' { // B. It follows from the above
		answer = answer[:1]
	}
	return finding{answer: answer}
}

// only is the one expression in a line of prose without a verb: Jane started growing Sphere 3 hours ago.
func only(line string) finding {
	if !digits.MatchString(line) {
		return finding{}
	}
	for i, w := range strings.Fields(line) {
		if mathStart(w) {
			if i < 3 {
				return finding{}
			}
			break
		}
	}
	chunk, _ := onlyExpression(line, segments(line))
	return finding{answer: chunk}
}

// lead removes what may stand before an answer.
func lead(s string) string {
	for {
		before := s
		s = strings.TrimLeft(s, " \t\r\n*:：\"“#_>`}")
		if m := filler.FindString(s); m != "" {
			s = s[len(m):]
		}
		if s == before {
			return s
		}
	}
}

// abbreviations end with a full stop that ends no sentence.
var abbreviations = setOf(`a.m p.m a.m. p.m. i.e e.g i.e. e.g. approx vs no fig eq rs ft etc st dr mr mrs`)

// sentence is the first sentence of s. Full stops and line breaks in formulas and \[ \] end none, nor do those of abbreviations.
func sentence(s string) string {
	end := sentenceEnd(s)
	return strings.TrimSpace(s[:end])
}

func sentenceEnd(s string) int {
	inFormula := false
	braces := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			if strings.HasPrefix(s[i:], `\[`) || strings.HasPrefix(s[i:], `\(`) || strings.HasPrefix(s[i:], `\begin`) {
				inFormula = true
			} else if strings.HasPrefix(s[i:], `\]`) || strings.HasPrefix(s[i:], `\)`) || strings.HasPrefix(s[i:], `\end`) {
				inFormula = false
			}
			i++
		case '{':
			braces++
		case '}':
			braces--
		case '$':
			if i+1 < len(s) && s[i+1] == '$' {
				i++
			}
			if inFormula || strings.IndexByte(s[i+1:], '$') >= 0 {
				inFormula = !inFormula
			}
		case '\n':
			if !inFormula && (i+1 < len(s) && (s[i+1] == '\n' || !strings.HasPrefix(strings.TrimLeft(s[i:], " \n"), `\[`)) || i+1 == len(s)) {
				return i
			}
		case '.', '?', ';':
			if !inFormula && braces <= 0 && (i+1 == len(s) || s[i+1] == ' ' || s[i+1] == '\n' || s[i+1] == '*' || s[i+1] == '"') {
				if s[i] == ';' && i+1 < len(s) && mathStart(strings.TrimSpace(s[i+1:])) {
					continue
				}
				if w := lastWord(s[:i]); s[i] != '.' || !abbreviations[strings.ToLower(w)] && (w != s[:i] || len(w) != 1 || w[0] < 'A' || w[0] > 'J') {
					return i
				}
			}
		case 0xe3: // 。
			if strings.HasPrefix(s[i:], "。") && !inFormula {
				return i
			}
		}
	}
	return len(s)
}
