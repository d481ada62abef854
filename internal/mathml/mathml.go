// Package mathml turns the LaTeX of mathematical texts into MathML, which browsers draw without a script, a font or a style sheet from
// elsewhere. It covers what models write: fractions, roots, scripts, sums, matrices, cases, aligned lines, text and symbols. What it does
// not know is an error, so that a caller shows the source instead of something wrong.
package mathml

import (
	"errors"
	"fmt"
	"html"
	"strings"
	"unicode/utf8"
)

const (
	longest = 20_000 // bytes of one formula
	deepest = 60     // groups in groups
)

// Convert gives the math element of a formula, delimiters not included; display sets it on a line of its own. Everything in the result
// that stems from the formula is escaped. The formula is kept in the attribute alttext.
func Convert(tex string, display bool) (string, error) {
	switch {
	case len(tex) > longest:
		return "", fmt.Errorf("a formula of %d bytes; at most %d are converted", len(tex), longest)
	case !utf8.ValidString(tex):
		return "", errors.New("a formula that is not UTF-8")
	case strings.TrimSpace(tex) == "":
		return "", errors.New("an empty formula")
	}
	p := &parser{s: tex}
	body, err := p.lines()
	if err == nil && p.at < len(p.s) {
		err = p.fail("%q closes nothing", p.s[p.at:min(len(p.s), p.at+1)])
	}
	if err != nil {
		return "", err
	}
	open := `<math alttext="`
	if display {
		open = `<math display="block" alttext="`
	}
	return open + escaped(tex) + `">` + body + "</math>", nil
}

// escaped makes text of s, valid in HTML and in XML.
func escaped(s string) string {
	return html.EscapeString(strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0xFFFE || r == 0xFFFF {
			return utf8.RuneError
		}
		return r
	}, s))
}

func element(tag, text string) string {
	name, _, _ := strings.Cut(tag, " ")
	return "<" + tag + ">" + text + "</" + name + ">"
}

func operator(text string) string {
	return element(`mo stretchy="false"`, escaped(text))
}

// group is one element: rows of a single one need no mrow.
func group(list []string) string {
	if len(list) == 1 {
		return list[0]
	}
	return element("mrow", strings.Join(list, ""))
}
