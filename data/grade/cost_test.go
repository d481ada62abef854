package grade

import (
	"strings"
	"testing"
	"time"
)

// TestCostIsLinear: a megabyte of any shape takes far less than a second, however it is built. The bound is twenty times what an
// idle machine is allowed (50 ms), so that a busy one does not fail.
func TestCostIsLinear(t *testing.T) {
	for _, unit := range []string{
		"x ", "1 ", "the answer is ", "the answer is 5. ", `\boxed{`, `\boxed{1} and `, `\boxed{1}`, `\boxed 1 `, "{", "}", "$", "$1$ ",
		`\(`, `\[1\]`, "\\", `\\`, `\n`, "<think>", "<answer>", "</answer>", "<answer>1</answer>", "**", "#### ",
		"(", "1,", "1+", "-", "is ", "is 5 ", "is not ", "not 5, ", "答案是", "。", "√", "１", "和", "é", "\xff", "a.m. ", ". ", ".\n", "\n\n",
		"x=", ": ", "and ", `\text{`, `\text{a}`, `\frac`, "^", "_", "1 1/2 ", "Option A ", "A", "A ", "(A) ", "উত্তর A ",
	} {
		text := strings.Repeat(unit, 1<<20/len(unit))
		const most = time.Second
		for _, pair := range [][2]string{{"A", text}, {"5", text + `\boxed{5}`}, {text[:1<<14], "5"}} {
			took := 2 * most
			for try := 0; try < 3 && took > most; try++ { // another program may have had the core
				start := time.Now()
				Equal(pair[0], pair[1])
				took = min(took, time.Since(start))
			}
			if took > most {
				t.Errorf("1 MiB of %q took %v", unit, took)
			}
		}
	}
}
