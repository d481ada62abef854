//go:build linux

package prm

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/goprm/goprm/internal/mpitest"
	"github.com/stretchr/testify/require"

	_ "github.com/goprm/goprm/internal/dist/mpi"
)

// underMPI is a run of so many processes.
func underMPI(t *testing.T, launcher []string, world int, c TrainConfig) *exec.Cmd {
	t.Helper()
	c.Threads = 1
	cmd := childOf(t, c, append(launcher[:len(launcher):len(launcher)], "-n", strconv.Itoa(world))...)
	cmd.Env = append(cmd.Env, distributedEnvironment+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// onFilesF64 is a run from files of 7 steps in f64, which each saves.
func onFilesF64(t *testing.T, mode string) TrainConfig {
	t.Helper()
	c := onFiles(t, sums(28, 5))
	c.Train, c.DType, c.Optim.Epochs, c.Checkpoint.Every = mode, "f64", 1, new(1)
	return c
}

// Processes of mpirun train what goroutines train, to the bit, and what one process trains within 1e-12.
func TestMPITrainsTheSameModel(t *testing.T) {
	for name, launcher := range mpitest.Launchers(t) {
		for i, mode := range []string{"full", "lora", "head"} {
			c := onFilesF64(t, mode)
			requireTrained(t, c, 1)
			want := lastState(t, c.Out)
			for _, world := range []int{2, 4} {
				c.Dist.Zero = 1 + (i+world/2)%2
				local, several := c, c
				local.Out, several.Out = fmt.Sprint(c.Out, "-local", world), fmt.Sprint(c.Out, "-mpi", world)
				requireTrained(t, local, world)
				out, err := underMPI(t, launcher, world, several).CombinedOutput()
				require.NoError(t, err, "%s, %s: %s", name, mode, out)
				requireNear(t, want, lastState(t, several.Out), 1e-12)
				require.Equal(t, weights(t, local.Out), weights(t, several.Out))
				require.Equal(t, rows(t, local.Out), rows(t, several.Out))
				record, err := readRecord(filepath.Join(several.Out, recordName))
				require.NoError(t, err)
				require.Contains(t, record.Ranks[0].Engine, name)
			}
		}
	}
}

// A rank is killed at a random moment, again and again: all end, and what is resumed ends with the bits of the run that nobody disturbed.
func TestMPIRanksKilled(t *testing.T) {
	kills := 3
	if text := os.Getenv("GOPRM_MPI_KILLS"); text != "" {
		var err error
		kills, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	for name, launcher := range mpitest.Launchers(t) {
		random := rand.New(rand.NewPCG(1, uint64(len(name))))
		killed, complete, takes := 0, 0, time.Duration(0)
		for killed < kills {
			world := 2 + random.IntN(3)
			c := onFilesF64(t, []string{"full", "head"}[random.IntN(2)])
			c.Optim.Epochs, c.Dist.Timeout = 3, 15 // as Intel's mpirun lets the others be where a rank ends before MPI_Init
			alone := c
			alone.Out, alone.Cache = c.Out+"-alone", filepath.Join(t.TempDir(), "cache")
			requireTrained(t, alone, world)
			for ended := false; !ended; {
				after := time.Hour
				if killed < kills && takes > 0 {
					after = time.Duration(random.Int64N(int64(takes)))
				}
				cmd, began := underMPI(t, launcher, world, c), time.Now()
				if ended = !runAndSignal(t, cmd, after, syscall.SIGKILL, random); !ended {
					killed++
				} else if takes == 0 {
					takes = time.Since(began) // a run from its start to its end
				}
			}
			complete++
			require.Equal(t, weights(t, alone.Out), weights(t, c.Out))
			require.Equal(t, rows(t, alone.Out), rows(t, c.Out))
		}
		t.Logf("%s: %d ranks killed, %d runs of about %v completed", name, killed, complete, takes.Round(time.Millisecond))
	}
}

// A rank stands still: the others end once dist.timeout is over, which ends it too, and what is resumed has the bits of an undisturbed run.
func TestMPIARankHangs(t *testing.T) {
	for name, launcher := range mpitest.Launchers(t) {
		random := rand.New(rand.NewPCG(2, 0))
		c := onFilesF64(t, "full")
		c.Optim.Epochs, c.Dist.Timeout = 3, 6
		alone := c
		alone.Out = c.Out + "-alone"
		requireTrained(t, alone, 3)
		for stopped := 0; stopped < 3; {
			began := time.Now()
			if !runAndSignal(t, underMPI(t, launcher, 3, c), time.Duration(random.IntN(1500))*time.Millisecond, syscall.SIGSTOP, random) {
				break // it was too fast
			}
			stopped++
			t.Logf("%s: a rank stopped, all ended %v after the start", name, time.Since(began).Round(time.Millisecond))
		}
		require.False(t, runAndSignal(t, underMPI(t, launcher, 3, c), time.Hour, syscall.SIGSTOP, random))
		require.Equal(t, weights(t, alone.Out), weights(t, c.Out))
		require.Equal(t, rows(t, alone.Out), rows(t, c.Out))
	}
}

// runAndSignal starts ranks and sends one of them a signal after a while; false: they had ended by then. When it returns no rank is left.
func runAndSignal(t *testing.T, cmd *exec.Cmd, after time.Duration, signal syscall.Signal, random *rand.Rand) bool {
	t.Helper()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(t, cmd.Start())
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case err := <-done:
		require.NoError(t, err, out.String())
		return false
	case <-time.After(after):
	}
	ranks := descendants(cmd.Process.Pid, cmd.Args[len(cmd.Args)-1])
	for len(ranks) == 0 && len(done) == 0 { // mpirun has not started them yet
		ranks = descendants(cmd.Process.Pid, cmd.Args[len(cmd.Args)-1])
	}
	victim := 0
	if len(ranks) > 0 {
		victim = ranks[random.IntN(len(ranks))]
		_ = syscall.Kill(victim, signal) // it may have ended since
	}
	var failed error
	select {
	case failed = <-done:
	case <-time.After(30 * time.Second):
		left := descendants(cmd.Process.Pid, cmd.Args[len(cmd.Args)-1])
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		if len(left) > 0 {
			t.Fatalf("process %d of %v got signal %v after %v, and %v did not end: %s", victim, ranks, signal, after, left, out.String())
		}
		// Open MPI 4.1.4's mpirun now and then hangs when a rank is killed in MPI_Init, after all ranks have ended.
		t.Logf("all ranks ended, but not %s: %s", cmd.Args[0], out.String())
		failed = <-done
	}
	for _, pid := range ranks {
		require.Eventually(t, func() bool { return executable(pid) != cmd.Args[len(cmd.Args)-1] }, 10*time.Second, 10*time.Millisecond,
			"rank of process %d goes on", pid)
	}
	return failed != nil
}

// descendants are the processes below one that run a program.
func descendants(of int, program string) []int {
	children := map[int][]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is good
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		pid, _ := strconv.Atoi(strings.Split(path, "/")[2])
		parent, _ := strconv.Atoi(fields[1])
		children[parent] = append(children[parent], pid)
	}
	var found []int
	for queue := []int{of}; len(queue) > 0; queue = queue[1:] {
		for _, pid := range children[queue[0]] {
			queue = append(queue, pid)
			if executable(pid) == program {
				found = append(found, pid)
			}
		}
	}
	return found
}

func executable(pid int) string {
	path, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)) // "": it has ended
	return path
}
