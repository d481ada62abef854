package grade

import (
	"math/big"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestDigits compares with published digits: each difference is far below what equality asks for.
func TestDigits(t *testing.T) {
	for expression, digits := range map[string]string{
		`\pi`: "3.141592653589793238462643383279502884197169399375105820974944592307816406286208998" +
			"62803482534211706798214808651328230664709384",
		"e": "2.718281828459045235360287471352662497757247093699959574966967627724076630353547594" +
			"57138217852516642742746639193200305992181741",
		`\ln 2`: "0.693147180559945309417232121458176568075500134360255254120680009493393621969694715" +
			"60586332699641868754200148102057068573368552",
		`\ln 10`: "2.302585092994045684017991454684364207601101488628772976033327900967572609677352480" +
			"23599720508959829834196778404228624863340952",
		`\sqrt2`: "1.414213562373095048801688724209698078569671875376948073176679737990732478462107038" +
			"85038753432764157273501384623091229702492483",
		`\frac{1+\sqrt5}2`: "1.618033988749894848204586834365638117720309179805762862135448622705260462818902449" +
			"70720720418939113748475408807538689175212663",
		`\sqrt[3]{2}`: "1.259921049894873164767210607278228350570251464701507980081975112155299676513959483" +
			"72939656243625509415431025603561566525939902",
	} {
		n, _, err := parse(expression, true)
		require.NoError(t, err)
		got, err := (&evaluator{}).eval(n)
		require.NoError(t, err)
		want, ok := new(big.Rat).SetString(digits)
		require.True(t, ok)
		re, im := got.parts()
		require.Zero(t, im.Sign())
		require.Less(t, log2(sub(re, float().SetRat(want))), -3*len(digits)+10, expression) // 3.3 bits a digit
	}
}

// TestIdentities: equations between functions hold to the last bits at many points, in the reals and outside.
func TestIdentities(t *testing.T) {
	for _, pair := range [][2]string{
		{`\sin x`, `\frac{e^{ix}-e^{-ix}}{2i}`}, {`\cosh x`, `\cos(ix)`}, {`\tan(\arctan x)`, "x"}, {`\sin(\arcsin x)`, "x"},
		{`\cos(\arccos x)`, "x"}, {`\sinh(\arcsinh x)`, "x"}, {`\tanh(\arctanh x)`, "x"}, {`\cosh(\arccosh x)`, "x"},
		{`\ln e^x`, "x"}, {`e^{\ln x}`, "x"}, {`\arctan x+\arccot x`, `\frac\pi2`}, {`\sec^2x-\tan^2x`, "1"}, {`\csc x\sin x`, "1"},
		{`\cot x\tan x`, "1"}, {`\log_3 9^x`, "2x"}, {`|x|^2`, "x^2"}, {`\sqrt[5]{x}^5`, "x"},
		{`\gcd(12n, 18n)`, "6n"}, {`\lcm(4n, 6n)`, "12n"}, {`\binom{n+1}{2}-\binom{n}{2}`, "n"}, {`\max(n, n+1)`, "n+1"},
		{`\lceil x\rceil`, `-\lfloor -x\rfloor`}, {`7n \mod 7`, "0"}, {`\prod_{k=1}^{n} k`, "n!"},
		{`\lfloor\sqrt2\sqrt2\rfloor`, "2"}, {`\lfloor-2.5\rfloor`, "-3"}, {`\arccos(-1)`, `\pi`}, {`\arcsin 1`, `\frac\pi2`},
		{`i^i`, `e^{-\pi/2}`}, {`(1+i)^8`, "16"}, {`e^{\pi i/3}`, `\frac12+\frac{\sqrt3}2i`}, {`\log_{1/2} 8`, "-3"}, {`\sqrt{-9}`, "3i"},
		{`\cos\frac{2\pi}{7}+\cos\frac{4\pi}{7}+\cos\frac{6\pi}{7}`, `-\frac12`}, {`\sqrt[3]{2+\sqrt5}+\sqrt[3]{2-\sqrt5}`, "1"},
		{`4\arctan\frac15-\arctan\frac1{239}`, `\frac\pi4`}, {`\sqrt{5+2\sqrt6}`, `\sqrt2+\sqrt3`},
	} {
		if v := Equal(pair[0], pair[1]); v.Equal != Yes {
			t.Errorf("Equal(%q, %q) = %v (%s)", pair[0], pair[1], v.Equal, v.Reason)
		}
		if v := Equal(pair[0], "("+pair[1]+")+10^{-50}"); v.Equal == Yes {
			t.Errorf("%q and %q are equal though 10^-50 was added", pair[0], pair[1])
		}
	}
}

// TestLimits: what a bound allows is computed, and one more is not.
func TestLimits(t *testing.T) {
	r := strings.Repeat
	for _, c := range []struct {
		gold, pred string
		want       Decision
	}{
		{"1000!/999!", "1000", Yes}, {"1001!/1000!", "1001", Undecided},
		{`\binom{1000}{999}`, "1000", Yes}, {`\binom{1001}{1000}`, "1001", Undecided},
		{`\sum_{k=1}^{1000} k`, "500500", Yes}, {`\sum_{k=1}^{1001} k`, "501501", Undecided},
		{"1E4000/1E3999", "10", Yes}, {"1E4001/1E4000", "10", Undecided},
		{"2^{65000}", "4^{32500}", Yes}, {"2^{65537}", "2\\cdot 2^{65536}", Undecided}, {"2^{-65537}", "0", Undecided},
		{r("(", 60) + "5" + r(")", 60), "5", Yes}, {r("(", 65) + "5" + r(")", 65), "5", Undecided},
		{r("1+", 1000) + "1", "1001", Yes}, {r("1+", 1024) + "1", "1025", Undecided},
		{r("1,", 255) + "2", r("1, ", 255) + "2", Yes}, {r("1;", 256) + "2", "1, 2", Undecided},
		{r(" ", 5000) + "5", "5", Yes}, {"5+" + r("0", 4094), "5", Yes}, {"5+" + r("0", 4095), "5", Undecided},
		{"e^{20000}", "e^{10000}e^{10000}", Yes}, {"e^{70000}", "e^{35000}e^{35000}", Undecided},
		{r(`\sqrt{\pi+`, 12) + "1" + r("}", 12), "1", No},
		{r(`1\pm `, 4) + "1", r(`1\pm `, 4) + "1", Yes},
		{`\sum_{a=1}^{300}\sum_{b=1}^{300} ab`, "2038522500", Undecided},
	} {
		if v := Equal(c.gold, c.pred); v.Equal != c.want {
			t.Errorf("Equal(%.50q, %.50q) = %v (%s), want %v", c.gold, c.pred, v.Equal, v.Reason, c.want)
		}
	}
	if v := Equal("5", r("x ", maxText)); v.Equal != Undecided {
		t.Errorf("a text beyond the limit: %v (%s)", v.Equal, v.Reason)
	}
	if _, ok := Extract(r("x ", maxText)); ok {
		t.Error("an answer was found in a text beyond the limit")
	}
}

func TestVerifier(t *testing.T) {
	v := Verifier{}
	require.Equal(t, "grade/3", v.ID())
	right, reason, err := v.Verify(`\frac{1}{2}`, `<think>1?</think>So \boxed{0.5}.`)
	require.NoError(t, err)
	require.True(t, right)
	require.Empty(t, reason)
	right, reason, err = v.Verify("3", `\boxed{4}`)
	require.NoError(t, err)
	require.False(t, right)
	require.Equal(t, "the values differ", reason)
	right, reason, err = v.Verify("3", "<think>so it is 3, wait")
	require.NoError(t, err)
	require.False(t, right)
	require.Contains(t, reason, "no final answer was found")
	for gold, want := range map[string]string{
		"": "no gold answer", `{"inputs": ["1\n"], "outputs": ["2\n"]}`: "not graded",
		`{"fn_name": "f", "inputs": [[1]], "outputs": [2]}`: "not graded", "assert f(1) == 2": "not graded",
		"```python\nprint(1)\n```": "not graded",
		"10^{10^{10}}":             "cannot be evaluated",
	} {
		_, _, err := v.Verify(gold, "7")
		require.ErrorContains(t, err, want)
		require.Error(t, v.CheckGold(gold), gold)
		require.Equal(t, GoldCause, Equal(gold, "7").Cause, gold)
	}
}

// TestCause: what the policy wrote and cannot be read or compared is wrong as a reward; what the gold answer causes has no outcome.
func TestCause(t *testing.T) {
	for _, text := range []string{`\boxed{((3}`, "at least 3", `\boxed{3 \text{ or more}}`, `\boxed{\foo{3}}`, "The answer is not 4.",
		"12 and so on and 7 or so it goes", strings.Repeat("9", maxAnswer+1), `\boxed{3}^2`, strings.Repeat("x ", maxText)} {
		v := Equal("3", text)
		right, ok := v.Outcome()
		require.Equal(t, [3]any{Undecided, false, true}, [3]any{v.Equal, right, ok}, "%.60q: %s", text, v.Reason)
	}
	for _, gold := range []string{`\frac{1}{`, `\foo{3}`, "((3", "", "10^{10^{10}}", strings.Repeat("9", maxAnswer+1),
		strings.Repeat("x ", maxText)} {
		v := Equal(gold, "3")
		_, ok := v.Outcome()
		require.Equal(t, Undecided, v.Equal, "%.60q", gold)
		require.False(t, ok, "%.60q", gold)
		require.Error(t, Verifier{}.CheckGold(gold), "%.60q", gold)
	}
	for _, gold := range []string{"3", "x+1", "(1,2)", `\text{Evelyn}`, "B", "5 apples", `\text{at least }3`, "no solution", "yes"} {
		require.NoError(t, Verifier{}.CheckGold(gold), gold)
	}
	right, ok := Equal("3", "3").Outcome()
	require.True(t, right && ok)
}
