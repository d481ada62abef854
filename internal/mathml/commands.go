package mathml

import (
	"strings"
)

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
	if alphabet, ok := declared[name]; ok {
		p.variant = alphabet
		return node{}, nil
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

// styledArgument sets letters in an alphabet.
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

// escapes are what text mode writes for a character.
var escapes = strings.NewReplacer("\x00", "$", `\%`, "%", `\&`, "&", `\_`, "_", `\#`, "#", `\{`, "{", `\}`, "}",
	`\ `, "\u00a0", "~", "\u00a0", "``", "“", "''", "”")

// words are the text without the escapes of LaTeX; spaces at its ends stay, which MathML would cut off.
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
