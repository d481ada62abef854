package grade

import (
	"fmt"
	"math"
	"math/cmplx"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestLayout: what only sets the type changes no decision.
func TestLayout(t *testing.T) {
	ways := map[string]func(string) string{
		"dollars":     func(s string) string { return "$" + s + "$" },
		"parentheses": func(s string) string { return `\(` + s + `\)` },
		"display":     func(s string) string { return `\[` + s + `\]` },
		"box":         func(s string) string { return `Hence \boxed{` + s + `}.` },
		"left right": strings.NewReplacer(`\left`, `\left`, `\langle`, `\left\langle`, `\rangle`, `\right\rangle`, "(", `\left(`, ")",
			`\right)`).Replace,
		"dfrac":     strings.NewReplacer(`\frac`, `\dfrac`, `\tfrac`, `\frac`).Replace,
		"space":     func(s string) string { return "  " + s + " " },
		"style":     func(s string) string { return `\displaystyle ` + s },
		"full stop": func(s string) string { return s + "." },
	}
	for name, way := range ways {
		for _, c := range cases {
			text := strings.ContainsAny(c.gold+c.pred, "$") || strings.Contains(c.gold+c.pred, `\left`) ||
				strings.Contains(c.gold+c.pred, "inputs") || c.gold == "" || c.pred == ""
			letter := soleChoice.MatchString(plainText(c.gold))
			if text || letter && (name == "left right" || name == "full stop") {
				continue
			}
			if v := Equal(c.gold, way(c.pred)); v.Equal != c.want {
				t.Errorf("%s: Equal(%q, %q) = %v (%s), want %v", name, c.gold, way(c.pred), v.Equal, v.Reason, c.want)
			}
			if v := Equal(way(c.gold), c.pred); v.Equal != c.want {
				t.Errorf("%s: Equal(%q, %q) = %v (%s), want %v", name, way(c.gold), c.pred, v.Equal, v.Reason, c.want)
			}
		}
	}
}

// TestSymmetry: the order matters only where one side may say less than the other: rounded decimals, the text behind a choice
// letter, a sum of names for its value, what cannot be read, and code.
func TestSymmetry(t *testing.T) {
	asymmetric := map[[2]string]bool{{"B", "(B) 12"}: true, {"B", "B. 12"}: true, {"5", "m+n=5"}: true, {"x+y=1", "1"}: true,
		{`2\pi`, "6.28"}: true, {"3", "((3"}: true, {"", "3"}: true, {"3", ""}: true, {"1", "1/0"}: true,
		{"12", "1 2"}: true, {"360", `12\text{ hours }30\text{ minutes}`}: true}
	for _, c := range cases {
		if strings.Contains(c.gold+c.pred, ".") || asymmetric[[2]string{c.gold, c.pred}] || strings.Contains(c.gold, "inputs") {
			continue
		}
		if v := Equal(c.pred, c.gold); v.Equal != c.want {
			t.Errorf("Equal(%q, %q) = %v (%s), but %v in the other order", c.pred, c.gold, v.Equal, v.Reason, c.want)
		}
	}
}

// TestReflexive: every answer equals itself.
func TestReflexive(t *testing.T) {
	for _, c := range cases {
		for _, s := range []string{c.gold, c.pred} {
			if s != "" && !strings.Contains(s, "inputs") && Equal(s, s).Equal != Yes {
				t.Errorf("%q is not equal to itself", s)
			}
		}
	}
}

// random expressions, written in two ways, with their values by complex128.
type written struct {
	a, b  string
	value func(x, y float64) complex128
}

func randomExpression(r *rand.Rand, depth int) written {
	if depth == 0 {
		switch r.IntN(5) {
		case 0:
			return written{"x", "{x}", func(x, _ float64) complex128 { return complex(x, 0) }}
		case 1:
			return written{"y", `\left(y\right)`, func(_, y float64) complex128 { return complex(y, 0) }}
		case 2:
			return written{`\pi`, `{\pi}`, func(_, _ float64) complex128 { return math.Pi }}
		}
		n := r.IntN(9) + 1
		return written{fmt.Sprint(n), fmt.Sprintf(`\frac{%d}{2}`, 2*n), func(_, _ float64) complex128 { return complex(float64(n), 0) }}
	}
	p, q := randomExpression(r, depth-1), randomExpression(r, depth-1)
	switch r.IntN(9) {
	case 0:
		return written{p.a + "+" + q.a, "{" + q.b + "}+{" + p.b + "}", func(x, y float64) complex128 { return p.value(x, y) + q.value(x, y) }}
	case 1:
		return written{p.a + "-(" + q.a + ")", `-\left(` + q.b + `\right)+` + p.b,
			func(x, y float64) complex128 { return p.value(x, y) - q.value(x, y) }}
	case 2:
		return written{"(" + p.a + ")(" + q.a + ")", "{(" + q.b + `)}\cdot[` + p.b + "]",
			func(x, y float64) complex128 { return p.value(x, y) * q.value(x, y) }}
	case 3:
		return written{`\frac{` + p.a + "}{" + q.a + "}", "(" + p.b + ")/(" + q.b + ")",
			func(x, y float64) complex128 { return p.value(x, y) / q.value(x, y) }}
	case 4:
		return written{"(" + p.a + ")^2", "(" + p.b + `)\times(` + p.b + ")",
			func(x, y float64) complex128 { return p.value(x, y) * p.value(x, y) }}
	case 5:
		return written{`\sin(` + p.a + ")", `\cos\left(\frac{\pi}{2}-(` + p.b + `)\right)`,
			func(x, y float64) complex128 { return cmplx.Sin(p.value(x, y)) }}
	case 6:
		return written{`\sqrt{(` + p.a + ")^2+1}", `((` + p.b + `)^2+1)^{\frac12}`,
			func(x, y float64) complex128 { return cmplx.Sqrt(p.value(x, y)*p.value(x, y) + 1) }}
	case 7:
		return written{`\ln((` + p.a + ")^2+1)", `\frac{\log(1+(` + p.b + `)^2)}{\log e}`,
			func(x, y float64) complex128 { return cmplx.Log(p.value(x, y)*p.value(x, y) + 1) }}
	}
	return written{`\arctan(` + p.a + ")", `\tan^{-1}(` + p.b + ")", func(x, y float64) complex128 { return cmplx.Atan(p.value(x, y)) }}
}

// TestRandomExpressions: two spellings are equal; two expressions are equal only if complex128 finds them so at other points.
func TestRandomExpressions(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	different := 0
	for range 200 {
		p, q := randomExpression(r, 1+r.IntN(3)), randomExpression(r, 1+r.IntN(2))
		if v := Equal(p.a, p.b); v.Equal == No || v.Equal == Undecided && finite(p) {
			t.Errorf("Equal(%q, %q) = %v (%s)", p.a, p.b, v.Equal, v.Reason)
		}
		v, w := Equal(p.a, q.b), Equal(q.b, p.a)
		if v.Equal != w.Equal && finite(p) && finite(q) {
			t.Errorf("%q and %q: %v (%s), %v (%s)", p.a, q.b, v.Equal, v.Reason, w.Equal, w.Reason)
		}
		near := true
		for _, at := range [][2]float64{{0.7, 1.9}, {2.3, 0.4}, {1.1, 3.7}} {
			a, b := p.value(at[0], at[1]), q.value(at[0], at[1])
			near = near && cmplx.Abs(a-b) <= 1e-9*max(1, cmplx.Abs(a))
		}
		switch {
		case v.Equal == Yes && !near && finite(p) && finite(q):
			t.Errorf("Equal(%q, %q) = yes, but they differ", p.a, q.b)
		case v.Equal == No && near && finite(p):
			t.Errorf("Equal(%q, %q) = no (%s), but they agree", p.a, q.b, v.Reason)
		}
		if !near {
			different++
		}
	}
	if different < 150 {
		t.Errorf("%d different pairs are too few", different)
	}
}

func finite(w written) bool {
	for _, at := range [][2]float64{{0.7, 1.9}, {2.3, 0.4}, {-1.1, 3.7}, {-2, -3}} {
		if v := w.value(at[0], at[1]); cmplx.IsNaN(v) || cmplx.IsInf(v) || cmplx.Abs(v) > 1e12 {
			return false
		}
	}
	return true
}

// TestNearNumbers: numbers that differ in one digit are different, however long they are.
func TestNearNumbers(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		digits := make([]byte, 1+r.IntN(60))
		for i := range digits {
			digits[i] = byte('1' + r.IntN(8))
		}
		other := append([]byte{}, digits...)
		other[r.IntN(len(other))]++
		for _, form := range []string{"%s", "-%s", `\frac{%s}{7}`, `\sqrt{%s}`, `%s\pi`, `x^2+%s`, "(%s, 1)", `[0,%s)`, `\{%s\}`, `x=%s`, `x>%s`,
			`\begin{pmatrix}%s\\1\end{pmatrix}`, `%s\%%`, `%s\text{ cm}`, `\pm %s`} {
			a, b := fmt.Sprintf(form, digits), fmt.Sprintf(form, other)
			if v := Equal(a, b); v.Equal != No {
				t.Fatalf("Equal(%q, %q) = %v (%s)", a, b, v.Equal, v.Reason)
			}
		}
	}
}
