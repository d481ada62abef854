package grade

import "strings"

// unescape makes LaTeX of text in which every backslash was doubled, as in a JSON string that was not decoded. Where single
// backslashes begin commands too, \\ is a line break, save before what never follows one: \\%, \\$5 and 5\\,000.
func unescape(text string) string {
	if strings.Contains(text, `\\`) {
		if everyDoubled(text) {
			text = strings.ReplaceAll(text, `\\`, `\`)
		} else {
			text = doubledMarks(text)
		}
	}
	if strings.Contains(text, `\n`) {
		text = escapedNewlines(text)
	}
	return text
}

// everyDoubled tells whether commands begin with two backslashes and none with one.
func everyDoubled(text string) bool {
	doubled := false
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		n := 1
		for i+n < len(text) && text[i+n] == '\\' {
			n++
		}
		i += n
		if i == len(text) {
			break
		}
		switch c := text[i]; {
		case n == 1 && isLetter(c):
			if knownAt(text[i:]) {
				return false
			}
		case n == 2 && isLetter(c):
			if !knownAt(text[i:]) {
				return false // a line break before a variable: x=1\\y=2
			}
			doubled = true
		case n == 2 && strings.IndexByte("({[)}]", c) >= 0:
			doubled = true
		}
	}
	return doubled
}

// knownAt tells whether s begins with the name of a command.
func knownAt(s string) bool {
	end := 0
	for end < len(s) && end < 32 && isLetter(s[end]) {
		end++
	}
	return known(s[:end])
}

// doubledMarks mends \\% and \\$ and \\, between digits.
func doubledMarks(text string) string {
	var b strings.Builder
	last := 0
	for i := 0; i+2 < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		c := text[i+2]
		digitBehind := i+3 < len(text) && isDigit(text[i+3])
		if text[i+1] == '\\' && (c == '%' || c == '$' && digitBehind || (c == ',' || c == '!') && digitBehind && i > 0 && isDigit(text[i-1])) {
			b.WriteString(text[last:i])
			last = i + 1
		}
		i++
	}
	if last == 0 && b.Len() == 0 {
		return text
	}
	b.WriteString(text[last:])
	return b.String()
}

// escapedNewlines writes line breaks for \n that begins no command: no command of that name can go on behind it.
func escapedNewlines(text string) string {
	var b strings.Builder
	last := 0
	for i := 0; ; {
		n := strings.Index(text[i:], `\n`)
		if n < 0 {
			break
		}
		i += n + 2
		if i == len(text) || strings.IndexByte("\\ \t\r\n*", text[i]) >= 0 || text[i] >= 'A' && text[i] <= 'Z' {
			b.WriteString(text[last : i-2])
			b.WriteByte('\n')
			last = i
		}
	}
	if last == 0 {
		return text
	}
	b.WriteString(text[last:])
	return b.String()
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
