package grade

import (
	"strings"
)

func setOf(names string) map[string]bool {
	m := map[string]bool{}
	for _, name := range strings.Fields(names) {
		m[name] = true
	}
	return m
}

// pairs maps the words at even places to those behind them.
func pairs(words string) map[string]string {
	m := map[string]string{}
	f := strings.Fields(words)
	for i := 0; i+1 < len(f); i += 2 {
		m[f[i]] = f[i+1]
	}
	return m
}

var (
	// dropped commands say nothing about the value.
	dropped = setOf(`quad qquad displaystyle textstyle scriptstyle limits nolimits hline mathstrut strut hfill
		thinspace enspace space normalsize large Large LARGE huge Huge tiny footnotesize scriptsize small smallskip medskip rm bf it
		middle nonumber notag phantom`)
	textCommands = setOf(`text textbf textit textrm textsf texttt textnormal mbox hbox emph textup`)
	fontCommands = setOf(`mathrm mathbf mathit mathsf mathtt boldsymbol bm mathnormal mathbb mathcal mathfrak operatorname variable
		boxed fbox ensuremath underline uline`)
	// structural commands have a case of their own in the parser.
	structural = setOf(`textcolor color nicefrac sfrac frac dfrac tfrac cfrac sqrt binom dbinom tbinom choose sum prod int iint oint lim
	overline bar vec hat tilde widehat overrightarrow underbrace overbrace stackrel angle triangle lfloor rfloor lceil
	rceil pmod left right big Big bigl bigr Bigl Bigr bigg Bigg biggl biggr begin end pm mp over not char measuredangle
	square`)
	greek = pairs(`Pr P alpha \alpha beta \beta gamma \gamma delta \delta epsilon \epsilon varepsilon \varepsilon zeta \zeta eta
		\eta theta \theta
		vartheta \theta iota \iota kappa \kappa lambda \lambda mu \mu nu \nu xi \xi rho \rho varrho \rho sigma \sigma tau \tau upsilon \upsilon
		phi \phi varphi \phi chi \chi psi \psi omega \omega Gamma \Gamma Delta \Delta Theta \Theta Lambda \Lambda Xi \Xi Pi \Pi Sigma \Sigma
		Upsilon \Upsilon Phi \Phi Psi \Psi Omega \Omega pi \pi infty \infty ell \ell hbar \hbar exponentialE e imaginaryI i
		emptyset \emptyset varnothing \emptyset R \mathbb{R} Reals \mathbb{R} partial \partial nabla \nabla top \top dots \dots ldots
		\dots cdots \dots vdots \dots ddots \dots`)
	punctCommands = pairs(`cdot * times * ast * bullet * div / le <= leq <= leqslant <= leqq <= ge >= geq >= geqslant >= geqq >= lt
		< gt > ne != neq !=
		approx ≈ simeq ≈ thickapprox ≈ doteq ≈ equiv \equiv sim \sim cong \cong in \in notin \notin subset \subset subseteq \subset to
		-> rightarrow -> longrightarrow ->
		Rightarrow => Longrightarrow => mapsto -> implies => iff <=> Leftrightarrow <=> cup \cup bigcup \cup cap \cap bigcap \cap
		setminus \setminus backslash \setminus
		smallsetminus \setminus lbrace \{ rbrace \} lbrack [ rbrack ] lparen ( rparen ) langle \langle rangle \rangle lvert |( rvert |)
		vert | mid \mid Vert | lVert |( rVert |)
		colon : degree ° circ ° prime ' mod \mod bmod \mod wedge \wedge land \wedge lor \vee vee \vee perp \perp parallel \parallel sp
		^ sb _ newline \\ cr \\`)
	functionWords = pairs(`sin sin cos cos tan tan cot cot sec sec csc csc arcsin arcsin arccos arccos arctan arctan arccot arccot
		asin arcsin acos arccos atan arctan
		sinh sinh cosh cosh tanh tanh arcsinh arcsinh arccosh arccosh arctanh arctanh arsinh arcsinh arcosh arccosh artanh arctanh
		asinh arcsinh acosh arccosh atanh arctanh
		ln ln log log lg lg exp exp gcd gcd lcm lcm max max min min floor floor ceil ceil abs abs sqrt sqrt cbrt cbrt cis cis tg tan
		ctg cot surd sqrt arctg arctan cosec csc sgn sgn det det dim dim ker ker deg deg Re Re Im Im arg arg`)
	percentWords = []string{"percent", "percentage", "percents", "pct", "percentagepoints"}
	degreeWords  = []string{"degree", "degrees", "deg"}
)

func known(name string) bool {
	return dropped[name] || textCommands[name] || fontCommands[name] || structural[name] || greek[name] != "" || punctCommands[name] != "" ||
		functionWords[name] != ""
}
