package prm

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/shareddata"
	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/stretchr/testify/require"
)

// The scores of public formats are PyTorch's.
func TestPublicFormats(t *testing.T) {
	problem := "A shelf holds 4 rows of 9 books; 5 are lent out. How many are left?"
	steps := []string{"There are 4 * 9 = 36 books.", "Wait, some are lent out: 36 - 5 = 31.", "The shelf still holds \\boxed{31} books."}
	heads := filepath.Join(shareddata.Dir(t), "data", "goldens", "heads")
	for _, format := range []string{"qwen_math_prm", "token_classification"} {
		dir := filepath.Join(heads, format)
		var want struct {
			IDs   []int32 `json:"input_ids"`
			Reads []int32 `json:"read_positions"`
			F64   struct{ Scores []float64 }
			F32   struct{ Scores []float64 }
		}
		text, err := os.ReadFile(filepath.Join(dir, "expected.json"))
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(text, &want))
		for dtype, scores := range map[string][]float64{"f64": want.F64.Scores, "f32": want.F32.Scores} {
			m, err := Open(dir, OpenOptions{DType: dtype, Format: format})
			require.NoError(t, err)
			trajectory := &data.Trajectory{ID: "a", Problem: problem, ResponseSteps: steps}
			e, err := m.render(trajectory)
			require.NoError(t, err)
			require.Equal(t, want.IDs, e.Tokens)
			got, err := m.Score(context.Background(), trajectory)
			require.NoError(t, err)
			require.Nil(t, got.Trajectory)
			mean := 0.0
			for i, s := range got.Steps {
				require.Equal(t, want.Reads[i], e.Reads[i].Pos)
				require.InEpsilon(t, scores[i], s.Score, map[string]float64{"f64": 1e-9, "f32": 1e-4}[dtype])
				require.Equal(t, "response", s.Part)
				mean += s.Score / 3
			}
			require.InDelta(t, mean, got.Reward, 1e-12)
			require.NoError(t, m.Close())
		}
	}
	for dir, message := range map[string]string{
		"math_shepherd_qwen2": "several formats fit: math_shepherd, rlhflow, eurus", "token_classification": "several formats fit: token_classification, pure",
		"sequence_classification": "the format sequence_classification is not readable yet",
	} {
		_, err := Open(filepath.Join(heads, dir), OpenOptions{})
		require.ErrorContains(t, err, message)
	}
	_, err := Open(filepath.Join(heads, "qwen_math_prm"), OpenOptions{Format: "pure"})
	require.ErrorContains(t, err, `format "pure" does not fit; what fits is qwen_math_prm`)
}

// A row that is bad may be skipped; an input that breaks ends the sequence whatever OnBad says.
func TestOnBadIsAskedAboutRowsAlone(t *testing.T) {
	m, err := Open(train(t, config(t, tiny(t, tinymodel.Options{}))).Model, OpenOptions{})
	require.NoError(t, err)
	defer func() { require.NoError(t, m.Close()) }()
	good := &data.Trajectory{ID: "a", Problem: "p", ResponseSteps: []string{"s"}}
	broken := errors.New("the disk is gone")
	for _, c := range []struct {
		fault  error
		asked  int
		scored int
	}{{&data.RowError{File: "f", Line: 2, Err: errors.New("bad row")}, 1, 2}, {broken, 0, 1}} {
		input := func(yield func(*data.Trajectory, error) bool) {
			_ = yield(good, nil) && yield(nil, c.fault) && yield(good, nil)
		}
		asked, scored := 0, 0
		var last error
		for _, err := range m.ScoreAll(context.Background(), input, ScoreOptions{OnBad: func(error) error { asked++; return nil }}) {
			if last = err; err == nil {
				scored++
			}
		}
		require.Equal(t, c.asked, asked)
		require.Equal(t, c.scored, scored)
		require.Equal(t, c.asked == 0, errors.Is(last, broken))
	}
}
