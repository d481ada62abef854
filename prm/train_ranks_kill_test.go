//go:build linux

package prm

import (
	"bytes"
	"fmt"
	"net"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// startRanks starts processes with the variables that torchrun sets.
func startRanks(t *testing.T, c TrainConfig, world int) ([]*exec.Cmd, []*bytes.Buffer) {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := free.Addr().(*net.TCPAddr).Port
	require.NoError(t, free.Close())
	commands, outputs := make([]*exec.Cmd, world), make([]*bytes.Buffer, world)
	for r := range commands {
		cmd, out := childOf(t, c), &bytes.Buffer{}
		cmd.Env = append(cmd.Env, distributedEnvironment+"=1", fmt.Sprintf("RANK=%d", r), fmt.Sprintf("WORLD_SIZE=%d", world),
			"MASTER_ADDR=127.0.0.1", fmt.Sprintf("MASTER_PORT=%d", port))
		cmd.Stdout, cmd.Stderr = out, out
		require.NoError(t, cmd.Start())
		commands[r], outputs[r] = cmd, out
	}
	return commands, outputs
}

// Processes over TCP, one of which is killed: the others end by themselves, and the run that is resumed has the bits of an undisturbed one.
func TestRankProcessesKilled(t *testing.T) {
	c := onFiles(t, sums(28, 5))
	c.Train, c.Optim.Epochs, c.Checkpoint.Every, c.Threads = "full", 4, new(1), 1
	alone := c
	alone.Out = c.Out + "-alone"
	requireTrained(t, alone, 3)
	for _, victim := range []int{2, 0} {
		before := checkpoints(t, c.Out)
		commands, outputs := startRanks(t, c, 3)
		require.Eventually(t, func() bool { return !slices.Equal(before, checkpoints(t, c.Out)) }, time.Minute, time.Millisecond)
		require.NoError(t, commands[victim].Process.Kill())
		killed := time.Now()
		for r, cmd := range commands {
			if err := cmd.Wait(); r != victim {
				require.Error(t, err, "rank %d: %s", r, outputs[r])
				require.Contains(t, outputs[r].String(), fmt.Sprintf("rank %d of 3: ", r))
			}
		}
		require.Less(t, time.Since(killed), 30*time.Second)
	}
	commands, outputs := startRanks(t, c, 3)
	for r, cmd := range commands {
		require.NoError(t, cmd.Wait(), "rank %d: %s", r, outputs[r])
	}
	require.Equal(t, weights(t, alone.Out), weights(t, c.Out))
	require.Equal(t, rows(t, alone.Out), rows(t, c.Out))
}
