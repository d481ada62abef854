package prm

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/goprm/goprm/data/label"
	"github.com/goprm/goprm/internal/shareddata"
	"github.com/stretchr/testify/require"
)

// The verdicts are the scores that PyTorch computed for the golden trajectory of a public format.
func TestLabelJudgeGivesTheModelsScores(t *testing.T) {
	dir := filepath.Join(shareddata.Dir(t), "data", "goldens", "heads", "qwen_math_prm")
	open := func(dtype string) *Judge {
		m, err := Open(dir, OpenOptions{DType: dtype, Format: "qwen_math_prm"})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, m.Close()) })
		j, err := NewJudge(m)
		require.NoError(t, err)
		return j
	}
	j := open("f64")
	var want struct{ F64 struct{ Scores []float64 } }
	text, err := os.ReadFile(filepath.Join(dir, "expected.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &want))
	c := &label.Case{
		ID: "a", Problem: "A shelf holds 4 rows of 9 books; 5 are lent out. How many are left?",
		Thinking: []string{"There are 4 * 9 = 36 books.", "Wait, some are lent out: 36 - 5 = 31.", "The shelf still holds \\boxed{31} books."},
	}
	got, err := j.Judge(t.Context(), c, []int{2, 0})
	require.NoError(t, err)
	require.Len(t, got, 2)
	require.InEpsilon(t, want.F64.Scores[2], got[0].Score, 1e-9)
	require.InEpsilon(t, want.F64.Scores[0], got[1].Score, 1e-9)
	require.Equal(t, label.SeesPrefix, j.Sees())
	require.Equal(t, 0, j.StepsPerCall())

	require.NotEqual(t, open("f32").ID(), j.ID())
}
