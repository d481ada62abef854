package grade

import (
	"bufio"
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// decided is a pair on which a mathematician and a strict teacher agree.
type decided struct {
	Gold, Pred, Kind string
	Expected         bool
}

// TestDecidedPairs: pairs of every kind of fault, decided by hand. None that differs is called equal, and every equal one is found.
func TestDecidedPairs(t *testing.T) {
	in, err := os.Open("testdata/decided.jsonl")
	require.NoError(t, err)
	defer func() { _ = in.Close() }()
	n := 0
	for lines := bufio.NewScanner(in); lines.Scan(); n++ {
		var r decided
		require.NoError(t, json.Unmarshal(lines.Bytes(), &r))
		if v := Equal(r.Gold, r.Pred); (v.Equal == Yes) != r.Expected {
			t.Errorf("Equal(%q, %q) = %v (%s), want %v", r.Gold, r.Pred, v.Equal, v.Reason, r.Expected)
		}
	}
	require.Greater(t, n, 900)
}

// TestPublicKinds: the shared pairs, of which an equal one may be null but never different.
func TestPublicKinds(t *testing.T) {
	equal, found, null := 0, 0, 0
	rows(t, "grader/pairs_public_kinds.jsonl", func(r decided) {
		v := Equal(r.Gold, r.Pred)
		switch {
		case !r.Expected && v.Equal == Yes, r.Expected && v.Equal == No:
			t.Errorf("%s: Equal(%.80q, %.80q) = %v (%s), want %v", r.Kind, r.Gold, r.Pred, v.Equal, v.Reason, r.Expected)
		case r.Expected && v.Equal == Yes:
			found++
		case r.Expected:
			null++
		}
		if r.Expected {
			equal++
		}
	})
	t.Logf("%d of %d equal pairs are found, %d null", found, equal, null)
	require.GreaterOrEqual(t, float64(found), 0.98*float64(equal))
}

// TestRules: a rule to a line, with a wrong verdict that it ended. Undecided is right for pairs that differ, too.
func TestRules(t *testing.T) {
	for _, c := range []struct {
		rule, gold, pred string
		want             Decision
	}{
		{"the first expression behind a marker counts, not the last number", "4", "The answer is 12 since there are 3 groups of 4 people.", No},
		{"and it is found", "12", "The answer is 12 since there are 3 groups of 4 people.", Yes},
		{"a formula behind a marker ends before its remark", "5", "The answer is $5$ since $2+3=5$ and $4 < 5$.", Yes},
		{"a denial gives no answer", "5", "The answer isn't 5.", Undecided},
		{"what it settles on does", "6", "The answer is not 5, it is 6.", Yes},
		{"a bound is no value", "5", "The answer is less than 5.", Undecided},
		{"a bound gives way to the value before it", "7", "The answer is 7.\nSo the answer is less than 9.", Yes},
		{"a marker behind which nothing comes is passed over", "9", "The answer is 9.\n\nNote how we found the final answer.", Yes},
		{"a number keeps its factor", "36", "Therefore the volume is 36π.", No},
		{"a coordinate is not the point", "8", "The point is (3, 8).", No},
		{"an en dash is a minus sign", "-5", "Hence we obtain the value –5", Yes},
		{"minus and negative are signs", "5", "The temperature is negative 5.", No},
		{"a root belongs to what is under it", "12", "the square root of 12", Undecided},
		{"the tag's content is the answer, whole", "13", `<answer>3\sqrt{13}</answer>`, No},
		{"√ takes all digits", "0", "√10", No},
		{"√ab is not read", `\sqrt{a}b`, "√ab", Undecided},
		{"scale words multiply", "3,200,000", `3.2\text{ million}`, Yes},
		{"and differ", "5 million", "5 billion", No},
		{"words that bound must be on both sides", "3", `\boxed{3 \text{ or more}}`, Undecided},
		{"words that oppose are not the same", "20% increase", "20% decrease", Undecided},
		{"what is counted may be left out", "12", "12 apples", Yes},
		{"an unknown word on one side is open", "12", "12 flurbles", Undecided},
		{"units of one kind convert", `50\text{ cents}`, `\$0.50`, Yes},
		{"units of two kinds clash", `5^\circ`, "5 cm", No},
		{"currencies clash", "€20", "$20", No},
		{"degrees are no radians", `45^\circ`, `45\text{ radians}`, No},
		{"compound units add up", "5 feet 6 inches", "66 inches", Yes},
		{"several choices are none", "A", "(A), (B), (C), (D)", No},
		{"an article is no choice", "A", "The answer is a triangle.", No},
		{"lists keep their multiplicity", "5,5,6", "5,6,6", No},
		{"sets do not", `\{1,1,2\}`, `\{1,2\}`, Yes},
		{"and is not or between conditions", `a=1 \text{ and } b=2`, `a=1 \text{ or } b=2`, No},
		{"names go in the order of the alphabet", "y=3,x=2", "(2,3)", Yes},
		{"and not as written", "b=4,a=1", "(4,1)", No},
		{"names without an order are open", `\theta=1,r=2`, "(2,1)", Undecided},
		{"letters in another order are words or a product", "tea", "eat", Undecided},
		{"a product that is written as one commutes", "2xy", "2yx", Yes},
		{"a list may look like thousands", "24,500", `\boxed{500, 24}`, Yes},
		{"doubled escapes are undone", `\$12`, `\\$12`, Yes},
		{"full-width digits are digits", "2", "２．０", Yes},
		{"和 is and", "1,2", "1和2", Yes},
		{"the empty set has names", `\emptyset`, "No solution", Yes},
		{"a named quantity gives its value", `\frac{1}{2}`, `P(X\ge 1)=\frac12`, Yes},
		{"an equation to solve does not", "4", "x^2=4", Undecided},
		{"a bound variable has any name", "f(x)=3x+2", "f(t)=3t+2", Yes},
		{"a marker in a box says where the answer stands", "460", `\boxed{\text{The answer is 460}}`, Yes},
		{"a list of rows is a matrix", `\begin{pmatrix}1&2\\3&4\end{pmatrix}`, "[[1,2],[3,4]]", Yes},
		{"a set is no interval", "{4,5}", "[4,5]", No},
		{"a power on a box counts", "2", `\boxed{2}^3`, Undecided},
		{"a sign before a box counts", "-5", `-\boxed{5}`, Yes},
		{"a box may be taken back", "5", `\boxed{5} is wrong. Let me recheck. It is 6.`, No},
		{"what cannot be read is open, not different", "3", "((3", Undecided},
		{"a box with something unreadable beside it is open", "4", `$\boxed{5}\foo$`, Undecided},
		{"a remark may begin with whenever", "64", "The answer is 64 whenever $k>2$.", Yes},
		{"what is called the answer is one", "5", "In conclusion, $5$ is the answer.", Yes},
		{"what is called no answer is none", "5", "In conclusion, $5$ is not the answer.", Undecided},
		{"an exclamation is no factorial for sure", "42", "The answer is 42!", Undecided},
		{"a factorial may end a sentence", "120", "The answer is 5!", Yes},
		{"a distance bounds an interval", "(1,7)", "|x-4|<3", Yes},
		{"its ends count", "[1,7]", "|x-4|<3", No},
		{"a distance from a point left of 0", "(1,7)", "|x+4|<3", No},
		{"dots stand for integers", `\{2,4,6,\ldots,12\}`, `\{2,4,6,8,10,12\}`, Yes},
		{"all of them", `\{1,2,\dots,6\}`, `\{1,2,3,4,6\}`, No},
		{"dots between two numbers far apart are open", `\{2,4,\ldots,16\}`, `\{2,4,6,8,10,12,14,16\}`, Undecided},
		{"a determinant is a number", `\begin{vmatrix}1&2\\3&4\end{vmatrix}`, "-2", Yes},
		{"of three rows too", `\begin{vmatrix}2&0&1\\1&3&2\\1&1&4\end{vmatrix}`, "18", Yes},
		{"numbers in Chinese", "105", "一百零五", Yes},
		{"fractions in Chinese", `\frac{2}{3}`, "三分之二", Yes},
		{"a chain names each variable", "a=0 and b=0", "a=b=0", Yes},
		{"D3 is a name, 3D a product", "3D", "D3", Undecided},
		{"a box that is one coordinate is no answer", "9", `$(\boxed{9}, 2)$`, Undecided},
		{"a box that is one end is no answer", "9", `$[0,\boxed{9}]$`, Undecided},
		{"a box within a remark in brackets is one", "9", `(see 2, \boxed{9})`, Yes},
		{"what is called impossible is no answer", "45", "It is impossible for the answer to be 45.", Undecided},
		{"what follows a doubt may be one", "6", "I doubt that it is 5, so x is 6.", Yes},
		{"a number and a part in words", "3.25", "3 and a quarter", Yes},
		{"a Chinese number has a measure word", "12", "十二个", Yes},
		{"a word that begins with a numeral is none", "3", "三角形", No},
		{"compound units of one letter", "1500 g", "1 kg 500 g", Yes},
		{"a clause before the assignment explains it", "8", "Since $a=2$, $x=8$.", Yes},
		{"its own value is no answer", "2", "Since $a=2$, $x=8$.", No},
		{"of several assignments none is the answer", "4", "If n is odd, x = 3, y = 4.", Undecided},
		{"what does not work is no answer", "8", "Hence 8 does not work.", Undecided},
		{"a last digit is no answer", "8", "The answer ends in 8.", Undecided},
		{"a dash of TeX begins a remark", "8", "The answer: $8$ --- found in 3 steps.", Yes},
		{"a choice in small letters", "C", "(c)", Yes},
		{"half of the line in words", `(0,\infty)`, "all positive real numbers", Yes},
		{"a choice with its noun in small letters", "C", "option c", Yes},
		{"a small letter alone may be a variable", "C", "c", Undecided},
		{"a set that holds the empty set is not empty", `\emptyset`, `\{\emptyset\}`, No},
		{"with plain braces too", `\emptyset`, "{∅}", No},
		{"plain braces around a condition", "[2,7]", "{x : 2 ≤ x ≤ 7}", Yes},
		{"a ratio with blanks", "2:3", "The ratio is 2 : 3.", Yes},
		{"a whole hour", "7 a.m.", "7:00 AM", Yes},
		{"of the other half of the day", "7 a.m.", "7:00 PM", Undecided},
		{"choose in words", "20", "6 choose 3", Yes},
		{"a factorial in words", "24", "4 factorial", Yes},
		{"a share in words", `\frac{3}{8}`, "3 out of 8", Yes},
		{"is not its first number", "3", "3 out of 8", No},
		{"angle brackets of the keyboard", `\langle 2,3\rangle`, "<2, 3>", Yes},
		{"a scale word beside a box multiplies", "5000", `\boxed{5} thousand`, Yes},
		{"its number alone is no answer", "5", `\boxed{5} thousand`, Undecided},
		{"a bound beside a box counts", "5", `$\boxed{5}$ or more`, Undecided},
		{"a second value beside a box counts", "5", `$\boxed{5}$ or 6`, Undecided},
		{"what is said of a variable is the answer", `n \text{ is prime}`, "n is prime.", Yes},
		{"something else of it is not", `n \text{ is prime}`, "n is composite.", Undecided},
		{"nothing is different", "3", `\boxed{}`, No},
	} {
		if v := Equal(c.gold, c.pred); v.Equal != c.want {
			t.Errorf("%s: Equal(%q, %q) = %v (%s), want %v", c.rule, c.gold, c.pred, v.Equal, v.Reason, c.want)
		}
	}
}

// TestComputedSentences: the value behind the last equals sign of a computation is what a sentence states; equations of several
// variables are not one.
func TestComputedSentences(t *testing.T) {
	for _, c := range []struct {
		gold, pred string
		want       Decision
	}{
		{"72", "In total she walks 24 * 3 = 72 miles.", Yes},
		{"24", "In total she walks 24 * 3 = 72 miles.", No},
		{"75", "He pays for 15 boxes at $5.00 each, so he spends $5*15 = $75.00 on them.", Yes},
		{"31", "This leaves him with 36-3-2 = 31 marbles.", Yes},
		{"3", "So the point has x = 2 and y = 3.", No},
		{"2,9", "Thus x = 2 or x = 9.", Yes},
	} {
		if v := Equal(c.gold, c.pred); v.Equal != c.want && (c.want == Yes || v.Equal == Yes) {
			t.Errorf("Equal(%q, %q) = %v (%s), want %v", c.gold, c.pred, v.Equal, v.Reason, c.want)
		}
	}
}
