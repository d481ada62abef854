package equations

import (
	"errors"
	"math/big"
	"strings"
)

// expression is one side of an equation.
type expression struct {
	eval      func(at map[string]value) (value, error)
	variables map[string]bool
	// operators counts what is to be computed; a side without any is a literal.
	operators int
	// decimals is the number of decimal places of a literal side, and inDecimals whether any number is written in decimals.
	decimals   int
	inDecimals bool
	percent    bool
	sum        bool // adds or subtracts
	units      []string
	// unsure is set where the notation has a second reading: 2\frac12, 1/2x, 2^10 in LaTeX.
	unsure bool
}

type evaluator = func(at map[string]value) (value, error)

var errSyntax = errors.New("not understood")

const (
	maxTokens = 300
	maxDepth  = 40
	maxDigits = 60
)

// parse reads tokens as one expression, all of them.
func parse(tokens []token, latex bool) (*expression, error) {
	if len(tokens) == 0 || len(tokens) > maxTokens {
		return nil, errSyntax
	}
	p := parser{tokens: tokens, latex: latex, out: &expression{variables: map[string]bool{}}}
	eval, err := p.sum(0)
	if err != nil {
		return nil, err
	}
	if p.at != len(tokens) {
		return nil, errSyntax
	}
	p.out.eval = eval
	return p.out, nil
}

type parser struct {
	tokens []token
	at     int
	latex  bool
	out    *expression
}

func (p *parser) peek() kind {
	if p.at < len(p.tokens) {
		return p.tokens[p.at].kind
	}
	return cut
}

func binary(k kind, a, b evaluator) evaluator {
	return func(at map[string]value) (value, error) {
		x, err := a(at)
		if err != nil {
			return x, err
		}
		y, err := b(at)
		if err != nil {
			return y, err
		}
		return combine(k, x, y)
	}
}

func (p *parser) sum(depth int) (evaluator, error) {
	if depth > maxDepth {
		return nil, errSyntax
	}
	left, err := p.product(depth)
	for err == nil && (p.peek() == plus || p.peek() == minus) {
		k := p.peek()
		p.at++
		p.out.operators++
		p.out.sum = true
		var right evaluator
		if right, err = p.product(depth); err == nil {
			left = binary(k, left, right)
		}
	}
	return left, err
}

func (p *parser) product(depth int) (evaluator, error) {
	left, err := p.signed(depth)
	divided := false
	for err == nil {
		k := p.peek()
		switch k {
		case times, divide:
			p.at++
			divided = divided || k == divide
		case variable, open, fraction, root, binomial, pi:
			// Side by side: a product. After a division its reach is read in two ways, and so is a fraction after a number.
			before := p.tokens[p.at-1].kind
			if before == unit || k == open && p.tokens[p.at].text == "{" && before != closing {
				return nil, errSyntax
			}
			if !p.latex && k != open && k != pi && k != root {
				return nil, errSyntax
			}
			if k == open && before == variable && strings.ContainsAny(p.tokens[p.at-1].text[:1], "fghpqFGPQTSNCL") {
				return nil, errSyntax // f(x)
			}
			p.out.unsure = p.out.unsure || divided || k == fraction && before == number
			k = times
		default:
			return left, nil
		}
		p.out.operators++
		var right evaluator
		if right, err = p.signed(depth); err == nil {
			left = binary(k, left, right)
		}
	}
	return left, err
}

func (p *parser) signed(depth int) (evaluator, error) {
	if depth > maxDepth {
		return nil, errSyntax
	}
	switch p.peek() {
	case minus:
		p.at++
		v, err := p.signed(depth + 1)
		if err != nil {
			return nil, err
		}
		return binary(minus, func(map[string]value) (value, error) { return whole(0), nil }, v), nil
	case plus:
		p.at++
		return p.signed(depth + 1)
	}
	return p.power(depth)
}

func (p *parser) power(depth int) (evaluator, error) {
	base, err := p.postfix(depth)
	if err != nil || p.peek() != power {
		return base, err
	}
	p.at++
	if p.peek() == unit { // 90^\circ
		p.out.units = append(p.out.units, "°")
		p.at++
		return base, nil
	}
	if p.at+2 < len(p.tokens) && p.peek() == open && p.tokens[p.at+1].kind == unit && p.tokens[p.at+2].kind == closing { // 90^{\circ}
		p.out.units = append(p.out.units, "°")
		p.at += 3
		return base, nil
	}
	p.out.operators++
	if p.latex && p.peek() == number && len(p.tokens[p.at].text) > 1 {
		p.out.unsure = true
	}
	exponent, err := p.signedPower(depth + 1)
	if err != nil {
		return nil, err
	}
	return binary(power, base, exponent), nil
}

