package mathml

import (
	"strings"
)

// shape is what a command makes of its arguments, which stand where $1 and $2 are.
type shape struct {
	arguments int
	xml       string
	limits    bool
}

var shapes = map[string]shape{
	"frac": {2, "<mfrac>$1$2</mfrac>", false}, "tfrac": {2, "<mfrac>$1$2</mfrac>", false},
	"dfrac":    {2, `<mstyle displaystyle="true"><mfrac>$1$2</mfrac></mstyle>`, false},
	"cfrac":    {2, `<mstyle displaystyle="true"><mfrac>$1$2</mfrac></mstyle>`, false},
	"binom":    {2, `<mrow><mo>(</mo><mfrac linethickness="0">$1$2</mfrac><mo>)</mo></mrow>`, false},
	"tbinom":   {2, `<mrow><mo>(</mo><mfrac linethickness="0">$1$2</mfrac><mo>)</mo></mrow>`, false},
	"dbinom":   {2, `<mstyle displaystyle="true"><mrow><mo>(</mo><mfrac linethickness="0">$1$2</mfrac><mo>)</mo></mrow></mstyle>`, false},
	"boxed":    {1, `<mrow class="boxed">$1</mrow>`, false},
	"fbox":     {1, `<mrow class="boxed">$1</mrow>`, false},
	"cancel":   {1, `<mrow class="cancel">$1</mrow>`, false},
	"bcancel":  {1, `<mrow class="cancel">$1</mrow>`, false},
	"xcancel":  {1, `<mrow class="cancel">$1</mrow>`, false},
	"phantom":  {1, "<mphantom>$1</mphantom>", false},
	"overset":  {2, "<mover>$2$1</mover>", false},
	"stackrel": {2, "<mover>$2$1</mover>", false},
	"underset": {2, "<munder>$2$1</munder>", false},
	"mathop":   {1, "$1", true}, "mathrel": {1, "$1", false}, "mathbin": {1, "$1", false}, "mathord": {1, "$1", false},
	"ensuremath": {1, "$1", false}, "smash": {1, "$1", false},
	"pmod":      {1, `<mrow><mspace width="0.5em"></mspace><mo stretchy="false">(</mo><mi>mod</mi><mspace width="0.3em"></mspace>$1<mo stretchy="false">)</mo></mrow>`, false},
	"pod":       {1, `<mrow><mspace width="0.5em"></mspace><mo stretchy="false">(</mo>$1<mo stretchy="false">)</mo></mrow>`, false},
	"underline": {1, `<munder>$1<mo stretchy="true">_</mo></munder>`, false},
	"overbrace": {1, `<mover>$1<mo stretchy="true">⏞</mo></mover>`, true}, "underbrace": {1, `<munder>$1<mo stretchy="true">⏟</mo></munder>`, true},
}

// accents stand above; the stretched ones are as wide as what they stand on.
var accents = map[string]string{
	"hat": "^", "bar": "¯", "tilde": "~", "vec": "→", "dot": "˙", "ddot": "¨", "check": "ˇ", "breve": "˘", "acute": "´", "grave": "`", "mathring": "˚",
}

var stretchedAccents = map[string]string{
	"overline": "‾", "widehat": "^", "widetilde": "~", "overrightarrow": "→", "overleftarrow": "←", "overleftrightarrow": "↔", "overarc": "⏜",
	"wideparen": "⏜",
}

// alphabets are the commands that set letters in another one.
var alphabets = map[string]string{
	"mathbf": "bf", "mathrm": "rm", "mathbb": "bb", "Bbb": "bb", "mathcal": "cal", "mathscr": "cal", "mathfrak": "frak", "mathsf": "sf",
	"mathtt": "tt", "mathit": "", "mathnormal": "", "boldsymbol": "bi", "bm": "bi", "pmb": "bi", "bold": "bf", "Bold": "bf", "rm": "rm", "bf": "bf",
}

