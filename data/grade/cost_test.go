package grade

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// costShapes are repeated to texts of any length.
var costShapes = []string{
	"x ", "1 ", "the answer is ", "the answer is 5. ", `\boxed{`, `\boxed{1} and `, `\boxed{1}`, `\boxed 1 `, "{", "}", "$", "$1$ ",
	`\(`, `\[1\]`, "\\", `\\`, `\n`, "<think>", "<answer>", "</answer>", "<answer>1</answer>", "**", "#### ",
	"(", "1,", "1+", "-", "is ", "is 5 ", "is not ", "not 5, ", "答案是", "。", "√", "１", "和", "é", "\xff",
	"a.m. ", ". ", ".\n", "\n\n",
	"x=", ": ", "and ", `\text{`, `\text{a}`, `\frac`, "^", "_", "1 1/2 ", "Option A ", "A", "A ", "(A) ", "উত্তর A ",
	"the answer is D. ", "the final answer is $5$. ", "answer: ", "Option D is wrong. ", "Yes, ", "No. ", "so 5. ", "wait, ", "it is 5 but ",
	"((", "[", "|", `\left(`, `\sqrt{`, `\frac{1}{`, "10^", "10^{10^{10}} ", "9", "9,", "9 ", "999,", "½", "²", `\begin{pmatrix}`,
	`\begin{`, "```\n", "| a | b |\n", "- ", "1. ", "> ", "a to ", "mod ", "(mod ", "base ", "twenty ", "and ", "or ", "1:", "'", `"`, "°",
	"%",
	"the answer is not ", "答案", "是", "因为", "１，", "&", ";", ":", "=", "~", "\t", "\r\n", `\quad `, "U", "x10^", "5 x 5", "5'5", "2024-",
	"March ", "Quadrant ", "is correct ", "$$", "$5 ", `\$5 `, "¥", "¬", "\u200b", `\\\\`, `\n\n`, "to do ", "(because ", "（其中",
	`\boxed{\boxed{1}`,
	`\boxed{$`, `\boxed{}`, `\fbox{1} `, "</think>", "<think></think>", "<|im_end|>", "</s>", "I hope it is correct. ", "\\(1\\) ",
}

// TestCostIsLinear: whatever a text is made of, a megabyte of it takes 50 ms on an idle machine and four times as much text at
// most four times as long. Time is that of this thread; what a core shares with other programs makes it up to four times longer.
func TestCostIsLinear(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const short, long, slack = 1 << 17, 1 << 19, 4
	cost := func(gold, text string, most time.Duration) time.Duration {
		best := time.Hour
		for try := 0; try < 3 && best > most; try++ {
			start := threadTime()
			Equal(gold, text)
			best = min(best, threadTime()-start)
		}
		return best
	}
	for _, unit := range costShapes {
		for place, of := range map[string]func(s string) (gold, text string){
			"alone":          func(s string) (string, string) { return "A", s },
			"before a box":   func(s string) (string, string) { return "5", s + `\boxed{5}` },
			"behind a box":   func(s string) (string, string) { return "5", `\boxed{5}` + s },
			"against a word": func(s string) (string, string) { return "Yes", s },
		} {
			gold, text := of(strings.Repeat(unit, long/len(unit)))
			const most = slack * 50 * time.Millisecond * long / (1 << 20)
			took := cost(gold, text, most/2)
			if took > most {
				t.Errorf("%d bytes of %q %s took %v", long, unit, place, took)
			}
			if took < most/2 {
				continue
			}
			gold, text = of(strings.Repeat(unit, short/len(unit)))
			if before := cost(gold, text, 0); took > 2*long/short*before {
				t.Errorf("%d bytes of %q %s took %v, a quarter of it %v", long, unit, place, took, before)
			}
		}
		gold := strings.Repeat(unit, 1<<14/len(unit))
		if took := cost(gold, "5", slack*50*time.Millisecond); took > slack*50*time.Millisecond {
			t.Errorf("a gold answer of %q took %v", unit, took)
		}
	}
}

// TestLongAnswers: what is too long is the answer, not the text around it.
func TestLongAnswers(t *testing.T) {
	around := strings.Repeat("some work ", maxText/32)
	require.Equal(t, Yes, Equal("5", around+`\boxed{5}`).Equal)
	require.Equal(t, Yes, Equal("5", around+"The answer is 5.").Equal)
	require.Equal(t, AnswerCause, Equal("5", `\boxed{5`+strings.Repeat("+0", maxAnswer)+`}`).Cause)
}
