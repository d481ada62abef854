//go:build linux

package prm

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"testing"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/safetensors"
	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fullTexts are trajectories of about so many tokens in a vocabulary of bytes.
func fullTexts(n, tokens int) []*data.Trajectory {
	list := make([]*data.Trajectory, n)
	for i := range list {
		t := &data.Trajectory{ID: fmt.Sprint("t", i), Problem: fmt.Sprintf("Problem %3d.", i)}
		for length := len(t.Problem) + 2; length+16 <= tokens; length += 16 {
			t.ResponseSteps = append(t.ResponseSteps, fmt.Sprintf("%-15s", "a step"))
		}
		t.Labels.Steps = make([]*float64, len(t.ResponseSteps))
		for j := range t.ResponseSteps {
			t.Labels.Steps[j] = data.Float(float64(j % 2))
		}
		list[i] = t
	}
	return list
}

// What a process that trains has in memory at most is what is planned, within 5 %: an optimizer step of two micro-batches, an
// evaluation, a checkpoint and the model. With GOPRM_PEAK_HIDDEN, the width of a larger model, so it is for more shapes.
func TestPlanIsThePeakOfAProcess(t *testing.T) {
	type shape struct{ hidden, layers, heads, kvHeads, tokens int }
	shapes := []shape{{512, 6, 8, 4, 512}}
	if text := os.Getenv("GOPRM_PEAK_HIDDEN"); text != "" {
		hidden, err := strconv.Atoi(text)
		require.NoError(t, err)
		shapes = append(shapes, shape{512, 6, 8, 2, 2048}, shape{768, 4, 6, 2, 2048}, shape{hidden, 12, hidden / 64, hidden / 128, 512},
			shape{hidden, 12, hidden / 64, hidden / 128, 2048})
	} else if testing.Short() {
		t.Skip("trains for some seconds")
	}
	for _, s := range shapes {
		t.Run(fmt.Sprintf("%d wide, %d layers, %d and %d heads, %d tokens", s.hidden, s.layers, s.heads, s.kvHeads, s.tokens), func(t *testing.T) {
			base := tiny(t, tinymodel.Options{Hidden: s.hidden, Intermediate: 4 * s.hidden, Layers: s.layers, Heads: s.heads, KVHeads: s.kvHeads,
				MaxPositions: 4096, DType: safetensors.BF16})
			for _, mode := range []string{"head", "lora", "full"} {
				comparePeak(t, base, mode, s.tokens)
			}
		})
	}
}

func comparePeak(t *testing.T, base, mode string, tokens int) {
	c := config(t, base)
	c.Data.Trajectories, c.Data.Train = nil, []string{rowsFile(t, t.TempDir()+"/rows.jsonl", fullTexts(4, tokens))}
	c.Data.EvalShare, c.Backend = new(0.25), "auto"
	c.Train, c.LoRA.Rank, c.Batch = mode, 16, Batch{Trajectories: 2, Tokens: tokens}
	c.Optim.Steps, c.Optim.Epochs, c.Eval.Every, c.Checkpoint.Every = 1, 0, new(1), new(1)
	out, err := child(t, c).Output()
	require.NoError(t, err)
	var report childReport
	require.NoError(t, json.Unmarshal(out, &report))
	require.Empty(t, report.Error)
	plan, err := Plan(PlanOptions{Model: base, Train: mode, Tokens: tokens, MicroBatches: 2, Device: "cpu", LoRA: c.LoRA})
	require.NoError(t, err)
	t.Logf("%-4s peak %s, planned %s (%+.1f %%)", mode, bytesText(report.Peak), bytesText(plan.Total), 100*(float64(plan.Total)/float64(report.Peak)-1))
	assert.InEpsilon(t, report.Peak, plan.Total, 0.05, "%s: %+v", mode, plan)
}
