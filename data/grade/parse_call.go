package grade

import (
	"slices"
)

// call reads a function's exponent, base and argument.
func (p *parser) call(name string) *node {
	var exponent, base *node
	for p.err == nil {
		if exponent == nil && p.take("^") {
			exponent = p.script()
		} else if base == nil && p.take("_") {
			base = p.argument()
		} else {
			break
		}
	}
	args := p.callArguments(name)
	if p.err != nil {
		return integer(0)
	}
	if base != nil {
		if name != "log" || len(args) != 1 {
			return p.fail("%s with a subscript", name)
		}
		args = append(args, base)
	}
	many := slices.Contains([]string{"gcd", "lcm", "max", "min"}, name)
	if !many && len(args) != 1 && base == nil {
		return p.fail("%s of %d arguments", name, len(args))
	}
	if name == "sqrt" {
		name, args = "root", append(args, integer(2))
	}
	n := named(function, name, args...)
	if name == "cis" && len(args) == 1 {
		n = newNode(sum, named(function, "cos", args[0]), newNode(product, named(symbol, "i"), named(function, "sin", args[0])))
	}
	if exponent == nil {
		return n
	}
	if exponent.kind == negative && exponent.args[0].isInteger() && exponent.args[0].value.Cmp(integer(1).value) == 0 && inverses[name] != "" {
		return named(function, inverses[name], args...)
	}
	return newNode(power, n, exponent)
}

var inverses = pairs("sin arcsin cos arccos tan arctan cot arccot sinh arcsinh cosh arccosh tanh arctanh arcsin sin arccos cos arctan tan")

// callArguments reads f(x, y), f{x} and f x; without brackets the factors up to the next operator or function are the argument.
func (p *parser) callArguments(name string) []*node {
	switch {
	case p.isPunct("("), p.isPunct("["), p.isPunct("{"):
		inner := p.primary()
		if inner.kind == tuple || inner.kind == list {
			return inner.args
		}
		return []*node{inner}
	case p.isPunct(`\{`):
		if s := p.primary(); s.kind == set {
			return s.args
		}
		return []*node{p.fail("%s of a set", name)}
	case p.take("-"):
		return []*node{newNode(negative, p.postfix(p.primary()))}
	}
	if !p.startsOperand() {
		return []*node{p.fail("%s of nothing", name)}
	}
	arg := p.postfix(p.primary())
	for p.err == nil && p.startsOperand() && p.peek().kind != tCommand && p.peek().kind != tBegin && !p.isPunct("(") && !p.isPunct("[") &&
		!p.isPunct("|(") && !p.isPunct("|") {
		arg = newNode(product, arg, p.postfix(p.primary()))
	}
	return []*node{arg}
}