// texts are the commands whose argument is text; the value is its class.
var texts = map[string]string{
	"text": "", "textrm": "", "textnormal": "", "mbox": "", "hbox": "", "textsf": "", "textup": "", "textbf": "bold", "textit": "italic",
	"emph": "italic", "textsl": "italic", "texttt": "mono",
}

// dropped commands change how a formula looks, not what it says; the value is how many arguments go with them.
var dropped = map[string]int{
	"displaystyle": 0, "textstyle": 0, "scriptstyle": 0, "scriptscriptstyle": 0, "hline": 0, "nonumber": 0, "notag": 0, "label": 1, "color": 1,
	"large": 0, "Large": 0, "normalsize": 0, "small": 0, "allowbreak": 0, "displaylimits": 0, "relax": 0, "noindent": 0, "centering": 0, "bigskip": 0,
}

var spaces = map[string]string{
	",": "0.17em", ":": "0.22em", ">": "0.22em", ";": "0.28em", "!": "-0.17em", " ": "0.33em", "quad": "1em", "qquad": "2em", "enspace": "0.5em",
	"thinspace": "0.17em", "\n": "0.33em", "space": "0.33em", "thickspace": "0.28em", "medspace": "0.22em", "negthinspace": "-0.17em",
}

func space(width string) node { return node{xml: `<mspace width="` + width + `"></mspace>`} }

