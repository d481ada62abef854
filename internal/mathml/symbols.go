package mathml

import "strings"

// characters that are not set as they are written.
var characters = map[string]string{
	"-": "<mo>−</mo>", "*": "<mo>∗</mo>", "~": `<mspace width="0.33em"></mspace>`, "+": "<mo>+</mo>", "=": "<mo>=</mo>", ",": "<mo>,</mo>",
	"/": `<mo lspace="0" rspace="0">/</mo>`, ":": `<mo lspace="0.2em" rspace="0.2em">:</mo>`, "<": "<mo>&lt;</mo>", ">": "<mo>&gt;</mo>",
	"|": `<mo stretchy="false" lspace="0.1em" rspace="0.1em">|</mo>`, "\u00a0": `<mspace width="0.33em"></mspace>`,
}

// The tables are a command and its character, pair after pair.
const (
	identifiers = `alpha α beta β gamma γ delta δ epsilon ϵ varepsilon ε zeta ζ eta η theta θ vartheta ϑ iota ι kappa κ
		lambda λ mu μ nu ν xi ξ omicron ο pi π varpi ϖ rho ρ varrho ϱ sigma σ varsigma ς tau τ upsilon υ phi ϕ varphi φ chi χ
		psi ψ omega ω ell ℓ hbar ℏ imath ı jmath ȷ partial ∂ infty ∞ emptyset ∅ varnothing ∅ aleph ℵ wp ℘ Re ℜ Im ℑ
		degree ° prime ′ circ ∘ bullet ∙ star ⋆ ast ∗ angle ∠ measuredangle ∡ triangle △ square □ Box □ blacksquare ■
		diamond ⋄ Diamond ◇ clubsuit ♣ diamondsuit ♢ heartsuit ♡ spadesuit ♠ odot ⊙ top ⊤ bot ⊥ dagger † ddagger ‡ S §
		P ¶ pounds £ euro € copyright © checkmark ✓ nabla ∇ surd √ sharp ♯ flat ♭ natural ♮ complement ∁ eth ð bigcirc ◯
		lozenge ◊ bigstar ★ cdotp · ldotp .`
	uprights  = `Gamma Γ Delta Δ Theta Θ Lambda Λ Xi Ξ Pi Π Sigma Σ Upsilon Υ Phi Φ Psi Ψ Omega Ω`
	operators = `pm ± mp ∓ times × div ÷ cdot ⋅ oplus ⊕ ominus ⊖ otimes ⊗ oslash ⊘ cap ∩ cup ∪ uplus ⊎ sqcap ⊓
		sqcup ⊔ vee ∨ lor ∨ wedge ∧ land ∧ setminus ∖ smallsetminus ∖ wr ≀ amalg ⨿ triangleleft ◁ triangleright ▷
		lnot ¬ neg ¬ forall ∀ exists ∃ nexists ∄ leq ≤ le ≤ geq ≥ ge ≥ leqslant ⩽ geqslant ⩾ ll ≪ gg ≫ neq ≠ ne ≠
		equiv ≡ sim ∼ simeq ≃ cong ≅ approx ≈ asymp ≍ doteq ≐ propto ∝ triangleq ≜ prec ≺ succ ≻ preceq ⪯ succeq ⪰
		subset ⊂ supset ⊃ subseteq ⊆ supseteq ⊇ subsetneq ⊊ supsetneq ⊋ sqsubseteq ⊑ in ∈ ni ∋ notin ∉ mid ∣ nmid ∤
		parallel ∥ nparallel ∦ perp ⊥ vdash ⊢ dashv ⊣ models ⊨ vDash ⊨ lesssim ≲ gtrsim ≳ nleq ≰ ngeq ≱ nless ≮
		ngtr ≯ nsubseteq ⊈ coloneqq ≔ to → rightarrow → leftarrow ← gets ← leftrightarrow ↔ Rightarrow ⇒ Leftarrow ⇐
		Leftrightarrow ⇔ longrightarrow ⟶ longleftarrow ⟵ Longrightarrow ⟹ Longleftarrow ⟸ Longleftrightarrow ⟺
		longleftrightarrow ⟷ implies ⟹ impliedby ⟸ iff ⟺ mapsto ↦ longmapsto ⟼ uparrow ↑ downarrow ↓ updownarrow ↕
		Uparrow ⇑ Downarrow ⇓ nearrow ↗ searrow ↘ swarrow ↙ nwarrow ↖ hookrightarrow ↪ rightharpoonup ⇀ rightleftharpoons ⇌
		rightsquigarrow ⇝ leadsto ⇝ therefore ∴ because ∵ ldots … dots … dotsc … dotsb ⋯ dotsm ⋯ cdots ⋯ vdots ⋮
		ddots ⋱ colon : backslash \ lbrace { rbrace } lbrack [ rbrack ] langle ⟨ rangle ⟩ lfloor ⌊ rfloor ⌋ lceil ⌈ rceil ⌉
		vert | lvert | rvert | Vert ‖ lVert ‖ rVert ‖ | ‖ { { } } % % $ $ # # & & _ _ lt < gt > And & dotso … slash / / /`
	large = `sum ∑ prod ∏ coprod ∐ bigcup ⋃ bigcap ⋂ bigoplus ⨁ bigotimes ⨂ bigvee ⋁ bigwedge ⋀ bigsqcup ⨆
		biguplus ⨄`
	integrals = `int ∫ iint ∬ iiint ∭ oint ∮ oiint ∯`
	functions = `sin cos tan cot sec csc arcsin arccos arctan arccot sinh cosh tanh coth log ln lg exp deg arg dim ker hom Arg sgn lcm`
	limiting  = `lim max min sup inf gcd det Pr limsup liminf argmax argmin`
)

