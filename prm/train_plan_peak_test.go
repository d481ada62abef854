//go:build linux

package prm

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/safetensors"
	"github.com/goprm/goprm/internal/strictyaml"
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

// What prm train has in memory at most is what is planned, within 5 %: two optimizer steps of two micro-batches, each with an
// evaluation and a checkpoint, and the model. With GOPRM_PEAK_HIDDEN, the width of a larger model, so it is for more shapes.
func TestPlanIsThePeakOfAProcess(t *testing.T) {
	type shape struct{ hidden, layers, heads, kvHeads, tokens int }
	shapes := []shape{{512, 6, 8, 4, 1024}}
	if text := os.Getenv("GOPRM_PEAK_HIDDEN"); text != "" {
		hidden, err := strconv.Atoi(text)
		require.NoError(t, err)
		shapes = append(shapes, shape{512, 6, 8, 4, 512}, shape{512, 6, 8, 2, 2048}, shape{768, 4, 6, 2, 2048},
			shape{hidden, 12, hidden / 64, hidden / 128, 512}, shape{hidden, 12, hidden / 64, hidden / 128, 2048})
	} else if testing.Short() {
		t.Skip("trains for some seconds")
	}
	program := filepath.Join(t.TempDir(), "prm") // a test's binary touches fewer pages of its own
	built, err := exec.Command("go", "build", "-o", program, "../cmd/prm").CombinedOutput()
	require.NoError(t, err, "%s", built)
	for _, s := range shapes {
		t.Run(fmt.Sprintf("%d wide, %d layers, %d and %d heads, %d tokens", s.hidden, s.layers, s.heads, s.kvHeads, s.tokens), func(t *testing.T) {
			base := tiny(t, tinymodel.Options{Hidden: s.hidden, Intermediate: 4 * s.hidden, Layers: s.layers, Heads: s.heads, KVHeads: s.kvHeads,
				MaxPositions: 4096, DType: safetensors.BF16})
			for _, mode := range []string{"head", "lora", "full"} {
				comparePeak(t, program, base, mode, s.tokens)
			}
		})
	}
}

func comparePeak(t *testing.T, program, base, mode string, tokens int) {
	c := config(t, base)
	c.Data.Trajectories, c.Data.Train = nil, []string{rowsFile(t, t.TempDir()+"/rows.jsonl", fullTexts(4, tokens))}
	c.Data.EvalShare, c.Backend = new(0.25), "auto"
	c.Train, c.LoRA.Rank, c.Batch = mode, 16, Batch{Trajectories: 2, Tokens: tokens}
	c.Optim.Steps, c.Optim.Epochs, c.Eval.Every, c.Checkpoint.Every = 2, 0, new(1), new(1)
	path := filepath.Join(t.TempDir(), "run.yaml")
	text, err := strictyaml.Encode(c)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, text, 0o666))
	peak := peakOf(t, exec.Command(program, "train", path))
	plan, err := Plan(PlanOptions{Model: base, Train: mode, Tokens: tokens, MicroBatches: 2, Device: "cpu", LoRA: c.LoRA})
	require.NoError(t, err)
	t.Logf("%-4s peak %s, planned %s (%+.1f %%)", mode, bytesText(peak), bytesText(plan.Total), 100*(float64(plan.Total)/float64(peak)-1))
	// A plan takes the program's own pages for a constant. How many the system maps differs by some 15 MiB with what it holds of the
	// program's file, which weighs in small models.
	assert.InDelta(t, peak, plan.Total, max(0.05*float64(peak), 20<<20), "%s: %+v", mode, plan)
}

// peakOf runs a command and reads its VmHWM, which only grows, until it ends. Its resource usage would count this process's memory too.
func peakOf(t *testing.T, cmd *exec.Cmd) (peak int64) {
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case err := <-ended:
			require.NoError(t, err, "%s", said.String())
			return peak
		case <-time.After(2 * time.Millisecond):
		}
		status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid)) // not found: it has just ended
		exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", cmd.Process.Pid))
		if m := peakLine.FindSubmatch(status); m != nil && exe == cmd.Path {
			kilobytes, err := strconv.ParseInt(string(m[1]), 10, 64)
			require.NoError(t, err)
			peak = kilobytes << 10
		}
	}
}

var peakLine = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)