// command reads a command with its arguments.
func (p *parser) command() (node, error) {
	name := strings.TrimPrefix(p.take(), `\`)
	if made, ok := shapes[name]; ok {
		return p.shaped(made)
	}
	if alphabet, ok := alphabets[name]; ok {
		return p.styledArgument(alphabet)
	}
	if class, ok := texts[name]; ok {
		return p.text(class)
	}
	if n, ok := dropped[name]; ok {
		return node{}, p.skip(n)
	}
	if width, ok := spaces[name]; ok {
		return space(width), nil
	}
	if mark, ok := accents[name]; ok {
		return p.accent(`mo stretchy="false"`, mark)
	}
	if mark, ok := stretchedAccents[name]; ok {
		return p.accent(`mo stretchy="true"`, mark)
	}
	if n, ok := symbol(name, p.variant); ok {
		return n, nil
	}
	return p.special(name)
}

// special are the commands that no table tells enough of.
func (p *parser) special(name string) (node, error) {
	switch name {
	case "sqrt":
		return p.root()
	case "left":
		return p.fence()
	case "begin":
		return p.environment()
	case "operatorname", "operatorname*":
		return p.operatorName()
	case "not":
		return p.not()
	case "mod", "bmod":
		return node{xml: `<mo lspace="0.5em" rspace="0.3em">mod</mo>`}, nil
	case "textcolor", "colorbox", "style", "class":
		if _, err := p.raw(); err != nil {
			return node{}, err
		}
		xml, err := p.argument()
		return node{xml: xml}, err
	case "hspace", "vspace", "hspace*", "mspace", "hskip":
		_, err := p.raw()
		return space("0.5em"), err
	case "tag", "tag*":
		text, err := p.raw()
		return node{xml: `<mspace width="2em"></mspace>` + element("mtext", "("+escaped(text)+")")}, err
	case "substack":
		return p.substack()
	case "xrightarrow", "xleftarrow", "xRightarrow":
		return p.labelledArrow(map[string]string{"xrightarrow": "→", "xleftarrow": "←", "xRightarrow": "⇒"}[name])
	case "":
		return node{}, p.fail(`a lone \`)
	}
	if size, ok := strings.CutSuffix(strings.TrimRight(name, "lrm"), "g"); ok && bigSizes[size] != "" {
		return p.big(bigSizes[size])
	}
	return node{}, p.fail(`unknown command \%s`, name)
}

func (p *parser) shaped(s shape) (node, error) {
	list := make([]string, s.arguments)
	for i := range list {
		var err error
		if list[i], err = p.argument(); err != nil {
			return node{}, err
		}
	}
	pairs := []string{"$1", list[0]}
	if s.arguments == 2 {
		pairs = append(pairs, "$2", list[1])
	}
	return node{xml: strings.NewReplacer(pairs...).Replace(s.xml), limits: s.limits}, nil
}

func (p *parser) skip(arguments int) error {
	for range arguments {
		if _, err := p.raw(); err != nil {
			return err
		}
	}
	return nil
}

// styledArgument sets letters in an alphabet; \rm and \bf without a group do so up to the end of theirs.
func (p *parser) styledArgument(alphabet string) (node, error) {
	before := p.variant
	p.variant = alphabet
	defer func() { p.variant = before }()
	xml, err := p.argument()
	return node{xml: xml}, err
}

func (p *parser) accent(tag, mark string) (node, error) {
	xml, err := p.argument()
	return node{xml: element(`mover accent="true"`, xml+element(tag, mark))}, err
}

// option is what stands in brackets, "" if nothing does.
func (p *parser) option() (string, error) {
	if p.peek() != "[" {
		return "", nil
	}
	p.take()
	list, err := p.row("]")
	if err != nil {
		return "", err
	}
	if p.take() != "]" {
		return "", p.fail("a bracket that is not closed")
	}
	return group(list), nil
}

func (p *parser) root() (node, error) {
	degree, err := p.option()
	if err != nil {
		return node{}, err
	}
	of, err := p.argument()
	if degree == "" {
		return node{xml: element("msqrt", of)}, err
	}
	return node{xml: element("mroot", of+degree)}, err
}

func (p *parser) labelledArrow(arrow string) (node, error) {
	below, err := p.option()
	if err != nil {
		return node{}, err
	}
	above, err := p.argument()
	return node{xml: node{xml: element(`mo stretchy="true"`, arrow), limits: true}.with(below, above)}, err
}

// text sets words; formulas may stand in it between dollars.
func (p *parser) text(class string) (node, error) {
	raw, err := p.raw()
	if err != nil {
		return node{}, err
	}
	tag := "mtext"
	if class != "" {
		tag += ` class="` + class + `"`
	}
	var list []string
	for i, piece := range strings.Split(strings.ReplaceAll(raw, `\$`, "\x00"), "$") {
		switch {
		case i%2 == 0 && piece != "":
			list = append(list, element(tag, escaped(words(piece))))
		case i%2 == 1:
			inner := &parser{s: piece, depth: p.depth + 1}
			row, err := inner.row("")
			if err != nil || inner.at < len(piece) {
				return node{}, p.fail("text whose formula %q cannot be read", piece)
			}
			list = append(list, row...)
		}
	}
	return node{xml: group(list)}, nil
}

// words are the text without the escapes of LaTeX; spaces at its ends stay, which MathML would cut off.
var escapes = strings.NewReplacer("\x00", "$", `\%`, "%", `\&`, "&", `\_`, "_", `\#`, "#", `\{`, "{", `\}`, "}", `\ `, "\u00a0", "~", "\u00a0", "``", "“", "''", "”")

func words(s string) string {
	s = escapes.Replace(s)
	if strings.HasPrefix(s, " ") {
		s = "\u00a0" + s[1:]
	}
	if strings.HasSuffix(s, " ") {
		s = s[:len(s)-1] + "\u00a0"
	}
	return s
}

func (p *parser) operatorName() (node, error) {
	limits := false
	if p.peek() == "*" {
		p.take()
		limits = true
	}
	name, err := p.raw()
	if err != nil {
		return node{}, err
	}
	return node{xml: element("mi", escaped(words(strings.ReplaceAll(name, `\,`, "\u00a0")))), limits: limits, function: true}, nil
}

// not strikes the relation that follows.
func (p *parser) not() (node, error) {
	n, err := p.atom(false)
	if err != nil {
		return node{}, err
	}
	end := strings.LastIndex(n.xml, "</mo>")
	if end < 0 {
		return node{}, p.fail(`\not before something that is no relation`)
	}
	n.xml = n.xml[:end] + "\u0338" + n.xml[end:]
	return n, nil
}
