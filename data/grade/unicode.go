package grade

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// unicodeMath maps characters to the LaTeX that means the same.
var unicodeMath = strings.NewReplacer("−", "-", "–", "-", "—", "-", "‐", "-", "‑", "-", "×", `\times `, "·", `\cdot `,
	"⋅", `\cdot `, "∗", "*", "÷", `\div `, "∕", "/", "⁄", "/",
	"π", `\pi `, "∞", `\infty `, "≤", `\le `, "≥", `\ge `, "⩽", `\le `, "⩾", `\ge `, "≠", `\ne `, "±", `\pm `, "∓", `\mp `,
	"∪", `\cup `, "∩", `\cap `, "∖", `\setminus `,
	"∈", `\in `, "∉", `\notin `, "∅", `\emptyset `, "ℝ", `\mathbb{R}`, "ℤ", `\mathbb{Z}`, "ℕ", `\mathbb{N}`, "ℚ", `\mathbb{Q}`,
	"≡", `\equiv `, "→", `\to `, "⇒", `\implies `, "⟨", `\langle `, "⟩", `\rangle `,
	"α", `\alpha `, "β", `\beta `, "γ", `\gamma `, "δ", `\delta `, "ε", `\epsilon `, "θ", `\theta `, "λ", `\lambda `, "μ", `\mu `,
	"ρ", `\rho `, "σ", `\sigma `, "τ", `\tau `, "φ", `\phi `, "ϕ", `\phi `, "ω", `\omega `, "Δ", `\Delta `, "Ω", `\Omega `,
	"º", "°", "′", "'", "’", "'", "﹣", "-", "˚", "°", "ₓ", "_x", "⟺", `\iff `, "⟹", `\implies `, "⊂", `\subset `,
	"⊆", `\subseteq `, "≈", "≈", "∠", `\angle `, "△", `\triangle `, "∧", `\wedge `, "∨", `\vee `, "ℂ", `\mathbb{C}`,
	"η", `\eta `,
	"ψ", `\psi `, "χ", `\chi `, "ζ", `\zeta `, "ξ", `\xi `, "κ", `\kappa `, "ν", `\nu `, "Γ", `\Gamma `, "Σ", `\Sigma `, "Φ", `\Phi `,
	"Λ", `\Lambda `, "µ", `\mu `, "ε", `\epsilon `, "ϵ", `\epsilon `, "ϑ", `\theta `,
	"、", ", ", "℃", `^\circ C`, "℉", `^\circ F`, "￥", "¥", "￡", "£", "∙", `\cdot `, "•", `\cdot `, "✕", `\times `,
	"╳", `\times `, "≦", `\le `, "≧", `\ge `, "≮", `\ge `, "＜", "<", "＞", ">",
	"\u00a0", " ", "\u2009", " ", "\u202f", " ", "\u3000", " ", "\u200b", "", "\ufeff", "", "。", ".", "।", ".", "…", `\dots `,
	"⌊", `\lfloor `, "⌋", `\rfloor `, "⌈", `\lceil `, "⌉", `\rceil `, "∑", `\sum `, "∏", `\prod `, "∫", `\int `)

const (
	superscripts = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿˣʸ⁽⁾ᵏᵐᵗᵀ"
	subscripts   = "₀₁₂₃₄₅₆₇₈₉₊₋ₙ"
	scriptBases  = "0123456789+-nxy()kmtT"
)

// raised is a fraction of raised and lowered digits: ³⁄₅.
var raised = regexp.MustCompile(`[⁰¹²³⁴-⁹]+⁄[₀-₉]+`)

// script is what a raised ("^") or lowered ("_") character is on the line; mark is empty for others.
func script(r rune) (mark string, base byte) {
	if i := strings.IndexRune(superscripts, r); i >= 0 {
		return "^", scriptBases[utf8.RuneCountInString(superscripts[:i])]
	}
	if i := strings.IndexRune(subscripts, r); i >= 0 {
		return "_", scriptBases[utf8.RuneCountInString(subscripts[:i])]
	}
	return "", 0
}