// signedPower is an exponent: -1, or a power again.
func (p *parser) signedPower(depth int) (evaluator, error) {
	if p.peek() == minus {
		return p.signed(depth)
	}
	return p.power(depth)
}

func (p *parser) postfix(depth int) (evaluator, error) {
	if depth > maxDepth {
		return nil, errSyntax
	}
	v, err := p.atom(depth)
	for err == nil {
		inner := v
		switch p.peek() {
		case percent:
			p.out.percent = true
			v = binary(divide, inner, func(map[string]value) (value, error) { return whole(100), nil })
		case factorial:
			p.out.operators++
			v = func(at map[string]value) (value, error) {
				n, err := inner(at)
				if err != nil {
					return n, err
				}
				return product(n)
			}
		case unit:
			p.out.units = append(p.out.units, unitName(p.tokens[p.at].text))
			if p.at+2 < len(p.tokens) && p.tokens[p.at+1].kind == power && p.tokens[p.at+2].kind == number { // cm^3
				p.at += 2
			}
		default:
			return v, nil
		}
		p.at++
	}
	return v, err
}

func unitName(text string) string {
	if _, inner, found := strings.Cut(text, "{"); found { // \text{ miles}
		text = strings.TrimSuffix(inner, "}")
	}
	return strings.TrimSuffix(strings.ToLower(strings.TrimSpace(text)), "s")
}

var closes = map[string]string{"(": ")", "[": "]", "{": "}"}

func (p *parser) atom(depth int) (evaluator, error) {
	if p.at >= len(p.tokens) {
		return nil, errSyntax
	}
	t := p.tokens[p.at]
	p.at++
	switch t.kind {
	case number:
		return p.literal(t)
	case pi:
		return func(map[string]value) (value, error) { return inexact(3.14159265358979323846) }, nil
	case variable:
		p.out.variables[t.text] = true
		return func(at map[string]value) (value, error) {
			v, ok := at[t.text]
			if !ok {
				return v, errUndefined
			}
			return v, nil
		}, nil
	case open:
		v, err := p.sum(depth + 1)
		if err != nil {
			return nil, err
		}
		if p.peek() != closing || p.tokens[p.at].text != closes[t.text] {
			return nil, errSyntax
		}
		p.at++
		return v, nil
	case fraction, binomial:
		p.out.operators++
		a, err := p.argument(depth + 1)
		if err != nil {
			return nil, err
		}
		b, err := p.argument(depth + 1)
		if err != nil {
			return nil, err
		}
		if t.kind == fraction {
			return binary(divide, a, b), nil
		}
		return func(at map[string]value) (value, error) {
			n, err := a(at)
			if err != nil {
				return n, err
			}
			k, err := b(at)
			if err != nil {
				return k, err
			}
			return choose(n, k)
		}, nil
	case root:
		p.out.operators++
		index := int64(2)
		if p.latex && p.at+2 < len(p.tokens) && p.tokens[p.at].text == "[" {
			n := p.tokens[p.at+1]
			if n.kind != number || len(n.text) != 1 || p.tokens[p.at+2].text != "]" {
				return nil, errSyntax
			}
			index = int64(n.text[0] - '0')
			p.at += 3
		}
		a, err := p.argument(depth + 1)
		if err != nil {
			return nil, err
		}
		return func(at map[string]value) (value, error) {
			v, err := a(at)
			if err != nil {
				return v, err
			}
			return nthRoot(index, v)
		}, nil
	}
	return nil, errSyntax
}

// argument is a group, or one token.
func (p *parser) argument(depth int) (evaluator, error) {
	switch p.peek() {
	case open, number, variable, pi:
		return p.atom(depth)
	}
	return nil, errSyntax
}

func (p *parser) literal(t token) (evaluator, error) {
	text := strings.NewReplacer(",", "", "{", "", "}", "", "\\", "", "!", "").Replace(t.text)
	if len(text) > maxDigits {
		return nil, errSyntax
	}
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		return nil, errSyntax
	}
	if _, after, found := strings.Cut(text, "."); found {
		p.out.decimals, p.out.inDecimals = len(after), true
	}
	// 3 1/2 in plain text.
	if rest := p.tokens[p.at:]; !p.latex && len(rest) >= 3 && rest[0].kind == number && rest[1].kind == divide && rest[2].kind == number &&
		rest[0].space && !rest[1].space && !rest[2].space {
		n, okN := new(big.Rat).SetString(rest[0].text)
		d, okD := new(big.Rat).SetString(rest[2].text)
		if okN && okD && d.Sign() > 0 && n.Cmp(d) < 0 {
			p.at += 3
			p.out.operators++
			r.Add(r, n.Quo(n, d))
		}
	}
	v, err := exact(r)
	if err != nil {
		return nil, err
	}
	return func(map[string]value) (value, error) { return v, nil }, nil
}
