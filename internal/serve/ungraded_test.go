package serve

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/goprm/goprm/data/grade"
	"github.com/stretchr/testify/require"
)

// An answer that cannot be read is wrong, a gold answer that cannot be read is the label's fault, under every policy. Of a verifier that
// does not tell the two apart, every error is the label's.
func TestUngraded(t *testing.T) {
	// One step of n bytes scores n/100, and the whole 0.5; of that the reward takes three quarters beside a quarter of the outcome.
	mine := func(box string) float64 { return 0.75 * (float64(len("So it is \\boxed{"+box+"}."))/100 + 0.5) }
	for _, c := range []struct {
		box, label      string
		outcome         float64 // −1: none
		cause, decision string
	}{
		{"5", "5", 1, "", "right"}, {"6", "5", 0, "", "wrong"},
		{`\\color{red}6`, "5", 0, "", "wrong"}, {`\\foo{6}`, "5", 0, "answer", "wrong"},
		{strings.Repeat("9^", 40) + "9", "5", 0, "answer", "wrong"},
		{"6", `\\foo{5}`, -1, "gold", "undecided"}, {`\\foo{6}`, `\\foo{5}`, -1, "gold", "undecided"},
		{"6", "def f(): 1", -1, "gold", "undecided"},
	} {
		for policy, opt := range map[string]Options{"error": {}, "prm-only": {Ungraded: UngradedPRM}, "zero": {Unscored: "0"}} {
			opt.Verifier = grade.Verifier{}
			s, err := New(newFake(), opt)
			require.NoError(t, err)
			h := httptest.NewServer(s)
			status, body, _ := ask(t, h.URL+"/reward/remote_rm?as=object",
				`{"prompt":"`+asked+`","response":"So it is \\boxed{`+c.box+`}.","label":"`+c.label+`"}`)
			metrics := metricsOf(t, h.URL)
			require.NoError(t, s.Close())
			h.Close()
			require.Contains(t, metrics, `goprm_graded_total{outcome="`+c.decision+`"} 1`, c)
			if c.cause != "" {
				require.Contains(t, metrics, `goprm_ungraded_total{cause="`+c.cause+`"} 1`, c)
			} else {
				require.NotContains(t, metrics, "goprm_ungraded_total{")
			}
			switch {
			case c.outcome >= 0:
				require.Equal(t, 200, status, body)
				box := strings.ReplaceAll(c.box, `\\`, `\`)
				require.InDelta(t, mine(box)+0.25*c.outcome, fieldOf(t, body, "reward"), 1e-12, body)
				require.Equal(t, c.outcome, fieldOf(t, body, "outcome"))
			case policy == "error":
				require.Equal(t, 422, status, body)
				require.Contains(t, body, "the outcome cannot be told")
			case policy == "zero":
				require.Equal(t, 0.0, fieldOf(t, body, "reward"))
			default:
				require.Equal(t, 0.0, fieldOf(t, body, "graded"))
			}
		}
	}
	require.Error(t, grade.Verifier{}.CheckGold(""))
	for _, gold := range []string{"5", `\frac{1}{2}`, "x+1", "yes", "(1,2)", "B", "[0,1)"} {
		require.NoError(t, grade.Verifier{}.CheckGold(gold), gold)
	}
	_, ok := any(exact{}).(goldChecker)
	require.False(t, ok)
}

// fieldOf is a number of an answer.
func fieldOf(t *testing.T, body, field string) float64 {
	t.Helper()
	var got map[string]float64
	require.NoError(t, json.Unmarshal([]byte(body), &got))
	require.Contains(t, got, field)
	return got[field]
}
