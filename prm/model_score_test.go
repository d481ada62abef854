package prm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/shareddata"
	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/stretchr/testify/require"
)

// The scores of public formats are PyTorch's, from their texts on.
func TestPublicFormats(t *testing.T) {
	problem := "A shelf holds 4 rows of 9 books; 5 are lent out. How many are left?"
	steps := []string{"There are 4 * 9 = 36 books.", "Wait, some are lent out: 36 - 5 = 31.", "The shelf still holds \\boxed{31} books."}
	given := &data.Trajectory{ID: "a", Problem: problem, ResponseSteps: steps}
	whole := &data.Trajectory{ID: "a", Problem: problem, Response: strings.Join(steps, "\n\n")}
	numbered := &data.Trajectory{ID: "a", Problem: problem}
	for i, s := range steps {
		numbered.ResponseSteps = append(numbered.ResponseSteps, fmt.Sprintf("Step %d: %s", i+1, s))
	}
	heads := filepath.Join(shareddata.Dir(t), "data", "goldens", "heads")
	for folder, c := range map[string]struct {
		format       string
		trajectories []*data.Trajectory
	}{
		"qwen_math_prm":         {"qwen_math_prm", []*data.Trajectory{given, whole}},
		"token_classification":  {"token_classification", []*data.Trajectory{given, whole}},
		"math_shepherd_qwen2":   {"math_shepherd", []*data.Trajectory{given, whole, numbered}},
		"math_shepherd_mistral": {"math_shepherd", []*data.Trajectory{given, whole, numbered}},
		"skywork_prm": {"skywork",
			[]*data.Trajectory{{ID: "a", Problem: problem, Response: steps[0] + "\n" + steps[1] + "\n\n" + steps[2]}}},
		"reasonflux_1_5b":         {"", []*data.Trajectory{given, whole}},
		"sequence_classification": {"", []*data.Trajectory{given, whole}},
	} {
		dir := filepath.Join(heads, folder)
		var want struct {
			IDs   []int32 `json:"input_ids"`
			Reads []int32 `json:"read_positions"`
			F64   struct{ Scores, Sigmoid []float64 }
			F32   struct{ Scores, Sigmoid []float64 }
		}
		text, err := os.ReadFile(filepath.Join(dir, "expected.json"))
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(text, &want))
		for dtype, numbers := range map[string]struct{ Scores, Sigmoid []float64 }{"f64": want.F64, "f32": want.F32} {
			m, err := Open(dir, OpenOptions{DType: dtype, Format: c.format})
			require.NoError(t, err)
			tolerance := map[string]float64{"f64": 1e-9, "f32": 1e-4}[dtype]
			for _, trajectory := range c.trajectories {
				list, err := m.render(trajectory)
				require.NoError(t, err, folder)
				e := list[len(list)-1] // what reads prefixes reads the whole last
				require.Equal(t, want.IDs, e.Tokens, folder)
				got, err := m.Score(context.Background(), trajectory)
				require.NoError(t, err)
				mean := 0.0
				if len(numbers.Scores) == 1 {
					require.InEpsilon(t, numbers.Scores[0], *got.Trajectory, tolerance, folder)
					require.InEpsilon(t, numbers.Scores[0], got.Reward, tolerance, folder)
					require.Equal(t, want.Reads[0], e.Reads[0].Pos)
					if numbers.Sigmoid != nil {
						require.InEpsilon(t, numbers.Sigmoid[0], *got.Sigmoid, tolerance)
						require.Empty(t, got.Steps)
					}
					continue
				}
				require.Nil(t, got.Trajectory)
				require.Len(t, got.Steps, len(numbers.Scores), folder)
				for i, s := range got.Steps {
					require.Equal(t, want.Reads[i], e.Reads[i].Pos)
					require.InEpsilon(t, numbers.Scores[i], s.Score, tolerance)
					require.Equal(t, "response", s.Part)
					mean += s.Score / float64(len(got.Steps))
				}
				require.InDelta(t, mean, got.Reward, 1e-12)
			}
			require.NoError(t, m.Close())
		}
	}
	for dir, message := range map[string]string{
		"math_shepherd_qwen2":  "several formats fit: math_shepherd, rlhflow, eurus, versaprm",
		"token_classification": "several formats fit: token_classification, pure",
	} {
		_, err := Open(filepath.Join(heads, dir), OpenOptions{})
		require.ErrorContains(t, err, message)
	}
	_, err := Open(filepath.Join(heads, "qwen_math_prm"), OpenOptions{Format: "pure"})
	require.ErrorContains(t, err, `format "pure" does not fit; what fits is qwen_math_prm`)
}

