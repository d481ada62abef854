package grade

import (
	"errors"
	"maps"
	"math/big"
	"strings"
)

var errNotNumeric = errors.New("not a number")

// costly is what a transcendental function costs, in operations.
const costly = 40

// evaluator computes expressions. Its work is bounded over all that one comparison evaluates.
type evaluator struct {
	constants
	work      int
	point     map[string]value // the variables
	leftReals bool             // an even root or a logarithm of a negative number was taken
}

func (e *evaluator) spend(n int) error {
	if e.work += n; e.work > maxWork {
		return errBound
	}
	return nil
}

// eval computes n at the point.
func (e *evaluator) eval(n *node) (value, error) {
	if err := e.spend(1); err != nil {
		return value{}, err
	}
	switch n.kind {
	case number:
		return bounded(n.value)
	case symbol:
		return e.symbol(n.name)
	case sum, product:
		return e.fold(n)
	case series:
		return e.series(n)
	case words, opaque, relation, list, set, setWhere, setOp, tuple, matrix, signs, ratio:
		return value{}, errNotNumeric
	}
	args := make([]value, len(n.args))
	for i, a := range n.args {
		var err error
		if args[i], err = e.eval(a); err != nil {
			return value{}, err
		}
	}
	switch n.kind {
	case negative:
		return minus(args[0]), nil
	case quotient:
		return over(args[0], args[1])
	case power:
		if n.args[0].is(symbol, "e") {
			if err := e.spend(costly); err != nil {
				return value{}, err
			}
			return e.exp(args[1])
		}
		return e.raise(args[0], args[1])
	case percent:
		return over(args[0], fromInt(100))
	case degree:
		v, err := times(args[0], inexact(e.piOf(), float()))
		if err != nil {
			return v, err
		}
		return over(v, fromInt(180))
	case unit:
		p := readUnits(n.name)
		if !sameWords(p.words, nil) {
			return value{}, errNotNumeric
		}
		return times(args[0], exact(p.scale))
	case applied:
		return e.applied(n.name, args[0])
	case function:
		return e.function(n.name, args)
	}
	return value{}, errNotNumeric
}

func (e *evaluator) symbol(name string) (value, error) {
	if v, ok := e.point[name]; ok {
		return v, nil
	}
	switch name {
	case `\pi`:
		return inexact(e.piOf(), float()), nil
	case "e":
		return e.exp(fromInt(1))
	case "i":
		return inexact(float(), small(1)), nil
	}
	return value{}, errNotNumeric
}

func (e *evaluator) fold(n *node) (value, error) {
	total, op := fromInt(0), plus
	if n.kind == product {
		total, op = fromInt(1), times
	}
	for _, a := range n.args {
		v, err := e.eval(a)
		if err == nil {
			total, err = op(total, v)
		}
		if err != nil {
			return value{}, err
		}
	}
	return total, nil
}

// series adds or multiplies the terms one by one. A symbol whose subscript names the variable would be another one in each
// term, so such a series has no value.
func (e *evaluator) series(n *node) (value, error) {
	variable := n.args[0].name
	if n.args[3].any(func(m *node) bool {
		return m.kind == symbol && strings.Contains(m.name, "_") && strings.Contains(m.name[strings.Index(m.name, "_"):], variable)
	}) {
		return value{}, errNotNumeric
	}
	from, err := e.integer(n.args[1])
	if err != nil {
		return value{}, err
	}
	to, err := e.integer(n.args[2])
	if err != nil {
		return value{}, err
	}
	if to-from >= maxTerms {
		return value{}, errBound
	}
	before, inner := e.point, map[string]value{}
	maps.Copy(inner, before)
	e.point = inner
	defer func() { e.point = before }()
	total, op := fromInt(0), plus
	if n.name == "prod" {
		total, op = fromInt(1), times
	}
	for k := from; k <= to; k++ {
		inner[variable] = fromInt(k)
		v, err := e.eval(n.args[3])
		if err == nil {
			total, err = op(total, v)
		}
		if err != nil {
			return value{}, err
		}
	}
	return total, nil
}

func (e *evaluator) integer(n *node) (int64, error) {
	v, err := e.eval(n)
	if err != nil {
		return 0, err
	}
	if v.rat == nil || !v.rat.IsInt() || !v.rat.Num().IsInt64() || v.rat.Num().BitLen() > 40 {
		return 0, errNotNumeric
	}
	return v.rat.Num().Int64(), nil
}

// applied gives an unknown function a value: that of a polynomial whose coefficients depend on the name, which satisfies no
// identity that the function itself need not satisfy.
func (e *evaluator) applied(name string, x value) (value, error) {
	h := hash(name)
	total := fromInt(int64(h%89) + 2)
	for k := range 5 {
		next, err := times(total, x)
		if err == nil {
			total, err = plus(next, exact(big.NewRat(int64(h>>(7*k)%83)+1, 7)))
		}
		if err != nil {
			return value{}, err
		}
	}
	return total, nil
}

// hash is 64-bit FNV-1a.
func hash(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}