// asLatex writes an answer's Unicode characters as LaTeX: x² is x^{2}.
func asLatex(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return r > 0x7f }) < 0 {
		return s
	}
	s = raised.ReplaceAllStringFunc(s, func(m string) string {
		fraction := strings.Map(func(r rune) rune {
			if _, base := script(r); base != 0 {
				return rune(base)
			}
			return r
		}, m)
		return `\frac{` + strings.Replace(fraction, "⁄", "}{", 1) + "}"
	})
	s = rootSigns(numberSigns.Replace(joiningWords(unicodeMath.Replace(halfWidth(s)))))
	var b strings.Builder
	open := ""
	for _, r := range s {
		mark, base := script(r)
		if open != "" && mark != open {
			b.WriteByte('}')
		}
		switch {
		case mark == "":
			b.WriteRune(r)
		case mark != open:
			b.WriteString(mark + "{" + string(base))
		default:
			b.WriteByte(base)
		}
		open = mark
	}
	if open != "" {
		b.WriteByte('}')
	}
	return b.String()
}

// halfWidth writes the full-width forms of ASCII, as in Chinese text, as ASCII.
func halfWidth(s string) string {
	if !strings.Contains(s, "\xef\xbc") && !strings.Contains(s, "\xef\xbd") {
		return s
	}
	return strings.Map(func(r rune) rune {
		if r >= '！' && r <= '～' {
			return r - '！' + '!'
		}
		return r
	}, s)
}

// vulgar fractions; behind a digit they make a mixed number.
var vulgar = map[rune]string{'½': "12", '⅓': "13", '⅔': "23", '¼': "14", '¾': "34", '⅕': "15", '⅖': "25", '⅗': "35",
	'⅘': "45", '⅙': "16", '⅚': "56", '⅛': "18", '⅜': "38", '⅝': "58", '⅞': "78"}

var numberSigns = func() *strings.Replacer {
	var all []string
	for sign, digits := range vulgar {
		all = append(all, string(sign), `\frac`+digits+" ")
	}
	return strings.NewReplacer(all...)
}()

var roots = map[rune]string{'√': `\sqrt`, '∛': `\sqrt[3]`, '∜': `\sqrt[4]`}

// rootSigns writes √ before a whole number, a bracket or a letter. What stands under the root of √ab or √2x is not said, so
// that such a sign stays as it is and cannot be read.
func rootSigns(s string) string {
	if !strings.ContainsAny(s, "√∛∜") {
		return s
	}
	var b strings.Builder
	for s != "" {
		i := strings.IndexAny(s, "√∛∜")
		if i < 0 {
			break
		}
		sign := []rune(s[i : i+3])[0]
		b.WriteString(s[:i])
		s = strings.TrimLeft(s[i+3:], " ")
		n := 0
		for n < len(s) && (isDigit(s[n]) || s[n] == '.' && n+1 < len(s) && isDigit(s[n+1])) {
			n++
		}
		letters := len(leadingWord(s[n:]))
		switch {
		case n > 0 && letters == 0, n == 0 && letters == 1:
			b.WriteString(roots[sign] + "{" + s[:n+letters] + "}")
			s = s[n+letters:]
		case n == 0 && letters == 0 && s != "":
			b.WriteString(roots[sign] + " ")
		default:
			b.WriteRune(sign)
		}
	}
	return b.String() + s
}

// joiningWords writes 和 and 或 between values as "and" and "or".
func joiningWords(s string) string {
	if !strings.ContainsAny(s, "和或与") {
		return s
	}
	r := []rune(s)
	var b strings.Builder
	for i, c := range r {
		alone := i > 0 && i+1 < len(r) && !unicode.Is(unicode.Han, r[i-1]) && !unicode.Is(unicode.Han, r[i+1])
		switch {
		case alone && (c == '和' || c == '与'):
			b.WriteString(" and ")
		case alone && c == '或':
			b.WriteString(" or ")
		default:
			b.WriteRune(c)
		}
	}
	return b.String()
}