// The formats that the shared goldens lack, from their texts on; numbers of scripts/goldens/heads.py.
func TestOwnGoldenFormats(t *testing.T) {
	problem := "A tank holds 20 litres; 7 are poured out, then 5 in. How many are in it?"
	steps := []string{"It holds 20 - 7 = 13 litres.", "Then 13 + 5 = 18, hm, that is right.", "The answer is \\boxed{18}."}
	for folder, format := range map[string]string{
		"rlhflow": "rlhflow", "eurus": "eurus", "pure_linear": "pure", "yarn_window": "token_classification", "mistral_window": "math_shepherd",
		"versaprm": "versaprm", "sequence_dynamic": "",
	} {
		dir, options := filepath.Join("..", "internal", "parity", "testdata", "heads", folder), OpenOptions{Format: format, DType: "f64"}
		if format == "eurus" {
			_, err := Open(dir, options)
			require.ErrorContains(t, err, "scores relative to a reference model")
			options.Reference = filepath.Join(dir, "reference")
		}
		var want struct {
			IDs []int32 `json:"input_ids"`
			F64 struct{ Scores, Accumulated []float64 }
		}
		text, err := os.ReadFile(filepath.Join(dir, "expected.json"))
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(text, &want))
		m, err := Open(dir, options)
		require.NoError(t, err)
		given := &data.Trajectory{ID: "a", Problem: problem, ResponseSteps: steps}
		list, err := m.render(given)
		require.NoError(t, err)
		require.Equal(t, want.IDs, list[0].Tokens, folder)
		got, err := m.Score(context.Background(), given)
		require.NoError(t, err)
		if len(want.F64.Scores) == 1 {
			require.InEpsilon(t, want.F64.Scores[0], *got.Trajectory, 1e-9)
		}
		for i, s := range got.Steps {
			require.InEpsilon(t, want.F64.Scores[i], s.Score, 1e-9, folder)
		}
		if format == "eurus" {
			require.InEpsilon(t, want.F64.Accumulated[2], *got.Trajectory, 1e-9)
			require.InEpsilon(t, want.F64.Accumulated[2], got.Reward, 1e-9)
		}
		require.NoError(t, m.Close())
	}
	_, err := Open(filepath.Join("..", "internal", "parity", "testdata", "heads", "pure_linear"), OpenOptions{Format: "pure", Reference: "x"})
	require.ErrorContains(t, err, "a reference model is of no use to the format pure")
}

// A model of whole texts scores a step with what it says of the text up to that step's end.
func TestPrefixScores(t *testing.T) {
	m, err := Open(filepath.Join(shareddata.Dir(t), "data", "goldens", "heads", "reasonflux_1_5b"), OpenOptions{})
	require.NoError(t, err)
	defer func() { require.NoError(t, m.Close()) }()
	thinking, response := "One.\n\nTwo, longer.\n\n\n\n", "Three.\n\nFour."
	got, err := m.Score(context.Background(), &data.Trajectory{Problem: "Count.", Thinking: thinking, Response: response})
	require.NoError(t, err)
	require.Len(t, got.Steps, 4)
	for i, upTo := range []string{"One.", "One.\n\nTwo, longer.", thinking + "\n\nThree.", thinking + "\n\n" + response} {
		alone, err := m.Score(context.Background(), &data.Trajectory{Problem: "Count.", ResponseSteps: []string{upTo}})
		require.NoError(t, err)
		require.Equal(t, *alone.Trajectory, got.Steps[i].Score)
		require.Equal(t, []string{"thinking", "thinking", "response", "response"}[i], got.Steps[i].Part)
	}
	require.Equal(t, got.Steps[3].Score, *got.Trajectory)
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
