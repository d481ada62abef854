package grade

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/goprm/goprm/internal/shareddata"
)

// rows calls f with every row of a file of the shared development data.
func rows[T any](t *testing.T, file string, f func(T)) {
	t.Helper()
	in, err := os.Open(filepath.Join(shareddata.Dir(t), "data", file))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<26)
	for lines.Scan() {
		var row T
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			t.Fatal(err)
		}
		f(row)
	}
	if lines.Err() != nil {
		t.Fatal(lines.Err())
	}
}

// TestPublishedPairs: the pairs of Math-Verify's tests and of Qwen2.5-Math's example, but for four published slips:
// f(x) and f(y) are called equal, as are 1-1/e and 1+1/e; 9 in \( \) that spans lines is not, nor is 10{,}000 and 10000.
func TestPublishedPairs(t *testing.T) {
	slips := map[[2]string]bool{{"$f(x)$", "$f(y)$"}: true, {`$1 - \frac{1}{\mathrm{e}}$`, `$1 + \frac{1}{\mathrm{e}}$`}: true,
		{"$9$", "Answer \\( \n 9 \n \\)"}: true, {"10{,}000", "10000"}: true}
	for _, file := range []string{"math_verify_cases", "qwen_math100_pairs"} {
		rows(t, "grader/"+file+".jsonl", func(r struct {
			Gold, Pred string
			Expected   int
		}) {
			v := Equal(r.Gold, r.Pred)
			if (v.Equal == Yes) != (r.Expected == 1) && !slips[[2]string{r.Gold, r.Pred}] {
				t.Errorf("%s: Equal(%q, %q) = %v (%s), want %d", file, r.Gold, r.Pred, v.Equal, v.Reason, r.Expected)
			}
		})
	}
}

// TestLatexThatParses: all that latex2sympy's tests accept is read, but for bars that close and open without telling which, and
// a bracket too many. What they refuse is refused, but for a set with both separators, which is a set all the same.
func TestLatexThatParses(t *testing.T) {
	unread := []string{"||x||y||", `876,123\mod 128E300)`}
	rows(t, "grader/latex2sympy_good.jsonl", func(r struct{ Latex string }) {
		if _, _, err := parse(r.Latex, true); (err != nil) != slices.Contains(unread, r.Latex) {
			t.Errorf("parse(%q): %v", r.Latex, err)
		}
		if v := Equal(r.Latex, r.Latex); v.Equal != Yes {
			t.Errorf("%q is not equal to itself: %v (%s)", r.Latex, v.Equal, v.Reason)
		}
	})
	rows(t, "grader/latex2sympy_bad.jsonl", func(r struct{ Latex string }) {
		_, _, err := parse(r.Latex, true)
		if refused := err != nil; refused == (len(r.Latex) > 90) {
			t.Errorf("parse(%q): %v", r.Latex, err)
		}
		for _, other := range []string{"1", "x", "(1,2)"} {
			if v := Equal(r.Latex, other); v.Equal == Yes {
				t.Errorf("%q is equal to %s", r.Latex, other)
			}
		}
	})
}

// TestRealTexts: whole texts of models and of authors.
func TestRealTexts(t *testing.T) {
	check := func(t *testing.T, name string, rows, differ, most int) {
		t.Helper()
		t.Logf("%s: %d of %d differ", name, differ, rows)
		if rows == 0 || differ > most {
			t.Errorf("%s: %d of %d differ, at most %d expected", name, differ, rows, most)
		}
	}
	n, differ := 0, 0
	// 100 problems, 8 texts each, graded by Qwen's evaluation: it takes 10{,}000 and 10000 for different.
	rows(t, "bench/bon8_math100_qwen_orm.jsonl", func(r struct {
		Gt    string
		Code  []string
		Score []bool
	}) {
		for i, text := range r.Code {
			n++
			if (Equal(r.Gt, text).Equal == Yes) != r.Score[i] {
				differ++
			}
		}
	})
	check(t, "samples of MATH", n, differ, 1)
	n, differ = 0, 0
	wrongs := 0
	// The flags compare strings: 19 are known to be wrong; 44% for 44 and an equal interval as inequalities come to them.
	rows(t, "trajectories/r1distill_math153.jsonl", func(r struct {
		Gold, Thinking, Response string
		Think_closed             bool //nolint:revive // the file's name
		Correct                  bool
	}) {
		n++
		text := "<think>" + r.Thinking
		if r.Think_closed {
			text += "</think>" + r.Response
		}
		yes := Equal(r.Gold, text).Equal == Yes
		if yes && !r.Correct {
			differ++
		}
		if !yes && r.Correct {
			wrongs++
		}
	})
	check(t, "MATH traces flagged wrong", n, differ, 21)
	check(t, "MATH traces flagged right", n, wrongs, 0)
	n, differ = 0, 0
	// Letters among four, explained in Bangla and English. Ten rows contradict their own text; in others no letter is named.
	rows(t, "trajectories/r1_bangla_mmlu_math807.jsonl", func(r struct {
		Gold, Response string
		Correct        bool
	}) {
		n++
		if (Equal(r.Gold, r.Response).Equal == Yes) != r.Correct {
			differ++
		}
	})
	check(t, "letters", n, differ, 13)
	n, differ = 0, 0
	rows(t, "bench/math500.jsonl", func(r struct{ Answer, Solution string }) {
		n++
		if Equal(r.Answer, r.Solution).Equal != Yes {
			differ++
		}
	})
	check(t, "authors' solutions of MATH", n, differ, 0)
	n, differ = 0, 0
	rows(t, "bench/qwen_gsm8k_test.jsonl", func(r struct{ Answer string }) {
		n++
		gold, _ := Extract(r.Answer)
		if Equal(r.Answer, "After some steps, 3 or 4.\n\n**Final Answer**\nThe total is "+gold+" things.").Equal != Yes {
			differ++
		}
	})
	check(t, "answers of GSM8K", n, differ, 0)
}
