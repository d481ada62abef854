package equations

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goprm/goprm/data/label"
	"github.com/goprm/goprm/internal/shareddata"
)

// Each case was decided by hand: + the step states something true, - something false, 0 nothing that can be checked.
var cases = []struct{ want, step string }{
	// Plain text.
	{"+", "She earns 5*3=15 dollars."}, {"+", "So 60 * 7 = 420 seconds in 7 minutes"}, {"-", "So 60 * 7 = 410 seconds in 7 minutes"},
	{"+", "$5 x 4 = $20"}, {"-", "$5 x 4 = $25"}, {"+", "It is 20% of 50 = 10 apples"}, {"-", "It is 20% of 50 = 15 apples"},
	{"+", "1/2 of 50 = 25"},
	{"+", "1,200 + 300 = 1,500"}, {"-", "1,200 + 300 = 1,600"}, {"+", "2**3 = 8"}, {"+", "**3 + 4 = 7**"}, {"+", "7/2 = 3 1/2"},
	{"+", "(since 3 * 4 = 12)"},
	{"+", "5 miles * 3 = 15 miles"}, {"+", "10 − 3 = 7 and 3 × 4 ÷ 6 = 2"}, {"+", "2) 3 + 4 = 7"}, {"+", "1. 3 + 4 = 7"},
	{"+", "- 3 + 4 = 7"}, {"+", "-3 + 5 = 2"},
	{"+", "17/3 = 5.67"}, {"0", "17/3 = 5.66"}, {"0", "17/3 = 6"}, {"-", "17/3 = 4"}, {"+", "3² + 4² = 25"}, {"+", "a total of 12 + 5 = 17"},
	{"+", "5! = 120"},
	{"-", "12 / 4 = 3 = 5 - 1"}, {"+", "x = 3 + 4 = 7"}, {"-", "x = 3 + 4 = 8"}, {"+", "3 + 4 = 7 so 7 * 2 = 14"},
	{"-", "3 + 4 = 7 so 7 * 2 = 15"}, {"+", "15 miles/hour * 3 = 45"}, {"+", "4 * 15 = 60 miles/hour"},
	// What a careless reader takes for arithmetic.
	{"0", "2x + 3 = 7"}, {"0", "x - 3 = 7"}, {"0", "x3 = 7"}, {"0", "log base 2 of 8 = 3"}, {"0", "square root of 9 + 7 = 4"},
	{"0", "17 / 5 = 3 remainder 2"},
	{"0", "1 hour = 60 minutes"}, {"0", "3 feet = 36 inches"}, {"0", "1 hour + 30 minutes = 90 minutes"}, {"0", "2 * 30 = 1 hour"},
	{"0", "3/4 = 75"}, {"+", "3/4 = 75%"},
	{"0", "0.9 + 0.09 + ... = 1"}, {"0", "1 + 2 + ... + 10 = 55"}, {"0", "Day 1 - 3 * 4 = 12"}, {"0", "5 choose 3 = 10"}, {"0", "3 + 4 != 8"},
	{"0", "3 + 4 == 8"},
	{"0", "Is 3 * 5 = 16?"}, {"0", "3 * 5 = 16 is impossible"}, {"0", "Suppose 1 + 1 = 3"}, {"0", "5 * 200000 = 1 million"},
	{"0", "1st - 5 = 6th"}, {"0", "12 = 3"},
	{"0", "3 * 4 = 15 - x"}, {"0", "3 * 4 = 5y"}, {"0", "234_5 + 1 = 70"}, {"0", "f(2) = 5"}, {"0", "no sums here"}, {"0", "5 + 3 >= 9"},
	{"0", "1/0 = 5"}, {"0", "="}, {"0", "3 + = 4"},
	// Formulas.
	{"+", `So, $3 \cdot 4 = 12$.`}, {"-", `So, $3 \cdot 4 = 13$.`}, {"+", `\(1/3 \times 18 = 6\)`},
	{"+", `\[ \frac{1}{2} + \frac{1}{3} = \frac{5}{6} \]`},
	{"-", `\[ \frac{1}{2} + \frac{1}{3} = \frac{2}{5} \]`}, {"+", `$\frac12 + \frac{1}2 = 1$`}, {"+", `$\sqrt{16} + \sqrt[3]{27} = 7$`},
	{"+", `$\sqrt{50} = 5\sqrt{2}$`},
	{"-", `$\sqrt{50} = 2\sqrt{5}$`}, {"+", `$\binom{5}{2} = 10$`}, {"+", `$2^{10} = 1024$`}, {"+", `$2^10 = 1024$`}, {"0", `$2^10 = 20$`},
	{"+", `$25\% \cdot 80 = 20$`},
	{"+", `$180^\circ - 60^\circ = 120^{\circ}$`}, {"0", `$360^\circ = 2\pi\text{ radians}$`},
	{"+", `$60 \text{ s/min} \times 7 \text{ min} = 420 \text{ s}$`},
	{"+", `$10{,}000 + 1 = 10,001$`}, {"0", `$2\frac{1}{2} = 2.5$`}, {"+", `$6 \div 2 = 3$ and $\left(1+2\right)^2 = 9$`},
	{"+", `$4\pi \cdot 3 = 12\pi$`}, {"+", `$2^{-1} = 0.5$`}, {"+", `$8^{2/3} = 4$`}, {"+", `$\dfrac{10}{4} \approx 2.5$`},
	{"0", `$\frac{10}{3} \approx 4$`},
	{"+", "\\begin{align*} 3 + 4 &= 7 \\\\ &= 14/2 \\end{align*}"},
	// Identities.
	{"+", `$(x+1)^2 = x^2 + 2x + 1$`}, {"0", `$(x+1)^2 = x^2 + 2x + 2$`}, {"+", `$\frac{x^2-1}{x-1} = x+1$`}, {"0", `$2x + 3 = 7$`},
	{"+", `$a_1 b + a_1 c = a_1(b+c)$`},
	{"0", `$x = x$`}, {"0", `$f(x) = f x$`}, {"+", `$y = 3(x-2) = 3x - 6$`}, {"0", `$x_1 = x_2$`},
}

