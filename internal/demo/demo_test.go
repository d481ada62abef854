package demo

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/metrics"
	"github.com/stretchr/testify/require"
)

// A step's text, as this test reads it.
var (
	worksOut = regexp.MustCompile(`^(First|Then|Wait,|Maybe) ([1-9])([-+*])([1-4])=([1-9])\.$`)
	saysOnly = regexp.MustCompile(`^(No, back to|We get|The answer is) ([1-9])\.$`)
)

// reader recomputes rewards from the texts alone; it begins with the problem's first number.
type reader struct{ value, before int }

func (r *reader) reward(t *testing.T, text string) float64 {
	if m := saysOnly.FindStringSubmatch(text); m != nil {
		was := r.value
		r.value = number(m[2])
		if was == r.value {
			return 1
		}
		return 0
	}
	m := worksOut.FindStringSubmatch(text)
	require.NotNil(t, m, text)
	from, by, to := number(m[2]), number(m[4]), number(m[5])
	result := map[string]int{"+": from + by, "-": from - by, "*": from * by}[m[3]]
	begins := from == r.value
	switch m[1] {
	case "Then":
		r.before = r.value
	case "Wait,":
		begins = from == r.before
	}
	if m[1] != "Maybe" {
		r.value = to
	}
	switch {
	case !begins || result != to:
		return 0
	case m[1] == "Maybe":
		return 0.7
	}
	return 1
}

func number(digit string) int { return int(digit[0] - '0') }

// solve computes a problem's answer from its text.
func solve(t *testing.T, text string) int {
	found := regexp.MustCompile(`has ([1-9]) boxes of ([1-9])|Compute ([1-9])\*([1-9])`).FindStringSubmatch(text)
	require.NotNil(t, found, text)
	digits := found[1] + found[2] + found[3] + found[4]
	value := number(digits[:1]) * number(digits[1:])
	for _, m := range regexp.MustCompile(`then ([-+*])([1-9])|It (gets) ([1-9])|It (sells) ([1-9])|it (has) ([1-9]) times`).FindAllStringSubmatch(text, -1) {
		by := number(m[2] + m[4] + m[6] + m[8])
		switch m[1] + m[3] + m[5] + m[7] {
		case "+", "gets":
			value += by
		case "-", "sells":
			value -= by
		default:
			value *= by
		}
	}
	return value
}

func checkAll(t *testing.T, tr *data.Trajectory) {
	r := reader{value: number(anyNumber.FindString(tr.Problem))}
	right := 0.0
	for i, text := range append(append([]string{}, tr.Steps...), tr.ResponseSteps...) {
		want := r.reward(t, text)
		require.Equal(t, want, *tr.Labels.Steps[i], "%s: %q", tr.ID, text)
		if want > 0 {
			right++
		}
	}
	require.InDelta(t, right/float64(len(tr.Labels.Steps)), *tr.Labels.Trajectory, 1e-12, tr.ID)
	answer := solve(t, tr.Problem)
	require.Equal(t, fmt.Sprint(answer), tr.Answer, tr.Problem)
	require.Equal(t, r.value == answer, solved(tr), tr.ID)
	require.NoError(t, tr.Validate())
}

// Rewards follow from the texts, no problem is in two sets, and the seed determines everything.
func TestRewardsFollowFromTheTexts(t *testing.T) {
	seen := map[string]bool{}
	train := set(newDice(7, "train"), 60, "t", seen)
	eval := set(newDice(7, "eval"), 20, "e", seen)
	answers := samples(newDice(7, "answers"), 20, 8, seen)
	require.Equal(t, train, set(newDice(7, "train"), 60, "t", map[string]bool{}))
	problems := map[string]int{}
	for i, list := range append([][]*data.Trajectory{train, eval}, answers...) {
		for _, tr := range list {
			checkAll(t, tr)
			where, ok := problems[tr.Problem]
			require.True(t, !ok || where == i, "%q is in two sets", tr.Problem)
			problems[tr.Problem] = i
		}
	}
	kinds := map[string]bool{}
	for _, tr := range train {
		for _, text := range tr.Steps {
			kinds[strings.Fields(text)[0]] = true
		}
	}
	require.Len(t, kinds, 5, "sums, second looks, ways that are left, goings back")
	for _, list := range answers {
		require.Len(t, list, 8)
		require.Equal(t, list[0].Problem, list[7].Problem)
	}
}

var anyNumber = regexp.MustCompile(`[1-9]`)

