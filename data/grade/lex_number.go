package grade

import (
	"math/big"
	"regexp"
	"strings"
)

var (
	grouped = regexp.MustCompile(`^\d{1,3}(?:,\d{3})+(?:\.\d+)?`)
	spaced  = regexp.MustCompile(`^\d{1,3}(?:(?:\{,\}|,\\!\s*|\\,\s*|\\;\s*|~|')\d{3})+(?:\.\d+)?`)
	// spacedNumber is an answer that is one number with spaces between its thousands.
	spacedNumber = regexp.MustCompile(`^-?\d{1,3}(?: \d{3})+(?:\.\d+)?$`)
	plain        = regexp.MustCompile(`^(?:\d+\.\d+|\d+|\.\d+)(?:[eE][+-]?\d+)?`)
	fullStop     = regexp.MustCompile(`^[.\s$]*(?:\\[\])])?[.\s$]*$`) // and nothing else follows
	repeated     = regexp.MustCompile(`^(\d*)\.(\d*)\\(?:overline|bar|dot)\s*(?:\{\s*(\d+)\s*\}|(\d))`)
	dotted       = regexp.MustCompile(`^(\d*)\.(\d*)\\dot\s*\{?(\d)\}?(\d*)\\dot\s*\{?(\d)\}?`)
	bracketed    = regexp.MustCompile(`^(\d*\.\d*)\((\d+)\)\s*$`)
	ellipsis     = regexp.MustCompile(`^(\d*\.)(\d+)(?:\.\.\.|\\[lc]?dots\b ?)`)
	hexadecimal  = regexp.MustCompile(`^0[xX]([0-9A-Fa-f]+)`)
	octal        = regexp.MustCompile(`^0[oO]([0-7]+)`)
	binary       = regexp.MustCompile(`^0[bB]([01]+)`)
	ordinal      = regexp.MustCompile(`^(?:st|nd|rd|th)(?:[^A-Za-z]|$)`)
	// ordinalOf is a word behind an ordinal that makes another thing of it: 12th root, 12th grade; not 4th of July.
	ordinalOf = regexp.MustCompile(`^\s+(?:[A-Za-z]{3,})`)
)

// readNumber returns the number at the beginning of s and how many bytes it takes.
func (l *lexer) readNumber(s string) (text string, length int) {
	if m := dotted.FindStringSubmatch(s); m != nil {
		return m[1] + "." + m[2] + "(" + m[3] + m[4] + m[5] + ")", len(m[0])
	}
	if m := bracketed.FindStringSubmatch(s); m != nil {
		return m[1] + "(" + m[2] + ")", len(m[0])
	}
	if m := ellipsis.FindStringSubmatch(s); m != nil {
		if before, cycle := cycleOf(m[2]); cycle != "" {
			return m[1] + before + "(" + cycle + ")", len(m[0])
		}
	}
	if m := hexadecimal.FindStringSubmatch(s); m != nil {
		if n, ok := new(big.Int).SetString(m[1], 16); ok && len(m[1]) < 200 {
			return n.String(), len(m[0])
		}
	}
	if m := binary.FindStringSubmatch(s); m != nil && len(m[1]) < 800 {
		if n, ok := new(big.Int).SetString(m[1], 2); ok {
			return n.String(), len(m[0])
		}
	}
	if m := octal.FindStringSubmatch(s); m != nil && len(m[1]) < 300 {
		if n, ok := new(big.Int).SetString(m[1], 8); ok {
			return n.String(), len(m[0])
		}
	}
	if m := repeated.FindStringSubmatch(s); m != nil {
		return m[1] + "." + m[2] + "(" + m[3] + m[4] + ")", len(m[0])
	}
	follows := func(n int) bool { return n < len(s) && s[n] >= '0' && s[n] <= '9' }
	if m := spaced.FindString(s); m != "" && !follows(len(m)) {
		return keepDigits(m), len(m)
	}
	if m := grouped.FindString(s); m != "" && !follows(len(m)) && l.separators && l.brackets == 0 {
		l.ambiguous = true
		tail := plain.FindString("0" + s[len(m):])[1:]
		return keepDigits(m) + tail, len(m) + len(tail)
	}
	text = plain.FindString(s)
	return text, len(text)
}

// cycleOf is the shortest run of digits that ends s three times, or twice if it is long, and what stands before it.
func cycleOf(s string) (before, cycle string) {
	for n := 1; n <= len(s)/2; n++ {
		times := 3
		if n > 1 {
			times = 2
		}
		cycle = s[len(s)-n:]
		if !strings.HasSuffix(s, strings.Repeat(cycle, times)) {
			continue
		}
		for strings.HasSuffix(s, cycle) {
			s = s[:len(s)-n]
		}
		return s, cycle
	}
	return s, ""
}

func keepDigits(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r == '.' {
			return r
		}
		return -1
	}, s)
}
