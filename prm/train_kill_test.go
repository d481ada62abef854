//go:build linux

package prm

import (
	"bytes"
	"context"
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goprm/goprm/internal/filelock"
	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/stretchr/testify/require"
)

// Processes that start together on one run folder and one cache, and are killed at random moments, again and again: what they leave is
// the run that nobody disturbed, bit by bit, with each line of metrics once. GOPRM_KILLS says how many kills there are for each mode.
func TestKilledTogether(t *testing.T) {
	kills := 6
	if text := os.Getenv("GOPRM_KILLS"); text != "" {
		var err error
		kills, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	for _, mode := range []string{"head", "lora"} {
		c := onFiles(t, sums(28, 5))
		c.Train, c.Optim.Epochs, c.Checkpoint.Every = mode, 2, new(1)
		alone := c
		alone.Out, alone.Cache = c.Out+"-alone", filepath.Join(t.TempDir(), "cache")
		train(t, alone)

		random := rand.New(rand.NewPCG(1, uint64(len(mode))))
		killed, ended := 0, 0
		for killed < kills {
			k, e := together(t, c, 2+random.IntN(2), time.Duration(20+random.IntN(380))*time.Millisecond)
			killed, ended = killed+k, ended+e
			if e > 0 { // the run is complete: another
				requireSameRun(t, alone, c)
				require.NoError(t, os.RemoveAll(c.Out))
				if random.IntN(2) == 0 {
					require.NoError(t, os.RemoveAll(c.Cache))
				}
			}
		}
		_, e := together(t, c, 3, time.Hour)
		require.Positive(t, e)
		requireSameRun(t, alone, c)
		t.Logf("%s: %d processes killed, %d ended by themselves", mode, killed, ended+e)
	}
}

func requireSameRun(t *testing.T, want, got TrainConfig) {
	t.Helper()
	require.Equal(t, weights(t, want.Out), weights(t, got.Out))
	require.Equal(t, rows(t, want.Out), rows(t, got.Out))
}

// together starts n processes at once and kills those that still run after a while. It counts the killed, and those that say that the run
// is complete; the others say who has it.
func together(t *testing.T, c TrainConfig, n int, after time.Duration) (killed, ended int) {
	t.Helper()
	commands, outputs := make([]*exec.Cmd, n), make([]bytes.Buffer, n)
	for i := range commands {
		commands[i] = child(t, c)
		commands[i].Stdout = &outputs[i]
		require.NoError(t, commands[i].Start())
	}
	timer := time.AfterFunc(after, func() {
		for _, cmd := range commands {
			_ = cmd.Process.Kill() // those that have ended know nothing of it
		}
	})
	defer timer.Stop()
	var work sync.WaitGroup
	for _, cmd := range commands {
		work.Go(func() { _ = cmd.Wait() }) // its state says how it ended
	}
	work.Wait()
	for i, cmd := range commands {
		if !cmd.ProcessState.Exited() {
			killed++
			continue
		}
		require.Zero(t, cmd.ProcessState.ExitCode())
		var report childReport
		require.NoError(t, json.Unmarshal(outputs[i].Bytes(), &report))
		switch {
		case report.Error == "":
			ended++
		case strings.Contains(report.Error, "is in use by "), strings.Contains(report.Error, "is there already"):
		default:
			t.Fatalf("process %d: %s", i, report.Error)
		}
	}
	return killed, ended
}

// A run folder has one owner: who comes second is told of the first, and changes nothing.
func TestRunFolderHasOneOwner(t *testing.T) {
	c := config(t, tiny(t, tinymodel.Options{}))
	c.Optim.Epochs = 1
	train(t, c)
	before := rows(t, c.Out)
	lock, err := filelock.Take(filepath.Join(c.Out, lockName))
	require.NoError(t, err)
	c.Resume, c.Optim.Epochs = true, 2
	_, err = Train(context.Background(), c)
	held := new(InUseError)
	require.ErrorAs(t, err, &held)
	require.Equal(t, os.Getpid(), held.Process)
	require.Equal(t, before, rows(t, c.Out))
	require.NoError(t, lock.Release())
	require.Equal(t, 14, train(t, c).Steps)
}
