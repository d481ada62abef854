package prm

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/shareddata"
	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/stretchr/testify/require"
)

// long is a trajectory of twenty steps.
func long() *data.Trajectory {
	t := &data.Trajectory{ID: "long", Problem: "A shelf holds 4 rows of 9 books; 5 are lent out. How many are left?"}
	for i := range 20 {
		step := fmt.Sprintf("Take %d away, then add %d", i, i*i) + strings.Repeat(" more", i%4) + "."
		if i < 12 {
			t.Steps = append(t.Steps, step)
		} else {
			t.ResponseSteps = append(t.ResponseSteps, step)
		}
	}
	return t
}

// lines is a score as prm score writes it.
func lines(t *testing.T, s *Score) string {
	text, err := json.Marshal(s)
	require.NoError(t, err)
	return string(text)
}

// part is the steps [from, to) of a trajectory.
func part(t *data.Trajectory, from, to int) *data.Trajectory {
	p := *t
	p.Steps, p.ResponseSteps = nil, nil
	for i, s := range append(append([]string{}, t.Steps...), t.ResponseSteps...)[from:to] {
		if from+i < len(t.Steps) {
			p.Steps = append(p.Steps, s)
		} else {
			p.ResponseSteps = append(p.ResponseSteps, s)
		}
	}
	return &p
}

// A step of a long trajectory scores what it scores, by the plain way, in the trajectory of its window's steps alone; in the first
// window that is the plain score. Steps that the format numbers bring their number here.
func TestWindowsScoreAsPlainTrajectories(t *testing.T) {
	heads := filepath.Join(shareddata.Dir(t), "data", "goldens", "heads")
	own := train(t, config(t, tiny(t, tinymodel.Options{}))).Model
	for _, c := range []struct{ dir, format string }{
		{filepath.Join(heads, "qwen_math_prm"), ""}, {filepath.Join(heads, "skywork_prm"), ""},
		{filepath.Join(heads, "token_classification"), "pure"},
		{filepath.Join(heads, "math_shepherd_qwen2"), "rlhflow"}, {filepath.Join(heads, "reasonflux_1_5b"), ""}, {own, ""},
	} {
		all, err := Open(c.dir, OpenOptions{Format: c.format})
		require.NoError(t, err)
		trajectory := long()
		if all.format == formatGoprm { // its trained length is 512 tokens
			trajectory = part(trajectory, 0, 12)
		}
		plain, err := all.Score(context.Background(), trajectory)
		require.NoError(t, err)
		texts, err := all.render(trajectory)
		require.NoError(t, err)
		longest := 0
		for _, e := range texts {
			longest = max(longest, len(e.Tokens))
		}
		exact, err := Open(c.dir, OpenOptions{Format: c.format, MaxTokens: longest})
		require.NoError(t, err)
		same, err := exact.Score(context.Background(), trajectory)
		require.NoError(t, err)
		require.Equal(t, lines(t, plain), lines(t, same), "what fits is read at once")
		require.NoError(t, exact.Close())

		m, err := Open(c.dir, OpenOptions{Format: c.format, MaxTokens: longest/2 + 40})
		require.NoError(t, err)
		got, err := m.Score(context.Background(), trajectory)
		require.NoError(t, err)
		require.Len(t, got.Steps, len(plain.Steps))
		texts, err = m.render(trajectory)
		require.NoError(t, err)
		worst := 0.0
		for i, s := range got.Steps {
			if s.Window == 0 {
				require.Equal(t, plain.Steps[i].Score, s.Score, "%s step %d", m.format, i)
			}
			worst = max(worst, math.Abs(plain.Steps[i].Score-s.Score))
		}
		require.Greater(t, got.Steps[len(got.Steps)-1].Window, 0, m.format)
		t.Logf("%s: %d windows, scores differ from unwindowed ones by up to %.3g", m.format, got.Steps[len(got.Steps)-1].Window+1, worst)
		for _, e := range texts { // which steps are in the window is known by its length alone, so try all
			if e.Reads[0].Window == 0 || e.Reads[0].Kind != data.KindStep {
				continue
			}
			read, found := e.Reads[0], false
			for from := range read.Index + 1 {
				alone, err := all.Score(context.Background(), part(trajectory, from, read.Index+1))
				require.NoError(t, err)
				if alone.Steps[len(alone.Steps)-1].Score == got.Steps[read.Index].Score {
					require.Greater(t, from, 0)
					found = true
				}
			}
			require.True(t, found, "%s: window %d is not a plain trajectory of some steps up to %d", m.format, read.Window, read.Index)
		}
		require.NoError(t, m.Close())
		require.NoError(t, all.Close())
	}
	_, err := Open(filepath.Join(heads, "qwen_math_prm"), OpenOptions{MaxTokens: 4097})
	require.ErrorContains(t, err, "max_tokens: 4097 tokens is not from 1 to the model's 4096")
	m, err := Open(filepath.Join(heads, "sequence_classification"), OpenOptions{MaxTokens: 200})
	require.NoError(t, err)
	_, err = m.Score(context.Background(), long())
	require.ErrorContains(t, err, "the model was trained for 200")
	require.NoError(t, m.Close())
}
