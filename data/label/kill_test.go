//go:build unix

package label

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/goprm/goprm/data/label/store"
	"github.com/goprm/goprm/internal/rng"
)

const (
	killDir   = "GOPRM_LABEL_KILL" // the folder of the process that is killed
	killRows  = 1000
	killCalls = 8
)

// noting is a judge that notes every verdict it gives in a file, before it gives it.
type noting struct {
	scripted
	file *os.File
}

func (n *noting) Judge(ctx context.Context, c *Case, steps []int) ([]Verdict, error) {
	time.Sleep(200 * time.Microsecond)
	for _, t := range steps {
		if _, err := fmt.Fprintf(n.file, "%s/%d\n", c.ID, t); err != nil {
			return nil, err
		}
	}
	return n.scripted.Judge(ctx, c, steps)
}

func killedPipeline(dir string) (Pipeline, error) {
	file, err := os.OpenFile(filepath.Join(dir, "asked"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
	if err != nil {
		return Pipeline{}, err
	}
	s, err := store.Open(StorePath(dir), store.Options{Wait: 10 * time.Second})
	judge := &noting{scripted: scripted{id: "j/1", sees: SeesPrefix, per: 1}, file: file}
	return Pipeline{Judge: judge, Parts: []Part{Quality}, Calls: killCalls, Workers: 8, Store: s, Out: dir}, err
}

// TestMain lets this binary be the process that is killed.
func TestMain(m *testing.M) {
	dir := os.Getenv(killDir)
	if dir == "" {
		os.Exit(m.Run())
	}
	p, err := killedPipeline(dir)
	if err == nil {
		_, err = p.Run(context.Background(), sequence(made(killRows)))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Twenty kills at random times: nothing is lost but the calls in flight, no other call is repeated, nothing is invented.
func TestKilledRunsLoseOnlyCallsInFlight(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts twenty processes")
	}
	dir, calm := t.TempDir(), t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	start := func() *exec.Cmd {
		c := exec.Command(self)
		c.Env = append(os.Environ(), killDir+"="+dir)
		c.Stderr = os.Stderr
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		return c
	}
	random, kills := rng.New(uint64(time.Now().UnixNano()), "kills"), 0
	for ; kills < 20; kills++ {
		c := start()
		time.Sleep(time.Duration(20+random.Uint64(uint64(kills))%120) * time.Millisecond)
		_ = c.Process.Kill()
		_ = c.Wait() // it was killed
		if _, err := os.Stat(filepath.Join(dir, LabelsFile)); err == nil {
			break
		}
	}
	if err := start().Wait(); err != nil {
		t.Fatal(err)
	}
	p, err := killedPipeline(calm)
	if err != nil {
		t.Fatal(err)
	}
	report, err := p.Run(t.Context(), sequence(made(killRows)))
	if err != nil || p.Store.Close() != nil {
		t.Fatal(err)
	}
	for _, name := range []string{LabelsFile, ManifestFile} {
		a, errA := os.ReadFile(filepath.Join(dir, name))
		b, errB := os.ReadFile(filepath.Join(calm, name))
		if errA != nil || errB != nil || !bytes.Equal(a, b) {
			t.Errorf("%s differs after %d kills (%v, %v)", name, kills, errA, errB)
		}
	}
	f, err := os.Open(filepath.Join(dir, "asked"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	asked, times := 0, map[string]int{}
	for lines := bufio.NewScanner(f); lines.Scan(); asked++ {
		times[lines.Text()]++
	}
	if again := asked - len(times); again > kills*killCalls || len(times) != report.Steps {
		t.Errorf("%d steps asked of %d, %d of them again after %d kills", len(times), report.Steps, again, kills)
	}
	t.Logf("%d kills, %d steps, %d asked again", kills, report.Steps, asked-len(times))
	var m Manifest
	text, err := os.ReadFile(filepath.Join(dir, ManifestFile))
	if err != nil || json.Unmarshal(text, &m) != nil || m.Summary.StepLabels != report.Steps {
		t.Errorf("labels %d of %d", m.Summary.StepLabels, report.Steps)
	}
}