var symbols = func() map[string]func(variant string) node {
	table := map[string]func(string) node{}
	pairs := func(text string, make func(symbol, variant string) node) {
		fields := strings.Fields(text)
		for i := 0; i < len(fields); i += 2 {
			symbol := fields[i+1]
			table[fields[i]] = func(variant string) node { return make(symbol, variant) }
		}
	}
	pairs(identifiers, func(s, variant string) node { return node{xml: element("mi", styled(variant, s))} })
	pairs(uprights, func(s, variant string) node {
		if variant != "" && variant != "rm" {
			return node{xml: element("mi", styled(variant, s))}
		}
		return node{xml: element(`mi mathvariant="normal"`, s)}
	})
	pairs(operators, func(s, _ string) node { return node{xml: operator(s)} })
	pairs(large, func(s, _ string) node { return node{xml: element(`mo movablelimits="true"`, s), limits: true} })
	pairs(integrals, func(s, _ string) node { return node{xml: element("mo", s)} })
	for _, name := range strings.Fields(functions) {
		table[name] = func(string) node { return node{xml: element("mi", name), function: true} }
	}
	for _, name := range strings.Fields(limiting) {
		text := strings.NewReplacer("limsup", "lim sup", "liminf", "lim inf", "argm", "arg m").Replace(name)
		table[name] = func(string) node {
			return node{xml: element(`mo movablelimits="true" rspace="0.17em"`, text), limits: true}
		}
	}
	return table
}()

func symbol(name, variant string) (node, bool) {
	s, ok := symbols[name]
	if !ok {
		return node{}, false
	}
	return s(variant), true
}

// firsts are where Unicode's mathematical alphabets begin: capital and small letters, digits, capital and small Greek; 0: it has none.
var firsts = map[string][5]rune{
	"bf": {0x1D400, 0x1D41A, 0x1D7CE, 0x1D6A8, 0x1D6C2}, "bi": {0x1D468, 0x1D482, 0x1D7CE, 0x1D71C, 0x1D736},
	"bb": {0x1D538, 0x1D552, 0x1D7D8, 0, 0}, "cal": {0x1D49C, 0x1D4B6, 0, 0, 0}, "frak": {0x1D504, 0x1D51E, 0, 0, 0},
	"sf": {0x1D5A0, 0x1D5BA, 0x1D7E2, 0, 0}, "tt": {0x1D670, 0x1D68A, 0x1D7F6, 0, 0},
}

// exceptions are letters that Unicode had before it had the alphabets.
var exceptions = map[string]*strings.Replacer{
	"bb":   strings.NewReplacer(strings.Fields("C ℂ H ℍ N ℕ P ℙ Q ℚ R ℝ Z ℤ")...),
	"cal":  strings.NewReplacer(strings.Fields("B ℬ E ℰ F ℱ H ℋ I ℐ L ℒ M ℳ R ℛ e ℯ g ℊ o ℴ")...),
	"frak": strings.NewReplacer(strings.Fields("C ℭ H ℌ I ℑ R ℜ Z ℨ")...),
}

// styled is s in an alphabet; characters that it lacks stay as they are.
func styled(variant, s string) string {
	first, ok := firsts[variant]
	if !ok {
		return s
	}
	if e := exceptions[variant]; e != nil {
		s = e.Replace(s)
	}
	return strings.Map(func(r rune) rune { return shifted(r, first) }, s)
}

func shifted(r rune, first [5]rune) rune {
	for i, from := range [5][2]rune{{'A', 'Z'}, {'a', 'z'}, {'0', '9'}, {'Α', 'Ω'}, {'α', 'ω'}} {
		if r >= from[0] && r <= from[1] && first[i] != 0 {
			return first[i] + r - from[0]
		}
	}
	return r
}
