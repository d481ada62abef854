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

// What prm train has in memory at most, besides the pages of its own program, is what is planned, within 5 % or 10 MiB above: two optimizer
// steps of two micro-batches, each with an evaluation and a checkpoint, and the model. With GOPRM_PEAK_HIDDEN, the width of a larger model,
// so it is for more shapes.
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
		t.Run(fmt.Sprintf("%d wide, %d layers, %d and %d heads, %d tokens", s.hidden, s.layers, s.heads, s.kvHeads, s.tokens),
			func(t *testing.T) {
				base := tiny(t, tinymodel.Options{Hidden: s.hidden, Intermediate: 4 * s.hidden, Layers: s.layers, Heads: s.heads, KVHeads: s.kvHeads,
					MaxPositions: 4096, DType: safetensors.BF16})
				for _, k := range [][2]string{{"head", "layer"}, {"lora", "layer"}, {"full", "none"}} {
					comparePeak(t, program, base, k[0], k[1], s.tokens)
				}
			})
	}
}

func comparePeak(t *testing.T, program, base, mode, recompute string, tokens int) {
	c := config(t, base)
	c.Data.Trajectories, c.Data.Train = nil, []string{rowsFile(t, t.TempDir()+"/rows.jsonl", fullTexts(4, tokens))}
	c.Data.EvalShare, c.Backend = new(0.25), "auto"
	c.Train, c.Recompute, c.LoRA.Rank, c.Batch = mode, recompute, 16, Batch{Trajectories: 2, Tokens: tokens}
	c.Optim.Steps, c.Optim.Epochs, c.Eval.Every, c.Checkpoint.Every = 2, 0, new(1), new(1)
	path := filepath.Join(t.TempDir(), "run.yaml")
	text, err := strictyaml.Encode(c)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, text, 0o666))
	peak, own := peakOf(t, exec.Command(program, "train", path))
	plan, err := Plan(PlanOptions{Model: base, Train: mode, Recompute: recompute, Tokens: tokens, MicroBatches: 2, Device: "cpu",
		LoRA: c.LoRA})
	require.NoError(t, err)
	measured, planned := peak-own, plan.Total-programPages
	t.Logf("%-4s peak %s, planned %s (%+.1f %%); program %s, planned %s", mode, bytesText(measured), bytesText(planned),
		100*(float64(planned)/float64(measured)-1), bytesText(own), bytesText(programPages))
	assert.GreaterOrEqual(t, float64(planned), 0.95*float64(measured), "%s: %+v", mode, plan)
	// Go collects garbage before the heap has doubled, which a plan must allow for: some MiB, which weigh in small models.
	assert.LessOrEqual(t, float64(planned), max(1.05*float64(measured), float64(measured+10<<20)), "%s: %+v", mode, plan)
}

// peakOf runs a command and reads its VmHWM, which only grows, until it ends, and how much of that are pages of the program's file: the
// system maps as many as it happens to hold. The command's resource usage would count this process's memory too.
func peakOf(t *testing.T, cmd *exec.Cmd) (peak, own int64) {
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case err := <-ended:
			require.NoError(t, err, "%s", said.String())
			return peak, own
		case <-time.After(2 * time.Millisecond):
		}
		proc := fmt.Sprintf("/proc/%d/", cmd.Process.Pid)
		status, _ := os.ReadFile(proc + "status") // not found: it has just ended
		maps, _ := os.ReadFile(proc + "smaps")
		exe, _ := os.Readlink(proc + "exe")
		if m := peakLine.FindSubmatch(status); m != nil && exe == cmd.Path {
			peak, own = kilobytes(t, m[1]), max(own, residentOf(t, maps, exe))
		}
	}
}

// residentOf adds up the resident pages of one file's mappings.
func residentOf(t *testing.T, smaps []byte, file string) (n int64) {
	in := false
	for line := range bytes.Lines(smaps) {
		if m := residentLine.FindSubmatch(line); m != nil && in {
			n += kilobytes(t, m[1])
		} else if mappingLine.Match(line) {
			in = bytes.HasSuffix(bytes.TrimSpace(line), []byte(file))
		}
	}
	return n
}

func kilobytes(t *testing.T, text []byte) int64 {
	n, err := strconv.ParseInt(string(text), 10, 64)
	require.NoError(t, err)
	return n << 10
}

var (
	peakLine     = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)
	residentLine = regexp.MustCompile(`^Rss:\s+(\d+) kB`)
	mappingLine  = regexp.MustCompile(`^[0-9a-f]+-[0-9a-f]+ `)
)
