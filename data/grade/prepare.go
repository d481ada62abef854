package grade

import (
	"regexp"
	"strings"
)

var (
	micro   = regexp.MustCompile(`(\d(?:\\[,;: ]|\s|~)*)\\mu\s*(?:\\(?:text|mathrm)\s*\{\s*)?([mslgLAVF])\b\}?`)
	ohms    = regexp.MustCompile(`(\d(?:\\[,;: ]|\s|~)*)(?:\\(?:text|mathrm)\s*\{\s*([kM])\s*\}|([kM]))\s*(?:\\Omega|Ω)`)
	hours   = regexp.MustCompile(`(\d)\s*h\s*(\d+)\s*m(?:in)?\b`)
	chooses = regexp.MustCompile(`^(?:(?:\{\})?[_^]?\{?(\d+)\}?)\s*C_?\s*\{?(\d+)\}?$`)
	system  = regexp.MustCompile(`(?s)^\\left\s*\\\{\s*\\begin\{(?:array|aligned|matrix|gathered)\}(?:\{[lcr|` +
		` ]*\})?(.*)\\end\{[a-z]+\}\s*\\right\s*\.$`)
	clockHalf  = regexp.MustCompile(`(?i)(\d)\s*([ap])(?:\.\s?m\.?|m)([^A-Za-z]|$)`)
	remainders = regexp.MustCompile(`(\d)\s*\\?,?\s*(?:\\text\{\s*)?\b(?:R|r\b|rem\.?|remainder)(?:\s*\})?\s*(\d)`)
)

// prepare writes what only a pattern finds as a text: a.m., remainders, and a number in words before other words.
func prepare(s string) string {
	s = rewrite(s)
	s = micro.ReplaceAllString(s, `$1\text{ µ$2} `)
	if m := system.FindStringSubmatch(strings.TrimSpace(s)); m != nil {
		s = `\begin{cases}` + m[1] + `\end{cases}`
	}
	s = hours.ReplaceAllString(s, `$1\text{ h }$2\text{ min}`)
	if m := chooses.FindStringSubmatch(strings.TrimSpace(s)); m != nil {
		return `\binom{` + m[1] + "}{" + m[2] + "}"
	}
	s = ohms.ReplaceAllString(s, `$1\text{ $2${3}Ω} `)
	s = clockHalf.ReplaceAllString(s, `$1\text{ $2.m.}$3`)
	s = remainders.ReplaceAllString(s, `$1\text{ remainder }$2`)
	fields := strings.Fields(s)
	for n := min(len(fields)-1, 6); n > 0; n-- {
		if r := spelledNumber(strings.Join(fields[:n], " ")); r != nil {
			return r.RatString() + " " + strings.Join(fields[n:], " ")
		}
	}
	return s
}
