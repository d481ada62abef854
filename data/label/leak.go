package label

import (
	"regexp"
	"strings"
)

// boxed is a text whose final answer is the given one.
func boxed(answer string) string { return `\boxed{` + answer + `}` }

func join(steps []string, sep string) string { return strings.Join(steps, sep) }

var (
	// listMark is what numbers the lines of a template: "1.", "2)", "Step 3:".
	listMark = regexp.MustCompile(`(?im)^[\s>*#-]*(?:\*\*)?(?:step\s+)?\d{1,3}\s*[.):](?:\s|$)`)
	stepWord = regexp.MustCompile(`(?i)\bsteps?\s+\d{1,3}(?:\s*(?:and|to|-|–|,)\s*\d{1,3})*`)
	value    = regexp.MustCompile(`[-−+]?\d[\d,]*(?:\.\d+)?(?:\s*/\s*\d+)?\s*%?|[-−+]?\.\d+`)
	mathText = regexp.MustCompile(`(?s)\$\$(.+?)\$\$|\$(.+?)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]`)
	choice   = regexp.MustCompile(`\(([A-Ja-j])\)|\b(?:answer|option|choice)\s*(?:is|:)?\s*\(?\*{0,2}([A-J])\b`)
	letter   = regexp.MustCompile(`^\(?([A-Ja-j])\)?\.?$`)
)

// maxValues bounds how many values of a template are compared: a template with more is no template.
const maxValues = 500

// leaks tells whether a template holds the gold answer, the final value of the response, or an equivalent of one of them, as the
// verifier sees it. The numbers of its list do not count.
func leaks(v Verifier, template, gold, response string) bool {
	m := letter.FindStringSubmatch(strings.TrimSpace(gold))
	if m != nil { // of a multiple choice question
		for _, c := range choice.FindAllStringSubmatch(template, -1) {
			if strings.EqualFold(c[1]+c[2], m[1]) {
				return true
			}
		}
	} else if holdsText(template, gold) {
		return true
	}
	bare := stepWord.ReplaceAllString(listMark.ReplaceAllString(template, "\n"), " ")
	for _, candidate := range values(bare) {
		if m == nil && same(v, gold, boxed(candidate)) || response != "" && same(v, candidate, response) {
			return true
		}
	}
	return false
}

// same: where the verifier cannot decide there is no evidence.
func same(v Verifier, gold, text string) bool {
	right, _, err := v.Verify(gold, text)
	return err == nil && right
}

// holdsText looks for answers that are words or formulas, where a number would be found in longer numbers.
func holdsText(template, gold string) bool {
	squeeze := func(s string) string { return strings.ToLower(strings.Join(strings.Fields(s), "")) }
	g := squeeze(gold)
	return len(g) > 2 && strings.Trim(g, "0123456789.,/%$-+") != "" && strings.Contains(squeeze(template), g)
}

// values are what could be a final answer: formulas, their sides, boxes and numbers.
func values(template string) []string {
	var all []string
	seen := map[string]bool{}
	add := func(s string) {
		if s = strings.TrimSpace(s); s != "" && len(s) <= 200 && !seen[s] && len(all) < maxValues {
			seen[s] = true
			all = append(all, s)
		}
	}
	for _, m := range mathText.FindAllStringSubmatch(template, -1) {
		inner := m[1] + m[2] + m[3] + m[4]
		add(inner)
		for _, side := range strings.FieldsFunc(inner, func(r rune) bool { return r == '=' || r == '≈' }) {
			add(side)
		}
	}
	for rest := template; ; {
		_, after, found := strings.Cut(rest, `\boxed{`)
		if !found {
			break
		}
		depth, end := 1, len(after)
		for i, r := range after {
			if r == '{' {
				depth++
			} else if r == '}' {
				if depth--; depth == 0 {
					end = i
					break
				}
			}
		}
		add(after[:end])
		rest = after
	}
	for _, n := range value.FindAllString(template, -1) {
		add(strings.TrimRight(n, ",."))
	}
	return all
}
