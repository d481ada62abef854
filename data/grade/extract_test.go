package grade

import "testing"

var extractions = []struct{ text, want string }{
	{`so \boxed{42}.`, "42"},
	{`first \boxed{1}, no: \boxed{2}`, "2"},
	{`\boxed{\frac{1}{\sqrt{2}}}`, `\frac{1}{\sqrt{2}}`},
	{`\boxed{\{1,2\}}`, `\{1,2\}`},
	{`\fbox{7}`, "7"},
	{`$\boxed 9$`, "9"},
	{`\boxed{x=\boxed{3}}`, "x=3"},
	{`\boxed{2} and \boxed{3}`, "2, 3"},
	{`$x = \boxed{2}$ or $x = \boxed{3}$`, "2, 3"},
	{`we get \boxed{2}. Then, after more work, \boxed{3}`, "3"},
	{`\boxed{2} \boxed{3}`, "3"},
	{`\boxed{2}. \boxed{3}`, "3"},
	{`$\boxed{2} \quad \boxed{3}$`, "2, 3"},
	{`\boxed{5} but then \boxed{}`, "5"},
	{`$\boxed{12`, "12"},
	{"The answer is 7.", "7"},
	{"The answer is 3.5.", "3.5"},
	{"The final answer is $\\frac{1}{2}$. I hope it is correct.", `$\frac{1}{2}$`},
	{"**Final Answer**\n\nThe total is 12 apples.", "12 apples"},
	{"Final Answer: The largest $n$ is 34.", "34"},
	{"Answer: (B)", "(B)"},
	{"The answer is B. It follows from the above.", "B"},
	{"3 + 4 = 7\n#### 7", "7"},
	{"so there are 12 ways in all", "12 ways"},
	{"it weighs 1,234.5 kg", "1,234.5 kg"},
	{"so $x=1$ and hence $y=2$", "$y=2$"},
	{"the roots are $1$, $2$ and $3$", "$1$, $2$ and $3$"},
	{"it is 20% of them", "20%"},
	{`it is $20$\% of them`, `$20$\%`},
	{"<think>maybe 3? \\boxed{3}</think>The answer is 4.", "4"},
	{"<think>maybe 3? \\boxed{3}", ""},
	{"<think>maybe 3?</think>", ""},
	{`\\boxed{\\frac{1}{2}}`, `\frac{1}{2}`},
	{"Evelyn", "Evelyn"},
	{"x > 5", "x > 5"},
	{"28 percent", "28 percent"},
	{`\text{no solution}`, `\text{no solution}`},
	{"", ""},
	{"   ", ""},
	{"12 and 13<|im_end|>\n<|im_start|>user\nWhat is 7?", "12 and 13"},
	{"AZ2B is the code of it", ""},
	{"the value -5 is the least", "-5"},
	{"pages 10-12 are it", "10-12"},
}

func TestExtract(t *testing.T) {
	for _, c := range extractions {
		if got, ok := Extract(c.text); got != c.want || ok != (c.want != "") {
			t.Errorf("Extract(%q) = %q, %v; want %q", c.text, got, ok, c.want)
		}
	}
}
