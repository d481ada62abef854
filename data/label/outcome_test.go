package label_test

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/goprm/goprm/data/grade"
	"github.com/goprm/goprm/data/label"
	"github.com/stretchr/testify/require"
)

// blind cannot tell whose fault an error is.
type blind struct{}

func (blind) ID() string { return "blind/1" }
func (blind) Verify(_, _ string) (bool, string, error) {
	return true, "a code problem", errors.New("undecided")
}

// TestOutcome: an answer that cannot be read is wrong; a gold answer that cannot be, and an error of a verifier that does not
// tell whose fault it is, leave no outcome.
func TestOutcome(t *testing.T) {
	for _, c := range []struct {
		gold, text    string
		right, unread bool
		fails         bool
	}{
		{"5", `\boxed{5}`, true, false, false},
		{"5", `\boxed{6}`, false, false, false},
		{"5", `\boxed{\foo{5}}`, false, true, false},
		{"5", `\boxed{((5}`, false, true, false},
		{"5", "I am not sure.", false, true, false},
		{`\foo{5}`, `\boxed{5}`, false, false, true},
		{"", `\boxed{5}`, false, false, true},
	} {
		right, _, unread, err := label.Outcome(grade.Verifier{}, c.gold, c.text)
		if right != c.right || (unread != "") != c.unread || (err != nil) != c.fails {
			t.Errorf("Outcome(%q, %q) = %v, %q, %v", c.gold, c.text, right, unread, err)
		}
		if fails := label.CheckGold(grade.Verifier{}, c.gold) != nil; fails != c.fails {
			t.Errorf("CheckGold(%q) fails: %v", c.gold, fails)
		}
	}
	right, _, unread, err := label.Outcome(blind{}, "5", "5")
	require.False(t, right)
	require.Empty(t, unread)
	require.EqualError(t, err, "a code problem")
	require.EqualError(t, label.CheckGold(blind{}, "5"), "a code problem")
}

// TestUnreadAnswersAreWrong: by rule, and of sampled answers; each is counted by its cause.
func TestUnreadAnswersAreWrong(t *testing.T) {
	for _, kind := range []label.FinalKind{label.Rule, label.PaperFinal} {
		row, summary := label.LabelOne(t, label.Final{Kind: kind, Samples: 4}, grade.Verifier{}, filepath.Join(t.TempDir(), "out"),
			"5", `So \boxed{\foo{5}}.`)
		require.NotNil(t, row.Labels.Trajectory, kind)
		require.Zero(t, *row.Labels.Trajectory, kind)
		require.NotEmpty(t, summary.Unread, kind)
		_, summary = label.LabelOne(t, label.Final{Kind: kind, Samples: 4}, grade.Verifier{}, filepath.Join(t.TempDir(), "out"),
			`\foo{5}`, `So \boxed{5}.`)
		require.Zero(t, summary.TrajectoryLabels, kind)
		require.Empty(t, summary.Unread, kind)
	}
}