// Every wrong step has right twins of one problem, place, form and length, the same share everywhere; so what needs no
// model finds nothing.
func TestTwins(t *testing.T) {
	list := set(newDice(7, "eval"), 200, "e", map[string]bool{})
	var all []metrics.Trajectory
	for i := 0; i < len(list); i += familySize {
		family := list[i : i+familySize]
		mistakes := []int{1, familySize / 2}[i/familySize%2]
		for at := range family[0].Labels.Steps {
			wrong := 0
			for _, tr := range family {
				texts := append(append([]string{}, tr.Steps...), tr.ResponseSteps...)
				first := append(append([]string{}, family[0].Steps...), family[0].ResponseSteps...)
				require.Equal(t, anyNumber.ReplaceAllString(first[at], "0"), anyNumber.ReplaceAllString(texts[at], "0"), "one form")
				if *tr.Labels.Steps[at] < 0.5 {
					wrong++
				}
			}
			require.Equal(t, mistakes, wrong)
		}
		for _, tr := range family {
			require.Equal(t, family[0].Problem, tr.Problem)
			m := metrics.Trajectory{}
			for at, text := range append(append([]string{}, tr.Steps...), tr.ResponseSteps...) {
				m.Scores, m.Targets, m.Lengths = append(m.Scores, 0), append(m.Targets, *tr.Labels.Steps[at]), append(m.Lengths, len(text))
			}
			all = append(all, m)
		}
	}
	r, err := metrics.Evaluate(all, 0.5)
	require.NoError(t, err)
	for name, c := range r.Controls {
		require.InDelta(t, 0.5, float64(c.StepAUROC), 0.03, name)
		require.InDelta(t, 0.5, float64(c.WithinAUROC), 0.03, name)
	}
}

func TestShuffledKeepsTheLabelsButNotTheirPlaces(t *testing.T) {
	list := set(newDice(7, "train"), 50, "t", map[string]bool{})
	mixed := shuffled(list, 1)
	count := func(list []*data.Trajectory) (n map[float64]int, same, all int) {
		n = map[float64]int{}
		for i, tr := range list {
			for j, l := range tr.Labels.Steps {
				n[*l]++
				all++
				if *l == *mixed[i].Labels.Steps[j] {
					same++
				}
			}
		}
		return n, same, all
	}
	want, same, all := count(list)
	got, _, _ := count(mixed)
	require.Equal(t, want, got)
	require.InDelta(t, 0.46, float64(same)/float64(all), 0.1, "about as often equal as by chance")
}

func TestVerdict(t *testing.T) {
	good := func() *Result {
		return &Result{StepAUROC: 0.95, WithinAUROC: 0.93, Controls: map[string]metrics.Float{"depth": 0.51, "length": 0.5}, ShuffledAUROC: 0.52}
	}
	require.True(t, good().passed())
	for name, spoil := range map[string]func(*Result){
		"steps":         func(r *Result) { r.StepAUROC = 0.89 },
		"within":        func(r *Result) { r.WithinAUROC = 0.89 },
		"depth":         func(r *Result) { r.Controls["depth"] = 0.84 },
		"length":        func(r *Result) { r.Controls["length"] = 0.84 },
		"shuffled high": func(r *Result) { r.ShuffledAUROC = 0.56 },
		"shuffled low":  func(r *Result) { r.ShuffledAUROC = 0.44 },
		"not defined":   func(r *Result) { r.StepAUROC = metrics.Float(math.NaN()) },
	} {
		r := good()
		spoil(r)
		require.False(t, r.passed(), name)
		var table strings.Builder
		require.NoError(t, r.Write(&table))
		require.Contains(t, table.String(), ": NO", name)
		require.Contains(t, table.String(), "FAILED", name)
	}
}

// The short form runs every part and learns something.
func TestQuick(t *testing.T) {
	if testing.Short() {
		t.Skip("trains four models")
	}
	out := filepath.Join(t.TempDir(), "demo")
	r, err := Run(context.Background(), Options{Out: out, Quick: true})
	require.NoError(t, err)
	require.Greater(t, float64(r.StepAUROC), 0.6) // 0.78 and more at seeds 1 to 4; nothing learned: 0.5 ± 0.01
	require.Greater(t, float64(r.WithinAUROC), 0.6)
	require.InDelta(t, 0.5, float64(r.ShuffledAUROC), 0.05)
	require.InDelta(t, 0.5, float64(r.Controls["depth"]), 0.03, "twins: depth tells nothing")
	require.InDelta(t, 0.5, float64(r.Controls["length"]), 0.03)
	require.Less(t, float64(r.Random), float64(r.Oracle))
	var table strings.Builder
	require.NoError(t, r.Write(&table))
	require.Contains(t, table.String(), "best of 8")
	page, err := os.ReadFile(filepath.Join(out, "report.html"))
	require.NoError(t, err)
	require.Contains(t, string(page), "<svg")
	_, err = Run(context.Background(), Options{Out: out, Quick: true})
	require.Error(t, err, "an existing folder is not overwritten")
}
