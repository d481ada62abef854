package prmjudge

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/goprm/goprm/data/label"
	"github.com/goprm/goprm/internal/shareddata"
	"github.com/goprm/goprm/prm"
	"github.com/stretchr/testify/require"

	_ "github.com/goprm/goprm/internal/cpu"
)

// The verdicts are the scores that PyTorch computed for the golden trajectory of a public format.
func TestJudgeGivesTheModelsScores(t *testing.T) {
	dir := filepath.Join(shareddata.Dir(t), "data", "goldens", "heads", "qwen_math_prm")
	j, err := Open(Options{Model: dir, OpenOptions: prm.OpenOptions{DType: "f64", Format: "qwen_math_prm"}})
	require.NoError(t, err)
	defer func() { require.NoError(t, j.Close()) }()
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

	f32, err := Open(Options{Model: dir, OpenOptions: prm.OpenOptions{DType: "f32", Format: "qwen_math_prm"}})
	require.NoError(t, err)
	defer func() { require.NoError(t, f32.Close()) }()
	require.NotEqual(t, f32.ID(), j.ID())
	_, err = Open(Options{Model: t.TempDir()})
	require.Error(t, err)
}
