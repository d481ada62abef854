//go:build linux && (amd64 || arm64) && !nocuda

package mpi

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goprm/goprm/internal/dist"
	"github.com/goprm/goprm/internal/mmap"
	"github.com/goprm/goprm/internal/mpitest"
	"github.com/stretchr/testify/require"
)

const childEnvironment = "GOPRM_MPI_CHILD"

// TestMain lets the test binary be a rank that mpirun starts; the variable says what it does.
func TestMain(m *testing.M) {
	task := os.Getenv(childEnvironment)
	if task == "" {
		os.Exit(m.Run())
	}
	if err := rank(task); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
}

func rank(task string) error {
	launch, err := dist.FromEnv(os.Getenv)
	if err != nil {
		return err
	}
	timeout := time.Minute
	if task == "hang" {
		timeout = 2 * time.Second
	}
	g, err := dist.Join(launch, timeout)
	if err != nil {
		return err
	}
	switch task {
	case "exercise":
		if err := errors.Join(dist.Exercise(g), faultIsCaught()); err != nil {
			return err
		}
		fmt.Printf("rank %d of %d on %s\n", g.Rank, g.World, g.EngineName())
		err := g.Close()
		time.Sleep(time.Duration(g.Rank) * 200 * time.Millisecond) // while it kills no rank, the launcher knows that the others have left
		return err
	case "hang":
		if g.Rank == 1 {
			time.Sleep(time.Hour)
		}
		return g.Barrier()
	case "die":
		if g.Rank == 1 {
			os.Exit(7)
		}
		return g.Barrier()
	}
	return errors.New("no such task")
}

// faultIsCaught reads a mapped page that is lost: an MPI library that took over the signal would end the process.
func faultIsCaught() error {
	file, err := os.CreateTemp("", "mpi")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(file.Name()) }()
	if err := file.Truncate(1 << 16); err != nil {
		return err
	}
	mapped, err := mmap.Map(file.Name(), file, 1<<16)
	if err != nil {
		return err
	}
	if err := file.Truncate(0); err != nil {
		return err
	}
	sum := byte(0)
	if err := mmap.Guard(func() error { sum += mapped.Data[1<<15]; return nil }); err == nil {
		return fmt.Errorf("a lost page was no error: %d", sum)
	}
	return nil
}

// startRanks runs n ranks and returns what they print.
func startRanks(t *testing.T, launcher []string, n int, task string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(ctx, launcher[0], append(append([]string{}, launcher[1:]...), "-n", strconv.Itoa(n), self)...)
	cmd.Env = append(os.Environ(), childEnvironment+"="+task, "GOGC=1") // memory that nobody holds is taken at once
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestCollectives(t *testing.T) {
	for name, launcher := range mpitest.Launchers(t) {
		for _, n := range []int{2, 3} {
			out, err := startRanks(t, launcher, n, "exercise")
			require.NoError(t, err, "%s: %s", name, out)
			require.Equal(t, n, strings.Count(out, name), out)
		}
	}
}

func TestARankThatDiesOrHangsEndsAll(t *testing.T) {
	for name, launcher := range mpitest.Launchers(t) {
		for _, task := range []string{"die", "hang"} {
			began := time.Now()
			out, err := startRanks(t, launcher, 2, task)
			require.Error(t, err, "%s, %s: %s", name, task, out)
			require.Less(t, time.Since(began), time.Minute, "%s, %s: %s", name, task, out)
			if task == "hang" {
				require.Contains(t, out, "rank 0 of 2: barrier of 0 bytes: "+dist.ErrTimeout.Error())
			}
		}
	}
}
