package grade

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// hostile answers aim at each bound of limits.go.
func hostile() []string {
	r := strings.Repeat
	return []string{
		"10^{10^{10}}", "9^{9^{9^{9}}}", "2^{-10^{9}}", "(1/3)^{100000}", r("9", 4000), r("9", 5000), "1E4000", "1E-4000", "1E999999999",
		"0." + r("1", 4000),
		"1000!", "1001!", "(1000!)!", "3!!!!!!", "10000000000!", `\binom{1000}{500}`, `\binom{10^9}{10^8}`, `\prod_{k=1}^{1000} k`,
		`\sum_{k=1}^{10^{12}} k`,
		`\sum_{a=1}^{999}\sum_{b=1}^{999}\sum_{c=1}^{999} abc`, `\sum_{a=1}^{900} \sin(a)^{1/3}`, `\prod_{k=1}^{1000} 10^{k}`,
		r("(", 3000) + "x" + r(")", 3000), r("{", 60) + "x" + r("}", 60), r(`\frac{1}{`, 500) + "x" + r("}", 500),
		r(`\sqrt{`, 60) + "2" + r("}", 60), r("x^{", 60) + "2" + r("}", 60),
		r("|", 2000), r("-", 4000) + "1", r("1+", 1000) + "1", r("x+", 2000) + "x", r(`\sin`, 500) + " x", r(`\ln `, 60) + "10",
		r("1,", 2000) + "1", r(`\pm `, 1000) + "1", r(`1\pm `, 500) + "1",
		`\{` + r("1,", 255) + `1\}`, `\{` + r(`\sqrt{2}+x,`, 200) + `1\}`, r(`\begin{pmatrix}`, 1000),
		`\begin{pmatrix}` + r("1&", 200) + `1\end{pmatrix}`,
		r(`\begin{pmatrix}x&1\\1&x\end{pmatrix}`, 60), r(`\begin{pmatrix}x&1&2&3&4\\1&x&2&3&4\\1&x&2&3&4\\1&x&2&3&4\\1&x&2&3&4\end{pmatrix}`, 12),
		r(`\boxed{`, 10000), r(`\boxed{1} and `, 10000), r(`\boxed{1}`, 10000), r("the answer is ", 10000) + "7", r("$", 30001), r(`\(`, 20000),
		r("<think>", 10000), r("\\", 10001), r(`\text{`, 5000),
		r("1 ", 30000), r("x=", 1000) + "1", r("a<", 1000) + "b", r(`(1,2)\cup`, 500) + "(3,4)", r("(1,2),", 300) + "(3,4)", r("1:", 1000) + "1",
		r("2^", 1000) + "2", r("2^", 60) + "2",
		r(`\frac`, 1000), r("1", 4000) + "/" + r("7", 90), "\x00\xff", "\u0300", r("é", 2000), `\mod`, `5\mod 0`, `\log_1 5`, `\log_0 0`, "0^0",
		"0^{-1}", `\arcsin 2`, `\tan\frac{\pi}{2}`, `e^{e^{e^{e^e}}}`,
		`x^{10000}`, `(x+y)^{1000}`, `x^{x^{x^{x}}}`, `\sqrt[0]{5}`, `\sqrt[1000]{5}`, `1_1`, `9_2`, `\gcd(0,0)`, `\lcm()`, `\max()`,
		`\sum_{k=5}^{1} k`, `\lfloor 10^{300}\sqrt2 \rfloor`, "f(f(f(f(f(f(x))))))", r("f(", 60) + "x" + r(")", 60),
		`\lfloor (e^{-20000})^{60000} \rfloor`, `1+(e^{-20000})^{60000}`, `\sqrt{2}^{-60000}\cdot\sqrt{3}^{-60000}+1`,
		`((\sqrt{2}^{-60000})^{60000})^{60000}+\pi`, `\sin(\sqrt2^{-60000})`, r("1E4000/", 500) + "1", r("1E4000+", 500) + "1",
		`\sum_{k=1}^{1000} k^{-k}`, `\sum_{k=1}^{1000}\frac{1}{k^{99}+1}`,
		r(`\sum_{k=1}^{1000} `, 50) + "k", `\sin(10^{100})`, `\sin(10^{10})`, `i^{i^i}`, `\sqrt{-1}^{\sqrt{-1}}`, r("(x+1)", 300),
		r("(x+1)^{50}", 100),
	}
}

// TestHostile compares each with numbers, with a variable, with itself and with a near relation: nothing panics and nothing
// takes long. None is equal to 0.123, which none of them is.
func TestHostile(t *testing.T) {
	for _, s := range hostile() {
		for _, other := range []string{"0.123", "x", s + "+1", `\pm 1`, "(1,2)"} {
			start := time.Now()
			v := Equal(s, other)
			if took := time.Since(start); took > slow {
				t.Errorf("%.60q and %.60q took %v", s, other, took)
			}
			if other == "0.123" && v.Equal == Yes {
				t.Errorf("%.60q is equal to 0.123", s)
			}
		}
		if v := Equal("7", s); v.Equal == Yes && !strings.HasSuffix(s, "7") {
			t.Errorf("%.60q is equal to 7", s)
		}
		if v := Equal(s, s); v.Equal == No {
			t.Errorf("%.60q is different from itself: %s", s, v.Reason)
		}
	}
}

// A box inside of one without braces is a part of it.
func TestBoxInABox(t *testing.T) {
	for text, want := range map[string]string{`\boxed x=\boxed{5}`: "x=5", `So \boxed \boxed{5}`: "5", `\boxed 3 \boxed{5}`: "5"} {
		got, found := Extract(text)
		require.True(t, found)
		require.Equal(t, want, got, text)
	}
}

// Dashes behind an answer begin no remark where no word follows them.
func TestOnlyDashes(t *testing.T) {
	for _, dashes := range []string{" -- -", " ---  -", " - - -"} {
		answer, ok := Extract("The answer is 5" + dashes)
		require.True(t, ok)
		require.Equal(t, "5"+dashes, answer)
	}
}
