package outside

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/prm"
	"github.com/stretchr/testify/require"
)

func modelFolder(t *testing.T) string {
	dir := filepath.Join(t.TempDir(), "model")
	require.NoError(t, writeModel(dir))
	return dir
}

// trained is a model whose step scores mean something: steps that say "good" are 1, others 0.
func trained(t *testing.T) string {
	var list []*data.Trajectory
	for i := range 24 {
		word, label := "good", 1.0
		if i%2 == 1 {
			word, label = "poor", 0
		}
		list = append(list, &data.Trajectory{
			ID: fmt.Sprint(i), Problem: fmt.Sprint("Problem ", i), Steps: []string{fmt.Sprintf("A %s step.", word), "So it goes on."},
			Response: "Done.", Labels: data.Labels{Steps: []*float64{data.Float(label), data.Float(label)}},
		})
	}
	result, err := prm.Train(ctx, prm.TrainConfig{
		Model: modelFolder(t), Train: "full", Out: filepath.Join(t.TempDir(), "run"), Quiet: true,
		Data:  prm.DataConfig{Trajectories: prm.Slice(list), EvalShare: data.Float(0)},
		Optim: prm.Optim{LR: data.Float(3e-3), HeadLR: data.Float(3e-2), Steps: 40},
		Batch: prm.Batch{Trajectories: 12},
	})
	require.NoError(t, err)
	return result.Model
}

// A beam search over steps has the scores of whole trajectories, and computes of each text little more than its last step.
func TestBeamSearch(t *testing.T) {
	model, err := prm.Open(trained(t), prm.OpenOptions{})
	require.NoError(t, err)
	defer func() { require.NoError(t, model.Close()) }()
	root, err := model.Session("What is 2+2, said in many words so that the beginning is long?")
	require.NoError(t, err)
	require.Empty(t, root.Cache().Off)
	beam := []*prm.Session{root}
	read, reused := 0, 0
	for depth := range 5 {
		type candidate struct {
			session *prm.Session
			reward  float64
		}
		var candidates []candidate
		for _, parent := range beam {
			for _, word := range []string{"good", "poor", "other"} {
				child := parent.Fork()
				score, err := child.Append(ctx, fmt.Sprintf("A %s step, number %d.", word, depth))
				require.NoError(t, err)
				whole, err := model.Score(ctx, child.Trajectory())
				require.NoError(t, err)
				require.Equal(t, whole, score)
				read, reused = read+child.Tokens(), reused+child.Reused()
				candidates = append(candidates, candidate{child, score.Reward})
			}
		}
		slices.SortStableFunc(candidates, func(a, b candidate) int {
			if a.reward > b.reward {
				return -1
			}
			return 1
		})
		beam = beam[:0]
		for _, c := range candidates[:min(2, len(candidates))] {
			beam = append(beam, c.session)
		}
	}
	require.Equal(t, 5, strings.Count(strings.Join(beam[0].Trajectory().Steps, " "), "good"), "the best beam took good steps alone")
	// A byte is a token here: an append is new in its own step of some 25 tokens, what closes the turn, and at most a block of 16 before.
	computed, appends := read-reused, 3+4*6
	require.Less(t, computed, appends*(30+20+16))
	require.Greater(t, reused, read/2)
	t.Logf("%d appends read %d tokens and computed %d", appends, read, computed)
}
