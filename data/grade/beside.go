package grade

import (
	"regexp"
	"strings"
)

// besideBytes bounds what is looked at on each side of a box.
const besideBytes = 200

var (
	// separators end what can touch a box: the formula's delimiters, a relation, a comma, a line.
	separators = []string{"$", `\(`, `\)`, `\[`, `\]`, `\\`, "&", "\n", ",", ";", ":", "=", `\approx`, `\Rightarrow`, `\implies`, `\to`,
		`\quad`, `\qquad`, `\equiv`, `\pmod`, `\bmod`, `\mod`, `\text`, `\begin`, `\end`, `\therefore`, `\because`, "。", "，", "：", "**",
		`\boxed`, `\fbox`, `\framebox`, "</", "<|", "answer>", "think>"}
	layoutOnly = strings.NewReplacer(`\left`, "", `\right`, "", `\displaystyle`, "", `\!`, "", `\,`, "", `\;`, "", `\:`, "", `\ `, "",
		`\blacksquare`, "", `\checkmark`, "", `\square`, "", `\Box`, "", `\qed`, "", "✓", "", "✔", "", "■", "", "□", "", "{", "", "}", "",
		".", "", "!", "!", "*", "", "_", "", "~", "", `"`, "", "`", "")
	bullet     = regexp.MustCompile(`(?:^|\n)\s*[-+*]\s+$`) // of a Markdown list
	moreDigits = regexp.MustCompile(`^(?:(?:,|\{,\})\d{3})+`)
	unitBeside = regexp.MustCompile(`^\s*(?:\\[,;!: ]|~|\s)*(?:\\(?:text|mathrm|mbox|textrm)\s*\{[^{}]*\}(?:\^\{?\d\}?)?|` +
		`\^\s*\{?\\circ\}?(?:\s*\\?[CF]\b)?|°[CF]?|\\?%)`)
	// wordsBeside make another value of a box, out of its formula too: 5 million, 5 or more, 5 or 6.
	wordsBeside = regexp.MustCompile(`^[\s$]*((?:hundred|thousand|million|billion|trillion|dozen|or\s+(?:more|fewer|less|greater|higher|` +
		`lower|larger|smaller|above|below)|and\s+(?:a|one)\s+(?:half|third|quarter)|or\s+(?:\$|\\\()?-?\d+)\b)`)
)

// beside is the expression that a box is a part of, with its content in braces: -\boxed{5} is -{5}. It is empty where nothing
// touches the box. In a formula that is all up to a relation, a comma or the formula's end; elsewhere what no blank parts.
// Nothing before from counts.
func beside(text string, from int, b box, answer string) string {
	before := text[max(from, b.start-besideBytes):b.start]
	after := text[b.end:min(len(text), b.end+besideBytes)]
	if left, right := enclosing(before, after); left != "" {
		return left + "{" + answer + "}" + right
	}
	left, right := touchingLeft(before), touchingRight(after)
	if m := moreDigits.FindString(after); m != "" && isDigit(lastByte(answer)) {
		return answer + m
	}
	if m := unitBeside.FindString(after); m != "" {
		right = m
	}
	if m := wordsBeside.FindStringSubmatch(after); m != nil {
		right = `\text{ ` + m[1] + "}"
	}
	if !strings.ContainsAny(left, "([|") {
		right = strings.TrimLeft(right, ")]|")
	}
	if !strings.ContainsAny(right, ")]|") {
		left = strings.TrimRight(left, "([|")
	}
	if bullet.MatchString(before) || strings.TrimSpace(layoutOnly.Replace(left)) == "" || len(left) > 1 && isWord(left) {
		left = ""
	}
	if strings.TrimSpace(layoutOnly.Replace(right)) == "" || len(right) > 1 && isWord(right) && units[right] == nil {
		right = ""
	}
	if left == "" && right == "" {
		return ""
	}
	if isDigit(lastByte(left)) && isDigit(answer[0]) || right != "" && isDigit(right[0]) && isDigit(lastByte(answer)) {
		return left + answer + right // the box holds some digits of a number
	}
	return left + "{" + answer + "}" + right
}

func lastByte(s string) byte {
	if s == "" {
		return 0
	}
	return s[len(s)-1]
}

func touchingLeft(s string) string {
	cut := 0
	for _, separator := range separators {
		if i := strings.LastIndex(s, separator); i >= 0 {
			cut = max(cut, i+len(separator))
		}
	}
	s = s[cut:]
	if i := strings.LastIndexAny(s, " \t"); i >= 0 && !operates(lastWord(s[:i])) && !operates(s[i+1:]) {
		s = s[i+1:]
	}
	return strings.TrimSpace(s)
}

func touchingRight(s string) string {
	cut := len(s)
	for _, separator := range separators {
		if i := strings.Index(s, separator); i >= 0 && (separator != ":" || i+1 == len(s) || !isDigit(s[i+1])) {
			cut = min(cut, i)
		}
	}
	if i := strings.Index(s, ". "); i >= 0 {
		cut = min(cut, i)
	}
	s = s[:cut]
	if i := strings.IndexAny(s, " \t"); i >= 0 && !operates(firstWord(s[i:])) && !operates(s[:i]) {
		s = s[:i]
	}
	return strings.TrimSpace(s)
}

func lastWord(s string) string {
	s = strings.TrimRight(lastBytes(s, besideBytes), " \t\n")
	return s[strings.LastIndexAny(s, " \t\n")+1:]
}

func firstWord(s string) string {
	s = strings.TrimLeft(s, " \t\n")
	if i := strings.IndexAny(s, " \t\n"); i >= 0 {
		return s[:i]
	}
	return s
}

// operates tells whether a word ends or begins with an operator, so that what is behind the blank belongs to the expression.
func operates(word string) bool {
	if word == "" {
		return false
	}
	first := word[0]
	if len(word) == 1 {
		return strings.IndexByte("+-*/^<>", first) >= 0
	}
	for _, name := range []string{`\cdot`, `\times`, `\pm`, `\sqrt`, `\pi`, `\div`, `\frac`, `\neq`, `\ne`, `\le`, `\ge`, `\leq`, `\geq`,
		`\log`, `\ln`, `\sin`, `\cos`, `\tan`} {
		if strings.HasPrefix(word, name) {
			return true
		}
	}
	return false
}

// withdrawal are the ways in which a text takes back what it said.
var withdrawal = regexp.MustCompile(`(?i)\b(?:is|was|seems|looks|that's|it's)\s+(?:not\s+(?:right|correct|the\s+answer)|wrong|incorrect|` +
	`a\s+mistake)\b|\b(?:isn't|wasn't)\s+(?:right|correct)|\blet me (?:re-?check|redo|re-?do|reconsider|` +
	`try again|recalculate|correct)|\bscratch that\b|\bI (?:made|have made) (?:a|an) (?:mistake|error)|` +
	`\b(?:no|wait|hmm|oops|actually)[,.!:—-]|错了|不对`)

func withdrawn(rest string) bool {
	rest = rest[:min(len(rest), maxSentence)]
	return withdrawal.MatchString(rest) || takenBack.MatchString(rest)
}

// settled is what a text says that takes an answer back: a later answer, or none.
func settled(rest string) finding {
	rest = lastBytes(rest, maxTail)
	f, ok := marked(rest)
	if !ok {
		f = stated(rest)
	}
	if f.answer == "" || !mathStart(f.answer) {
		return finding{reason: "the answer in the box is taken back"}
	}
	return f
}