func verdictOf(claims []Claim) string {
	switch {
	case len(claims) == 0:
		return "0"
	case slices.ContainsFunc(claims, func(c Claim) bool { return !c.Holds }):
		return "-"
	}
	return "+"
}

func TestCheckByHand(t *testing.T) {
	for _, c := range cases {
		if claims := Check("", c.step); verdictOf(claims) != c.want {
			t.Errorf("%q: %s %v, want %s", c.step, verdictOf(claims), claims, c.want)
		}
	}
	if claims := Check("What is 3 + 4 in base 5?", "3 + 4 = 12"); len(claims) != 0 {
		t.Errorf("another base: %v", claims)
	}
}

func TestJudge(t *testing.T) {
	c := &label.Case{Thinking: []string{"3 + 4 = 7", "3 + 4 = 8", "hm", "1 + 1 = 2, 1 + 2 = 4"}}
	verdicts, err := Judge{}.Judge(context.Background(), c, []int{3, 2, 0, 1})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []label.Verdict{{Score: 0}, {Unchecked: "nothing to check"}, {Score: 1}, {Score: 0}} {
		if got := verdicts[i]; got.Score != want.Score || got.Unchecked != want.Unchecked {
			t.Errorf("verdict %d: %+v, want %+v", i, got, want)
		}
	}
	if raw := string(verdicts[0].Raw[1]); raw != `{"claim":"1 + 2 = 4","holds":false}` {
		t.Errorf("raw answer %s", raw)
	}
}

// Hostile texts end soon, without a panic and without an opinion.
func TestCheckHostile(t *testing.T) {
	for name, step := range map[string]string{
		"brackets": strings.Repeat("(", 20000) + "1=1" + strings.Repeat(")", 20000), "braces": "$" + strings.Repeat("{", 20000) + "=1$",
		"tower": "$9^{9^{9^{9^{9}}}} = 1$", "factorials": "200!!!! = 3", "large power": "10^999999999 = 2 * 5",
		"digits":  strings.Repeat("9", 30000) + " + 1 = 2",
		"dollars": strings.Repeat("$ ", 20000), "fractions": "$" + strings.Repeat(`\frac`, 10000) + "=1+1$",
		"minus":  strings.Repeat("-", 30000) + "1 = 2",
		"equals": strings.Repeat("1+1=", 15000), "backslash": `3 + 4 = 7\`, "surrogates": "\xff\xfe = \xff + 3",
		"signs": strings.Repeat("\\(", 20000), "many dollars": strings.Repeat("$x", 20000),
		"roots":   "$" + strings.Repeat(`\sqrt{`, 5000) + "2" + strings.Repeat("}", 5000) + "=3+1$",
		"product": "$" + strings.Repeat("x", 20000) + "= y+1$",
	} {
		for _, c := range Check("", step) {
			if !c.Holds {
				t.Errorf("%s: %v", name, c)
			}
		}
	}
}

// On PRM800K's ratings and ProcessBench's first errors. The bounds stand just beside what was measured, so that a change
// that raises false alarms fails here: 709 steps were found false, of which 633 had been rated bad, 60 neutral and 16 good;
// most of the 16 state false arithmetic.
func TestCheckAgainstRatings(t *testing.T) {
	dir := filepath.Join(shareddata.Dir(t), "data", "steps")
	falseBy, checkedBy, steps := map[int]int{}, 0, 0
	f, err := os.Open(filepath.Join(dir, "prm800k", "phase1_train_plus_steps.jsonl.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(z); lines.Scan(); {
		var r struct {
			Instruction string
			Next        string `json:"next_response"`
			Rating      *int
		}
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		if r.Rating == nil {
			continue
		}
		steps++
		v := verdictOf(Check(r.Instruction, r.Next))
		if v != "0" {
			checkedBy++
		}
		if v == "-" {
			falseBy[*r.Rating]++
		}
	}
	t.Logf("PRM800K: %d steps, %d checked, found false by rating: %v", steps, checkedBy, falseBy)
	if falseBy[-1] < 600 || falseBy[0] > 65 || falseBy[1] > 20 {
		t.Errorf("PRM800K: found false by rating: %v", falseBy)
	}
	for name, limit := range map[string]struct{ caught, alarms int }{"gsm8k": {11, 1}, "math": {36, 3}} {
		text, err := os.ReadFile(filepath.Join(dir, "processbench", name+".jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		good, checked, caught, alarms := 0, 0, 0, 0
		for line := range strings.Lines(string(text)) {
			var r struct {
				Problem string
				Steps   []string
				Label   int
			}
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				t.Fatal(err)
			}
			for i, step := range r.Steps {
				if r.Label >= 0 && i > r.Label {
					break // nobody rated what follows the first error
				}
				v := verdictOf(Check(r.Problem, step))
				good++
				if v != "0" {
					checked++
				}
				switch {
				case v == "-" && i == r.Label:
					caught++
				case v == "-":
					alarms++
				}
			}
		}
		t.Logf("ProcessBench %s: %d steps, %d checked, %d first errors found, %d false alarms", name, good, checked, caught, alarms)
		if caught < limit.caught || alarms > limit.alarms {
			t.Errorf("ProcessBench %s: %d first errors found, %d false alarms", name, caught, alarms)
		}
	}
}
