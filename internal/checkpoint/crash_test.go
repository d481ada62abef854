//go:build linux

package checkpoint

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/goprm/goprm/internal/atomicfile"
	"github.com/stretchr/testify/require"
)

const childEnvironment = "GOPRM_CHECKPOINT_CHILD"

// TestMain lets the test binary be the process that is killed: it saves one checkpoint after the other until then.
func TestMain(m *testing.M) {
	root := os.Getenv(childEnvironment)
	if root == "" {
		os.Exit(m.Run())
	}
	step := 0
	if found, err := Newest(root, func(string, string) {}); err == nil {
		step = found.Step()
	}
	for {
		step++
		if err := Save(root, step, metaOf(step), filesOf(step), Keep{Newest: 2, Protect: []int{1}}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(step)
	}
}

// TestKilledWhileSaving kills the saving process at random moments. After each kill the newest checkpoint verifies, nothing had to be
// skipped, and it is not older than what the process had said was saved.
func TestKilledWhileSaving(t *testing.T) {
	rounds := 60
	if testing.Short() {
		rounds = 15
	}
	root := filepath.Join(t.TempDir(), "checkpoints")
	random := rand.New(rand.NewPCG(1, 1))
	acknowledged, leftovers := 0, 0
	for round := range rounds {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), childEnvironment+"="+root)
		child.Stderr = os.Stderr
		output, err := child.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, child.Start())
		lines := bufio.NewScanner(output)
		require.True(t, lines.Scan(), "the child saved nothing")
		time.AfterFunc(time.Duration(random.IntN(30_000))*time.Microsecond, func() { _ = child.Process.Kill() })
		for more := true; more; more = lines.Scan() {
			if step := 0; lines.Text() != "" {
				_, err := fmt.Sscan(lines.Text(), &step)
				require.NoError(t, err)
				acknowledged = max(acknowledged, step)
			}
		}
		require.Error(t, child.Wait(), "the child was to be killed")
		found, skipped := newest(t, root)
		require.Empty(t, skipped, "round %d", round)
		require.NotNil(t, found)
		require.GreaterOrEqual(t, found.Step(), acknowledged)
		requireIsStep(t, found, found.Step())
		best, err := Read(filepath.Join(root, folderName(1)))
		require.NoError(t, err)
		requireIsStep(t, best, 1)
		for _, name := range folders(t, root) {
			if atomicfile.Temporary(name) {
				leftovers++
			}
		}
	}
	t.Logf("%d kills, %d while a folder was unfinished, last step %d", rounds, leftovers, acknowledged)
	require.Positive(t, leftovers, "no kill fell into a save")
}

// TestDiskReallyFull saves on a file system that fills up.
func TestDiskReallyFull(t *testing.T) {
	small := t.TempDir()
	if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("a small file system could not be mounted: %v", err)
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(small, 0)) })
	root := filepath.Join(small, "checkpoints")
	saveSteps(t, root, Keep{}, 10)
	large := File{Name: "moments", Write: func(w io.Writer) error {
		_, err := io.Copy(w, strings.NewReader(strings.Repeat("x", 300<<10)))
		return err
	}}
	err := Save(root, 20, nil, []File{large}, Keep{Newest: 1})
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.ErrorContains(t, err, "moments")
	require.Equal(t, []string{folderName(10)}, folders(t, root))
	found, _ := newest(t, root)
	requireIsStep(t, found, 10)
	saveSteps(t, root, Keep{Newest: 1}, 30) // there is room for a small one again
	require.Equal(t, []string{folderName(30)}, folders(t, root))
}
