package grade

import "strings"

// unicodeMath maps characters to the LaTeX that means the same.
var unicodeMath = strings.NewReplacer("−", "-", "–", "-", "—", "-", "‐", "-", "‑", "-", "×", `\times `, "·", `\cdot `, "⋅", `\cdot `, "∗", "*", "÷", `\div `, "∕", "/", "⁄", "/",
	"π", `\pi `, "∞", `\infty `, "√", `\sqrt `, "∛", `\sqrt[3]`, "≤", `\le `, "≥", `\ge `, "⩽", `\le `, "⩾", `\ge `, "≠", `\ne `, "±", `\pm `, "∓", `\mp `, "∪", `\cup `, "∩", `\cap `, "∖", `\setminus `,
	"∈", `\in `, "∉", `\notin `, "∅", `\emptyset `, "ℝ", `\mathbb{R}`, "ℤ", `\mathbb{Z}`, "ℕ", `\mathbb{N}`, "ℚ", `\mathbb{Q}`, "≡", `\equiv `, "→", `\to `, "⇒", `\implies `, "⟨", `\langle `, "⟩", `\rangle `,
	"α", `\alpha `, "β", `\beta `, "γ", `\gamma `, "δ", `\delta `, "ε", `\epsilon `, "θ", `\theta `, "λ", `\lambda `, "μ", `\mu `, "ρ", `\rho `, "σ", `\sigma `, "τ", `\tau `, "φ", `\phi `, "ϕ", `\phi `, "ω", `\omega `, "Δ", `\Delta `, "Ω", `\Omega `,
	"½", `\frac12 `, "⅓", `\frac13 `, "⅔", `\frac23 `, "¼", `\frac14 `, "¾", `\frac34 `, "º", "°", "′", "'", "’", "'", "（", "(", "）", ")", "，", ",", "：", ":", "；", ";", "％", "%", "＝", "=", "＋", "+", "－", "-", "［", "[", "］", "]",
	"\u00a0", " ", "\u2009", " ", "\u202f", " ", "\u3000", " ", "\u200b", "", "\ufeff", "", "。", ".", "।", ".", "…", `\dots `, "∑", `\sum `, "∏", `\prod `, "∫", `\int `)

const (
	superscripts = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ"
	subscripts   = "₀₁₂₃₄₅₆₇₈₉₊₋ₙ"
	scriptBases  = "0123456789+-n"
)

// asLatex writes an answer's Unicode characters as LaTeX: x² is x^{2}.
func asLatex(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return r > 0x7f }) < 0 {
		return s
	}
	s = unicodeMath.Replace(s)
	var b strings.Builder
	open := ""
	for _, r := range s {
		mark, base := "", 0
		for m, set := range map[string]string{"^": superscripts, "_": subscripts} {
			if i := strings.IndexRune(set, r); i >= 0 {
				mark, base = m, len([]rune(set[:i]))
			}
		}
		if open != "" && mark != open {
			b.WriteByte('}')
		}
		switch {
		case mark == "":
			b.WriteRune(r)
		case mark != open:
			b.WriteString(mark + "{" + scriptBases[base:base+1])
		default:
			b.WriteByte(scriptBases[base])
		}
		open = mark
	}
	if open != "" {
		b.WriteByte('}')
	}
	return b.String()
}
