package demo

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goprm/goprm/data"
	"github.com/stretchr/testify/require"
)

// numbers reads the number words of a step.
func numbers(text string) []int {
	var list []int
	for _, w := range strings.FieldsFunc(text, func(r rune) bool { return !('a' <= r && r <= 'z') }) {
		for i, name := range words {
			if w == name {
				list = append(list, i)
			}
		}
	}
	return list
}

// check recomputes a step's reward from its text and the values before it: an independent reading of the rules.
func check(text string, value, before *int) float64 {
	n := numbers(text)
	sign := 1
	if strings.Contains(text, " minus ") {
		sign = -1
	}
	switch strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' })[0] {
	case "First":
		*value = n[2]
		if n[0]*n[1] == n[2] {
			return 1
		}
	case "Then", "Wait":
		if strings.HasPrefix(text, "Then") {
			*before = *value
		}
		*value = n[2]
		if n[0] == *before && n[0]+sign*n[1] == n[2] {
			return 1
		}
	case "Maybe":
		if n[0] == *value && n[0]+sign*n[1] == n[2] {
			return 0.5
		}
	default: // No, We, The: a value said again
		was := *value
		*value = n[0]
		if was == n[0] {
			return 1
		}
	}
	return 0
}

func checkAll(t *testing.T, tr *data.Trajectory) {
	value, before := 0, 0
	for i, text := range append(append([]string{}, tr.Steps...), tr.ResponseSteps...) {
		require.Equal(t, check(text, &value, &before), *tr.Labels.Steps[i], "%s: %q", tr.ID, text)
	}
	final := 0.0
	if fmt.Sprint(value) == tr.Answer {
		final = 1
	}
	require.Equal(t, final, *tr.Labels.Trajectory, tr.ID)
	require.NoError(t, tr.Validate())
}

// Rewards follow from the texts; twins are of one problem, place, form and length, one right and one wrong.
func TestDataIsWhatItSays(t *testing.T) {
	seen := map[string]bool{}
	train := set(newDice(7, "train"), 300, "t", seen)
	problems := len(seen)
	eval := set(newDice(7, "eval"), 100, "e", seen)
	require.Equal(t, problems+100, len(seen), "no problem is in both")
	for _, list := range [][]*data.Trajectory{train, eval} {
		for i := 0; i < len(list); i += 2 {
			a, b := list[i], list[i+1]
			checkAll(t, a)
			checkAll(t, b)
			require.Equal(t, a.Problem, b.Problem)
			require.Len(t, b.Labels.Steps, len(a.Labels.Steps))
			for j := range a.Labels.Steps {
				require.NotEqual(t, *a.Labels.Steps[j] >= 0.5, *b.Labels.Steps[j] >= 0.5, "%s, step %d", a.ID, j)
			}
			for j := range a.Steps {
				require.Equal(t, strings.Fields(a.Steps[j])[0], strings.Fields(b.Steps[j])[0])
				require.Len(t, strings.Fields(b.Steps[j]), len(strings.Fields(a.Steps[j])))
			}
		}
	}
	again := set(newDice(7, "train"), 300, "t", map[string]bool{})
	require.Equal(t, train, again, "the seed determines everything")
	for _, list := range samples(newDice(7, "answers"), 20, 8, seen) {
		require.Len(t, list, 8)
		for _, a := range list {
			checkAll(t, a)
			require.Equal(t, list[0].Problem, a.Problem)
		}
	}
}

func TestShuffledKeepsTheLabelsButNotTheirPlaces(t *testing.T) {
	list := set(newDice(7, "train"), 200, "t", map[string]bool{})
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

// The short form runs every part and learns something.
func TestQuick(t *testing.T) {
	if testing.Short() {
		t.Skip("trains four models")
	}
	out := filepath.Join(t.TempDir(), "demo")
	r, err := Run(context.Background(), Options{Out: out, Quick: true})
	require.NoError(t, err)
	require.Greater(t, float64(r.StepAUROC), 0.6)
	require.InDelta(t, 0.5, float64(r.ShuffledAUROC), 0.05)
	require.InDelta(t, 0.5, float64(r.Controls["depth"]), 0.001, "twins: depth tells nothing")
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
