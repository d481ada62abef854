//go:build linux

package prm

import (
	"bytes"
	"fmt"
	"net"
	"os/exec"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/goprm/goprm/internal/dist"
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

// Processes over TCP, one of which is killed or stands still: the others end by themselves, at once or when dist.timeout is over, and the
// run that is resumed has the bits of an undisturbed one. A process that goes on when the others have ended ends too.
func TestRankProcessesKilled(t *testing.T) {
	c := onFiles(t, sums(28, 5))
	c.Train, c.Optim.Epochs, c.Checkpoint.Every, c.Threads = "full", 4, new(1), 1
	alone := c
	alone.Out = c.Out + "-alone"
	requireTrained(t, alone, 3)
	for _, end := range []struct {
		victim  int
		signal  syscall.Signal
		timeout int
		says    string
	}{{2, syscall.SIGKILL, 1800, ""}, {0, syscall.SIGKILL, 1800, ""}, {0, syscall.SIGSTOP, 4, dist.ErrTimeout.Error()}} {
		before := checkpoints(t, c.Out)
		c.Dist.Timeout = end.timeout
		commands, outputs := startRanks(t, c, 3)
		require.Eventually(t, func() bool { return !slices.Equal(before, checkpoints(t, c.Out)) }, time.Minute, time.Millisecond)
		require.NoError(t, commands[end.victim].Process.Signal(end.signal))
		began, said := time.Now(), ""
		for r, cmd := range commands {
			if r == end.victim {
				continue
			}
			require.Error(t, cmd.Wait(), "rank %d: %s", r, outputs[r])
			require.Contains(t, outputs[r].String(), fmt.Sprintf("rank %d of 3: ", r))
			said += outputs[r].String()
		}
		require.Contains(t, said, end.says)
		require.Less(t, time.Since(began), 30*time.Second)
		_ = commands[end.victim].Process.Signal(syscall.SIGCONT) // the others have ended
		require.Error(t, commands[end.victim].Wait(), outputs[end.victim].String())
	}
	commands, outputs := startRanks(t, c, 3)
	for r, cmd := range commands {
		require.NoError(t, cmd.Wait(), "rank %d: %s", r, outputs[r])
	}
	require.Equal(t, weights(t, alone.Out), weights(t, c.Out))
	require.Equal(t, rows(t, alone.Out), rows(t, c.Out))
}
