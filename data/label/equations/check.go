package equations

import (
	"math"
	"math/big"
	"slices"
	"strings"

	"github.com/goprm/goprm/internal/rng"
)

// Claim is one equation that a step states and that could be checked.
type Claim struct {
	Text  string `json:"claim"`
	Holds bool   `json:"holds"`
}

// maxStep bounds the text that is looked at; longer steps are no statement of arithmetic.
const maxStep = 64 << 10

// Check returns the equations of the step that could be checked.
func Check(problem, step string) []Claim {
	if len(step) > maxStep {
		return nil
	}
	var claims []Claim
	doubted := hedged(step) || unusual(problem)
	for _, s := range find(step) {
		sides := make([]*expression, len(s.sides))
		for i, side := range s.sides {
			if e, err := parse(side.tokens, s.latex); err == nil {
				sides[i] = e
			}
		}
		for i := 1; i < len(sides); i++ {
			a, b := sides[i-1], sides[i]
			if a == nil || b == nil {
				continue
			}
			p := pair{a, b, s, s.sides[i-1], s.sides[i], s.about[i-1]}
			switch p.verdict() {
			case holds:
				claims = append(claims, Claim{p.text(), true})
			case fails:
				if !doubted && s.doubt == "" {
					claims = append(claims, Claim{p.text(), false})
				}
			}
		}
	}
	return claims
}

// hedged tells whether the step may state something that it does not hold true.
func hedged(step string) bool {
	if strings.Contains(step, "?") {
		return true
	}
	for w := range strings.FieldsFuncSeq(strings.ToLower(step), func(r rune) bool { return (r < 'a' || r > 'z') && r != '\'' }) {
		if hedges[w] {
			return true
		}
	}
	return false
}

// unusual tells whether the signs may mean something else in this problem: other bases, clocks, operations of its own.
func unusual(problem string) bool {
	p := strings.ToLower(problem)
	for _, sign := range []string{"base ", "mod", "operation", "binary", "define", "clock", "\\star", "remainder", "_{", "digit"} {
		if strings.Contains(p, sign) {
			return true
		}
	}
	return false
}

type verdict uint8

const (
	unchecked verdict = iota
	holds
	fails
)

// pair is one equation.
type pair struct {
	a, b      *expression
	statement statement
	left      side
	right     side
	about     bool
}

func (p pair) text() string {
	if p.about {
		return p.left.text + " ≈ " + p.right.text
	}
	return p.left.text + " = " + p.right.text
}

func (p pair) verdict() verdict {
	if p.a.operators+p.b.operators == 0 && p.a.percent == p.b.percent || sameTokens(p.left.tokens, p.right.tokens) {
		return unchecked // two literals state nothing that could be computed
	}
	if len(p.a.variables)+len(p.b.variables) > 0 {
		if !p.about && p.identical() {
			return holds
		}
		return unchecked // an equation to be solved, a definition, or an error: nothing tells
	}
	x, err := p.a.eval(nil)
	if err != nil {
		return unchecked
	}
	y, err := p.b.eval(nil)
	if err != nil {
		return unchecked
	}
	switch equal, known := compare(x, y); {
	case equal:
		return holds
	case !known:
		return unchecked
	}
	if rounded(p.a, x, y) || rounded(p.b, y, x) {
		return holds
	}
	if p.doubtful(x, y) {
		return unchecked
	}
	return fails
}

// rounded tells whether the literal with value x is the exact value rounded to the places that it is written with.
func rounded(literal *expression, x, exact value) bool {
	return literal.operators == 0 && literal.decimals > 0 && math.Abs(x.float-exact.float) <= 0.5*place(literal)*(1+1e-9)
}

func place(literal *expression) float64 {
	unit := math.Pow10(-literal.decimals)
	if literal.percent {
		unit /= 100
	}
	return unit
}

// conversions are the factors between units of time, length, money, weight and numbers.
var conversions = []float64{60, 3600, 24, 1440, 86400, 7, 365, 52, 30, 12, 3, 36, 16, 4, 2, 8, 5280, 1760, 20, 25, 10, 1e2, 1e3, 1e4, 1e6}

// doubtful tells whether two values that differ may still be meant as equal.
func (p pair) doubtful(x, y value) bool {
	if p.about || p.a.unsure || p.b.unsure {
		return true
	}
	gap := math.Abs(x.float - y.float)
	for _, literal := range []*expression{p.a, p.b} {
		if literal.operators == 0 && gap < place(literal) {
			return true // cut off, or rounded up
		}
	}
	scale := math.Max(math.Abs(x.float), math.Abs(y.float))
	if (p.a.inDecimals || p.b.inDecimals || x.rat == nil || y.rat == nil) && gap < 0.02*scale {
		return true // computed on with rounded numbers
	}
	ratio := scale / math.Min(math.Abs(x.float), math.Abs(y.float))
	is := func(factor float64) bool { return math.Abs(ratio/factor-1) < 1e-9 }
	if is(100) {
		return true // per cent
	}
	left, right := unique(p.a.units), unique(p.b.units)
	if len(left)+len(right) > 0 || p.right.counted {
		if slices.ContainsFunc(conversions, is) {
			return true
		}
	}
	switch {
	case len(left) > 0 && len(right) > 0 && !slices.Equal(left, right):
		return true // 360° = 2π radians
	case slices.Contains(left, "°") != slices.Contains(right, "°"):
		return true
	case len(left) > 1 && p.a.sum || len(right) > 1 && p.b.sum:
		return true // 1 hour + 30 minutes
	}
	// "Day 1 - 3 * 4 = 12": the formula may begin later than it was taken to.
	if !p.statement.latex {
		for i := 1; i < len(p.left.tokens); i++ {
			e, err := parse(p.left.tokens[i:], false)
			if err != nil || p.left.tokens[i].kind == plus {
				continue
			}
			if v, err := e.eval(nil); err == nil {
				if equal, _ := compare(v, y); equal || rounded(p.b, y, v) {
					return true
				}
			}
		}
	}
	return false
}

func unique(units []string) []string {
	units = slices.Clone(units)
	slices.Sort(units)
	return slices.Compact(units)
}

func sameTokens(a, b []token) bool {
	return slices.EqualFunc(a, b, func(a, b token) bool { return a.kind == b.kind && a.text == b.text })
}

// identical tells whether the two sides agree wherever they are looked at: at least at three of six rational points. Two
// different polynomials of the sizes met here do not.
func (p pair) identical() bool {
	random := rng.New(1, "points")
	defined := 0
	for point := range uint64(6) {
		at := map[string]value{}
		n := uint64(0)
		for _, variables := range []map[string]bool{p.a.variables, p.b.variables} {
			names := make([]string, 0, len(variables))
			for v := range variables {
				names = append(names, v)
			}
			slices.Sort(names)
			for _, v := range names {
				if _, ok := at[v]; !ok {
					at[v], _ = exact(big.NewRat(int64(random.Uint64(64*point+2*n)%997)+2, int64(random.Uint64(64*point+2*n+1)%31)+1))
					n++
				}
			}
		}
		x, err := p.a.eval(at)
		if err != nil {
			continue
		}
		y, err := p.b.eval(at)
		if err != nil {
			continue
		}
		if equal, _ := compare(x, y); !equal {
			return false
		}
		defined++
	}
	return defined >= 3
}
