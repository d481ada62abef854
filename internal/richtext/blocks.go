package richtext

import (
	"html"
	"regexp"
	"strconv"
	"strings"
)

var (
	heading   = regexp.MustCompile(`^(#{1,6}) +(.*?)(?: +#+)?$`)
	item      = regexp.MustCompile(`^( *)([-*+]|\d{1,4}[.)]) +(.*)$`)
	rule      = regexp.MustCompile(`^ {0,3}(?:(?:- *){3,}|(?:\* *){3,}|(?:_ *){3,})$`)
	separator = regexp.MustCompile(`^ *\|?(?: *:?-+:? *\|)+ *(?::?-+:? *)?$`)
)

// blocks reads headings, lists, tables, quotes, rules and paragraphs. Line ends inside a paragraph stay, since steps are written in lines.
func blocks(text string) string {
	var b strings.Builder
	lines := strings.Split(text, "\n")
	var paragraph []string
	flush := func() {
		if len(paragraph) > 0 {
			b.WriteString("<p>" + strings.Join(paragraph, "<br/>") + "</p>")
			paragraph = nil
		}
	}
	for i := 0; i < len(lines); {
		line := strings.TrimRight(lines[i], " \t")
		n, out := 1, ""
		switch {
		case strings.TrimSpace(line) == "":
			flush()
			i++
			continue
		case strings.HasPrefix(line, "\x00b"): // a block of code
			out = line
		case rule.MatchString(line):
			out = "<hr/>"
		case heading.MatchString(line):
			m := heading.FindStringSubmatch(line)
			out = `<p class="heading h` + strconv.Itoa(len(m[1])) + `">` + inline(m[2]) + "</p>"
		case item.MatchString(line):
			n, out = list(lines[i:])
		case strings.HasPrefix(line, "> ") || line == ">":
			n, out = quote(lines[i:])
		case i+1 < len(lines) && strings.Contains(line, "|") && separator.MatchString(lines[i+1]):
			n, out = grid(lines[i:])
		}
		if out == "" {
			paragraph = append(paragraph, inline(line))
		} else {
			flush()
			b.WriteString(out)
		}
		i += n
	}
	flush()
	return b.String()
}

// list reads items; deeper ones have the class of their depth, and numbers stay as they were written.
func list(lines []string) (n int, out string) {
	var b strings.Builder
	b.WriteString(`<ul class="list">`)
	for n < len(lines) {
		m := item.FindStringSubmatch(strings.TrimRight(lines[n], " \t"))
		if m == nil || rule.MatchString(lines[n]) {
			break
		}
		mark := m[2]
		if mark == "-" || mark == "*" || mark == "+" {
			mark = "•"
		}
		b.WriteString(`<li class="d` + strconv.Itoa(min(3, len(m[1])/2)) + `"><span class="mark">` + mark + `</span> ` + inline(m[3]))
		for n++; n < len(lines) && continues(lines[n]); n++ {
			b.WriteString("<br/>" + inline(strings.TrimSpace(lines[n])))
		}
		b.WriteString("</li>")
	}
	return n, b.String() + "</ul>"
}

// continues tells whether a line belongs to the item above it.
func continues(line string) bool {
	return strings.HasPrefix(line, "  ") && strings.TrimSpace(line) != "" && !item.MatchString(line)
}

func quote(lines []string) (n int, out string) {
	var inner []string
	for n < len(lines) && strings.HasPrefix(lines[n], ">") {
		inner = append(inner, inline(strings.TrimSpace(strings.TrimPrefix(lines[n], ">"))))
		n++
	}
	return n, "<blockquote><p>" + strings.Join(inner, "<br/>") + "</p></blockquote>"
}

func grid(lines []string) (n int, out string) {
	var b strings.Builder
	b.WriteString(`<table class="grid">`)
	for n < len(lines) && strings.Contains(lines[n], "|") {
		if n == 1 {
			n++
			continue
		}
		tag := "td"
		if n == 0 {
			tag = "th"
		}
		b.WriteString("<tr>")
		for _, cell := range strings.Split(strings.Trim(strings.TrimSpace(lines[n]), "|"), "|") {
			b.WriteString("<" + tag + ">" + inline(strings.TrimSpace(cell)) + "</" + tag + ">")
		}
		b.WriteString("</tr>")
		n++
	}
	return n, b.String() + "</table>"
}

var link = regexp.MustCompile(`!?\[([^\[\]\n]*)\]\(([^\s()\x00]*)\)`)

// inline reads links and emphasis in a line.
func inline(s string) string {
	var b strings.Builder
	for {
		m := link.FindStringSubmatchIndex(s)
		if m == nil {
			b.WriteString(emphasis(html.EscapeString(s)))
			return b.String()
		}
		b.WriteString(emphasis(html.EscapeString(s[:m[0]])))
		text, target := s[m[2]:m[3]], s[m[4]:m[5]]
		lower := strings.ToLower(target)
		switch {
		case !strings.HasPrefix(lower, "http://") && !strings.HasPrefix(lower, "https://"):
			b.WriteString(html.EscapeString(s[m[0]:m[1]]))
		case text == "":
			text = target
			fallthrough
		default:
			b.WriteString(`<a rel="noopener noreferrer" href="` + html.EscapeString(target) + `">` + emphasis(html.EscapeString(text)) + "</a>")
		}
		s = s[m[1]:]
	}
}

// marks of emphasis, longer ones first.
var marks = []struct{ mark, tag string }{{"**", "strong"}, {"__", "strong"}, {"~~", "s"}, {"*", "em"}, {"_", "em"}}

// widest is how far apart two marks of emphasis may stand.
const widest = 600

// emphasis reads bold, italic and struck text in what is escaped. A mark opens only outside a word and before one, and closes likewise, so
// that products and powers stay: 2*3*4, 2 * 3, x**2 and a_1 + b_1 are no emphasis.
func emphasis(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		size := 1
		if c := s[i]; c == '*' || c == '_' || c == '~' {
			var out string
			if out, size = emphasized(s, i); out == "" {
				size = len(s[i:]) - len(strings.TrimLeft(s[i:], s[i:i+1])) // a run of marks is one
				out = s[i : i+size]
			}
			b.WriteString(out)
		} else {
			b.WriteByte(c)
		}
		i += size
	}
	return b.String()
}

func emphasized(s string, i int) (out string, size int) {
	if i > 0 && wordByte(s[i-1]) {
		return "", 0
	}
	for _, m := range marks {
		from := i + len(m.mark)
		if !strings.HasPrefix(s[i:], m.mark) || from >= len(s) || s[from] == ' ' || s[from] == m.mark[0] {
			continue
		}
		within := s[from:min(len(s), from+widest)]
		for at := 0; ; {
			end := strings.Index(within[at:], m.mark)
			if end < 0 {
				break
			}
			end += at
			after := from + end + len(m.mark)
			if end > 0 && within[end-1] != ' ' && (after >= len(s) || !wordByte(s[after]) && s[after] != m.mark[0]) {
				return "<" + m.tag + ">" + emphasis(within[:end]) + "</" + m.tag + ">", after - i
			}
			at = end + 1
		}
	}
	return "", 0
}

func wordByte(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' || c == ')' || c == '\x00'
}
