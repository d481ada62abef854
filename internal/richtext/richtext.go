// Package richtext turns the texts of models, Markdown with LaTeX in it, into HTML and MathML. Nothing in a text becomes markup of its
// own: every character is escaped, links are kept only to http and https, images are never loaded. What cannot be read as Markdown or
// LaTeX stands as it was written, and nothing is lost.
package richtext

import (
	"html"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goprm/goprm/internal/mathml"
)

// longest is how many bytes are read as Markdown; longer texts are shown as they are.
const longest = 200_000

// HTML is the text as elements that may stand in a block.
func HTML(text string) string {
	text = clean(text)
	if len(text) > longest {
		return Plain(text)
	}
	c := &converter{}
	return c.filled(blocks(c.lifted(text)))
}

// Plain is the text as it was written, spaces and line ends included.
func Plain(text string) string {
	return `<pre class="plain">` + html.EscapeString(clean(text)) + "</pre>"
}

// clean makes the text valid in HTML and XML; a zero byte marks what the converter has lifted out, so texts have none.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\r':
			return -1
		case r < ' ' && r != '\n' && r != '\t', r == 0xFFFE, r == 0xFFFF:
			return utf8.RuneError
		}
		return r
	}, text)
}

// converter lifts code and formulas out of a text, since no Markdown is in them, and puts their HTML back at the end.
type converter struct {
	kept   []string
	absent map[string]bool // closing marks that do not come any more
}

func (c *converter) keep(html string) string {
	c.kept = append(c.kept, html)
	return "\x00" + strconv.Itoa(len(c.kept)-1) + "\x00"
}

// filled puts back what was lifted.
func (c *converter) filled(s string) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(s, "\x00")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		number, after, _ := strings.Cut(rest, "\x00")
		if i, err := strconv.Atoi(strings.TrimPrefix(number, "b")); err == nil {
			b.WriteString(c.kept[i])
		}
		s = after
	}
}

// formulas are what opens and closes one.
var formulas = []struct {
	open, close string
	display     bool
	most        int // bytes between them
}{
	{`\(`, `\)`, false, 5000}, {`\[`, `\]`, true, 20_000}, {"$$", "$$", true, 20_000}, {"$", "$", false, 1000},
}

// lifted replaces code, formulas and escaped characters by marks.
func (c *converter) lifted(s string) string {
	c.absent = map[string]bool{}
	var b strings.Builder
	for i := 0; i < len(s); {
		size := 0
		switch s[i] {
		case '`':
			var out string
			if out, size = c.code(s[i:], i == 0 || s[i-1] == '\n'); size > 0 {
				b.WriteString(out)
			}
		case '\\', '$':
			var out string
			if out, size = c.formula(s[i:]); size == 0 {
				out, size = c.escape(s[i:])
			}
			b.WriteString(out)
		}
		if size == 0 {
			b.WriteByte(s[i])
			size = 1
		}
		i += size
	}
	return b.String()
}

// code is a span or a fenced block that begins s, and its length; 0 if none does.
func (c *converter) code(s string, atLineStart bool) (string, int) {
	ticks := len(s) - len(strings.TrimLeft(s, "`"))
	fence := s[:ticks]
	if ticks >= 3 && atLineStart {
		first := strings.IndexByte(s, '\n')
		if first < 0 {
			return "", 0
		}
		end := strings.Index(s[first:], "\n"+fence)
		body, size := s[first+1:], len(s) // a text that ends inside a block
		if end >= 0 {
			body, size = s[first:first+end], first+end+1+ticks
			body = strings.TrimPrefix(body, "\n")
		}
		block := c.keep("<pre class=\"code\"><code>" + html.EscapeString(body) + "</code></pre>")
		return "\n" + block[:1] + "b" + block[1:] + "\n", size
	}
	if c.absent[fence] {
		return fence, ticks
	}
	end := strings.Index(s[ticks:], fence)
	if end < 0 {
		c.absent[fence] = true
	}
	if end <= 0 || end > 2000 || strings.Contains(s[ticks:ticks+end], "\n\n") {
		return fence, ticks
	}
	return c.keep("<code>" + html.EscapeString(strings.TrimSpace(s[ticks:ticks+end])) + "</code>"), end + 2*ticks
}

// formula is one that begins s, and its length; 0 if none does.
func (c *converter) formula(s string) (string, int) {
	for _, f := range formulas {
		if !strings.HasPrefix(s, f.open) || c.absent[f.close] {
			continue
		}
		end := closing(s[len(f.open):], f.close, f.most)
		if end == gone {
			c.absent[f.close] = true
		}
		if end < 0 {
			return s[:len(f.open)], len(f.open)
		}
		size := len(f.open) + end + len(f.close)
		return c.math(s[:size], s[len(f.open):len(f.open)+end], f.display), size
	}
	return c.bare(s)
}

const gone = -2 // what is looked for does not come any more

// closing is where the end of a formula stands. A lone dollar ends one only where it is no price: neither behind a space nor before a
// digit.
func closing(s, end string, most int) int {
	within := s[:min(len(s), most+len(end))]
	if end != "$" {
		at := strings.Index(within, end)
		if at < 0 && len(within) == len(s) {
			return gone
		}
		if (end == `\)` || end == `\]`) && strings.Contains(within[:max(at, 0)], `\`+map[string]string{`\)`: "(", `\]`: "["}[end]) {
			return -1 // the one before was not closed
		}
		return at
	}
	if s == "" || strings.ContainsRune(" \t\n$", rune(s[0])) {
		return -1
	}
	for i := 1; i < len(within); i++ {
		switch within[i] {
		case '\\':
			i++
		case '\n':
			if within[i-1] == '\n' {
				return -1
			}
		case '$':
			if within[i-1] == ' ' || i+1 < len(s) && s[i+1] >= '0' && s[i+1] <= '9' {
				return -1
			}
			return i
		}
	}
	return -1
}

// bare is a formula without dollars: an environment or a box.
func (c *converter) bare(s string) (string, int) {
	size := 0
	switch {
	case strings.HasPrefix(s, `\begin{`):
		name, _, found := strings.Cut(s[len(`\begin{`):min(len(s), 40)], "}")
		end := strings.Index(s[:min(len(s), 20_000)], `\end{`+name+"}")
		if !found || end < 0 {
			return "", 0
		}
		size = end + len(`\end{`+name+"}")
	case strings.HasPrefix(s, `\boxed{`):
		depth := 0
		for i := len(`\boxed`); i < min(len(s), 1000) && size == 0; i++ {
			switch s[i] {
			case '{':
				depth++
			case '}':
				if depth--; depth == 0 {
					size = i + 1
				}
			}
		}
	}
	if size == 0 {
		return "", 0
	}
	return c.math(s[:size], s[:size], strings.HasPrefix(s, `\begin`)), size
}

// math is a formula, or its source where it cannot be read.
func (c *converter) math(source, tex string, display bool) string {
	out, err := mathml.Convert(tex, display)
	if err != nil {
		return c.keep(`<code class="tex" title="` + html.EscapeString(clean(err.Error())) + `">` + html.EscapeString(source) + "</code>")
	}
	return c.keep(out)
}

// escape is a character that a backslash protects from Markdown.
func (c *converter) escape(s string) (string, int) {
	if len(s) > 1 && s[0] == '\\' && strings.IndexByte("*_#$`~|", s[1]) >= 0 {
		return c.keep(html.EscapeString(s[1:2])), 2
	}
	return "", 0
}
