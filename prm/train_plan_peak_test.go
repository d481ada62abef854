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

// What a process that trains has in memory at most is what is planned, within 5 %: an optimizer step of three micro-batches, an
// evaluation, a checkpoint and the model. GOPRM_PEAK_HIDDEN is the width of a larger model than that of this short form.
func TestPlanIsThePeakOfAProcess(t *testing.T) {
	hidden, layers, tokens, slack := 512, 5, 128, 8<<20 // the process itself is much of so small a run
	if text := os.Getenv("GOPRM_PEAK_HIDDEN"); text != "" {
		var err error
		hidden, err = strconv.Atoi(text)
		require.NoError(t, err)
		layers, tokens, slack = 12, 2048, 0
	} else if testing.Short() {
		t.Skip("trains for some seconds")
	}
	base := tiny(t, tinymodel.Options{Hidden: hidden, Intermediate: 4 * hidden, Layers: layers, Heads: hidden / 64, KVHeads: hidden / 128,
		MaxPositions: 4096, DType: safetensors.BF16})
	rows := rowsFile(t, t.TempDir()+"/rows.jsonl", fullTexts(8, tokens))
	for _, mode := range []string{"head", "lora", "full"} {
		c := config(t, base)
		c.Data.Trajectories, c.Data.Train, c.Data.EvalShare, c.Backend = nil, []string{rows}, new(0.25), "auto"
		c.Train, c.LoRA.Rank, c.Batch = mode, 16, Batch{Trajectories: 3, Tokens: tokens}
		c.Optim.Steps, c.Optim.Epochs, c.Eval.Every, c.Checkpoint.Every = 1, 0, new(1), new(1)
		out, err := child(t, c).Output()
		require.NoError(t, err)
		var report childReport
		require.NoError(t, json.Unmarshal(out, &report))
		require.Empty(t, report.Error)
		plan, err := Plan(PlanOptions{Model: base, Train: mode, Tokens: tokens, MicroBatches: 3, Device: "cpu", LoRA: c.LoRA})
		require.NoError(t, err)
		t.Logf("%-4s peak %s, planned %s (%+.1f %%)", mode, bytesText(report.Peak), bytesText(plan.Total), 100*(float64(plan.Total)/float64(report.Peak)-1))
		require.InDelta(t, report.Peak, plan.Total, 0.05*float64(report.Peak)+float64(slack), "%s: %+v", mode, plan)
	}
}
