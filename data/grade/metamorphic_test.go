package grade

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// answerForms are answers of every kind; %d are numbers, all of which matter.
var answerForms = []string{
	"%d", "-%d", "%d.25", `\frac{%d}{97}`, "%d/89", `%d\frac{1}{7}`, `%d\sqrt{%d}`, `\sqrt{%d}`, `%d\pi`, `\frac{%d\pi}{%d}`, "%d^{1/3}",
	`%d\%%`, `\$%d`, `%d^\circ`, `%d\text{ cm}`, `%d\text{ dollars}`, `%d\text{ million}`,
	`%d\text{ hours } %d\text{ minutes}`, "%d:%d:100003", "(%d, %d)", "(%d, %d, %d)", "[%d, 100000]", `(-\infty, %d)`, `[%d, \infty)`,
	`(-\infty, -%d) \cup (%d, \infty)`, `\{%d, 100001, 100002\}`, "%d, 100003", `%d \text{ and } 100004`, `x=%d`, `x=%d, y=%d`,
	`x > %d`, `%d x + %d`, `x^2 + %d x + %d`, `y = %d x + 5`, `\frac{x + %d}{x - %d}`, `e^{%d x}`, `\ln(%d x + 1)`, `\sin(%d x)`,
	`%d + %d i`, `\begin{pmatrix} %d & 2 \\ 3 & %d \end{pmatrix}`, `\pm %d`, `%d \pm \sqrt{%d}`,
	`%d \cdot 10^{%d}`, `x \le %d`, `\binom{n}{2} + %d`, `f(x) = %d x`, `|x| + %d`, `\text{Team }%d`, `%d\text{ remainder }%d`,
	`\text{at least }%d`, `x \equiv %d \pmod{100003}`, `\langle %d, %d \rangle`, `%d \text{ m}^2`,
}

// presentations are texts that end with an answer.
var presentations = []func(string) string{
	func(s string) string { return `\boxed{` + s + "}" },
	func(s string) string { return "Some work with 3 and 4.\n\nThus $\\boxed{" + s + "}$." },
	func(s string) string { return "<think>perhaps 7</think>\n<answer>" + s + "</answer>" },
	func(s string) string { return "The answer is $" + s + "$ because $2+2=4$." },
	func(s string) string { return "The answer is \\(" + s + "\\), since there are 3 cases." },
	func(s string) string { return "**Final Answer**\n\n\\[ " + s + " \\]" },
	func(s string) string { return "Hence we obtain $" + s + "$." },
}

// spellings write an answer in another way.
var spellings = []func(string) string{
	func(s string) string { return s },
	func(s string) string { return strings.ReplaceAll(s, `\frac`, `\dfrac`) },
	func(s string) string { return strings.ReplaceAll(s, " ", `\, `) },
	func(s string) string { return strings.NewReplacer("(", `\left(`, ")", `\right)`).Replace(s) },
	func(s string) string { return strings.ReplaceAll(s, "-", "−") },
	func(s string) string { return strings.NewReplacer(`\pi`, "π", `\cdot`, "·", `\le`, "≤").Replace(s) },
	func(s string) string { return fullWidth.Replace(s) },
	func(s string) string { return strings.ReplaceAll(s, "100000", "100{,}000") },
	func(s string) string { return " " + s + " " },
}

var fullWidth = strings.NewReplacer("(", "（", ")", "）", "=", "＝", ",", "，", "1", "１", "7", "７")

// fill writes numbers into a form.
func fill(form string, numbers []int) string {
	args := make([]any, len(numbers))
	for i, n := range numbers {
		args[i] = n
	}
	return fmt.Sprintf(form, args...)
}

// TestMetamorphic: an answer equals itself however it is presented, in both orders, and never one in which a number was changed.
// GOPRM_GRADE_PAIRS sets the number of pairs.
func TestMetamorphic(t *testing.T) {
	pairs := 20_000
	if s := os.Getenv("GOPRM_GRADE_PAIRS"); s != "" {
		var err error
		if pairs, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	r := rand.New(rand.NewPCG(7, 11))
	failed := 0
	for range pairs / 5 {
		form := answerForms[r.IntN(len(answerForms))]
		numbers := make([]int, strings.Count(form, "%d"))
		for i := range numbers {
			numbers[i] = 2 + r.IntN(57)
		}
		answer := fill(form, numbers)
		changed := append([]int(nil), numbers...)
		changed[r.IntN(len(changed))] += 1 + r.IntN(40)
		other := fill(form, changed)
		present, spell := presentations[r.IntN(len(presentations))], spellings[r.IntN(len(spellings))]
		start := time.Now()
		for _, pair := range [][2]string{{answer, spell(answer)}, {answer, present(spell(answer))}, {spell(answer), answer}} {
			if v := Equal(pair[0], pair[1]); v.Equal != Yes {
				t.Errorf("Equal(%q, %q) = %v (%s)", pair[0], pair[1], v.Equal, v.Reason)
				failed++
			}
		}
		for _, pair := range [][2]string{{answer, present(spell(other))}, {spell(other), answer}} {
			if v := Equal(pair[0], pair[1]); v.Equal == Yes {
				t.Errorf("Equal(%q, %q) = yes", pair[0], pair[1])
				failed++
			}
		}
		if took := time.Since(start); took > slow {
			t.Errorf("%q took %v", answer, took)
		}
		if failed > 30 {
			return
		}
	}
}
