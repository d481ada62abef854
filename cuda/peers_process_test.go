//go:build linux && (amd64 || arm64) && !nocuda && !gpuonly

package cuda

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/goprm/goprm/internal/dist"
	"github.com/goprm/goprm/prm"
	"github.com/stretchr/testify/require"
)

// rankFile names a configuration: the process is a rank that trains by it.
const rankFile = "GOPRM_CUDA_TEST_RANK"

// TestRankProcess is what the processes of the next test run.
func TestRankProcess(t *testing.T) {
	path := os.Getenv(rankFile)
	if path == "" {
		t.Skip("not a rank")
	}
	var r rankConfig
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &r))
	c := run(t, r.Base, "lora")
	c.Out, c.Optim.Epochs, c.Device, c.Resume, c.Distributed = r.Out, 3, "auto", true, true
	c.Dist.NCCL, c.Dist.Zero, c.Dist.Timeout = r.NCCL, 2, r.Timeout
	_, err = prm.Train(context.Background(), c)
	require.NoError(t, err)
}

type rankConfig struct {
	Base, Out, NCCL string
	Timeout         int // seconds
}

// startRankProcesses starts two processes with torchrun's variables, each with an emulated GPU of its own.
func startRankProcesses(t *testing.T, r rankConfig) ([2]*exec.Cmd, *[2]bytes.Buffer) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := free.Addr().(*net.TCPAddr).Port
	require.NoError(t, free.Close())
	text, err := json.Marshal(r)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "rank.json")
	require.NoError(t, os.WriteFile(path, text, 0o666))
	var commands [2]*exec.Cmd
	outputs := new([2]bytes.Buffer)
	for rank := range commands {
		cmd := exec.Command(os.Args[0], "-test.run", "^TestRankProcess$", "-test.count", "1")
		cmd.Env = append(os.Environ(), rankFile+"="+path, "GOPRM_EMU_DEVICES=2", fmt.Sprintf("RANK=%d", rank), "WORLD_SIZE=2",
			fmt.Sprintf("LOCAL_RANK=%d", rank), "LOCAL_WORLD_SIZE=2", "MASTER_ADDR=127.0.0.1", fmt.Sprintf("MASTER_PORT=%d", port))
		cmd.Stdout, cmd.Stderr = &outputs[rank], &outputs[rank]
		require.NoError(t, cmd.Start())
		commands[rank] = cmd
	}
	return commands, outputs
}

// Processes on emulated GPUs whose id goes over TCP train by NCCL what they train through the host's memory. When one is killed the other
// ends within seconds, when one stands still after dist.timeout, and what is resumed ends with the same bits.
func TestEmulatedRankProcesses(t *testing.T) {
	if testing.Short() {
		t.Skip("short: seconds of the emulator")
	}
	require.NoError(t, openEmulated(t).Close())
	base := tinyBase(t, 32)
	finish := func(r rankConfig) prm.TrainConfig {
		commands, outputs := startRankProcesses(t, r)
		for rank, cmd := range commands {
			require.NoError(t, cmd.Wait(), "rank %d: %s", rank, outputs[rank].String())
		}
		return prm.TrainConfig{Out: r.Out}
	}
	recorded := func(out string) string {
		text, err := os.ReadFile(filepath.Join(out, "run.json"))
		require.NoError(t, err)
		return string(text)
	}
	host := finish(rankConfig{base, filepath.Join(t.TempDir(), "host"), "off", 60})
	require.NotContains(t, recorded(host.Out), "gradients_by")
	killed := rankConfig{base, filepath.Join(t.TempDir(), "killed"), "required", 60}
	for _, end := range []struct {
		victim  int
		signal  syscall.Signal
		after   time.Duration // a checkpoint is there; most of a step is exchanges, as the emulator is slow and waits
		timeout int
		says    string
	}{
		{1, syscall.SIGKILL, 0, 60, ""}, {0, syscall.SIGKILL, 100 * time.Millisecond, 60, ""},
		{0, syscall.SIGSTOP, 100 * time.Millisecond, 5, dist.ErrTimeout.Error()},
	} {
		killed.Timeout = end.timeout
		commands, outputs := startRankProcesses(t, killed)
		before, _ := filepath.Glob(filepath.Join(killed.Out, "checkpoints", "*"))
		require.Eventually(t, func() bool {
			now, _ := filepath.Glob(filepath.Join(killed.Out, "checkpoints", "*"))
			return fmt.Sprint(now) != fmt.Sprint(before)
		}, time.Minute, time.Millisecond)
		time.Sleep(end.after)
		require.NoError(t, commands[end.victim].Process.Signal(end.signal))
		began, other := time.Now(), 1-end.victim
		require.Error(t, commands[other].Wait(), outputs[other].String())
		require.Contains(t, outputs[other].String(), fmt.Sprintf("rank %d of 2: ", other))
		require.Contains(t, outputs[other].String(), end.says)
		require.Less(t, time.Since(began), 40*time.Second)
		require.NoError(t, commands[end.victim].Process.Kill())
		require.Error(t, commands[end.victim].Wait())
	}
	met := finish(killed)
	require.Contains(t, recorded(met.Out), `"gradients_by": "NCCL 2.27.3"`)
	require.Equal(t, weightsOf(t, host), weightsOf(t, met))
}
