//go:build linux

package prm

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/mpitest"
	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/stretchr/testify/require"
)

// A compute-bound step of two ranks with one thread each takes little more than half the time that one rank with one thread takes for the
// same batch. It needs two cores and nothing else running, so it waits for GOPRM_SCALING=1 (make mpi-scaling).
func TestScaling(t *testing.T) {
	if os.Getenv("GOPRM_SCALING") == "" {
		t.Skip("make mpi-scaling runs it, with nothing else running")
	}
	base := filepath.Join(t.TempDir(), "base")
	require.NoError(t, tinymodel.Write(base, tinymodel.Options{Hidden: 256, Intermediate: 768, Layers: 3}))
	list := make([]*data.Trajectory, 16)
	for i := range list {
		list[i] = &data.Trajectory{ID: fmt.Sprint(i), Problem: "Add numbers."}
		for j := range 30 {
			list[i].ResponseSteps = append(list[i].ResponseSteps, fmt.Sprintf("%d+%d=%02d", j%10, i%10, j%10+i%10))
			list[i].Labels.Steps = append(list[i].Labels.Steps, data.Float(float64(j%2)))
		}
	}
	c := onFiles(t, list)
	c.Model, c.Train, c.Threads = base, "full", 1
	c.Batch, c.Data.EvalShare, c.Checkpoint.Every = Batch{Trajectories: len(list), Tokens: 512}, new(0.0), new(0)
	c.Optim.Epochs, c.Optim.Steps = 0, 4
	run := func(name string, start func(c TrainConfig) []*exec.Cmd) float64 {
		c.Out = filepath.Join(t.TempDir(), name)
		for _, cmd := range start(c) {
			require.NoError(t, cmd.Wait(), name)
		}
		return tokensPerSecond(t, c.Out)
	}
	started := func(cmd *exec.Cmd) []*exec.Cmd {
		cmd.Env = append(cmd.Env, "GOMAXPROCS=1")
		require.NoError(t, cmd.Start())
		return []*exec.Cmd{cmd}
	}
	t.Setenv("GOMAXPROCS", "1")
	ways := map[string]func(c TrainConfig) []*exec.Cmd{
		"TCP": func(c TrainConfig) []*exec.Cmd { commands, _ := startRanks(t, c, 2); return commands },
	}
	for name, line := range mpitest.Installed(t) {
		ways[name] = func(c TrainConfig) []*exec.Cmd { return started(underMPI(t, line, 2, c)) }
	}
	for name, start := range ways {
		for c.Dist.Zero = 1; c.Dist.Zero <= 2; c.Dist.Zero++ {
			best := 0.0
			for try := 0; try < 3 && best < 0.9; try++ {
				one := run("one", func(c TrainConfig) []*exec.Cmd { return started(childOf(t, c)) })
				two := run("two", start)
				best = max(best, two/one/2)
				t.Logf("%s, ZeRO stage %d: 1 rank %.0f tokens/s, 2 ranks %.0f tokens/s: efficiency %.3f", name, c.Dist.Zero, one, two, two/one/2)
			}
			require.GreaterOrEqual(t, best, 0.9, "%s, ZeRO stage %d", name, c.Dist.Zero)
		}
	}
}

// tokensPerSecond is the median of the steps behind the first.
func tokensPerSecond(t *testing.T, out string) float64 {
	text, err := os.ReadFile(filepath.Join(out, metricsName))
	require.NoError(t, err)
	var list []float64
	for line := range strings.Lines(string(text)) {
		var row struct {
			Step   int     `json:"step"`
			Tokens float64 `json:"tokens_per_s"`
		}
		require.NoError(t, json.Unmarshal([]byte(line), &row))
		if row.Step > 1 && row.Tokens > 0 {
			list = append(list, row.Tokens)
		}
	}
	require.NotEmpty(t, list)
	slices.Sort(list)
	return list[len(list)/2]
}
