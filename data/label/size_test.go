package label

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/data/label/store"
	"github.com/goprm/goprm/internal/rng"
)

// TestSize labels GOPRM_LABEL_MB megabytes of trajectories with an instant judge, and says how fast and in how much memory. The
// heap must not grow with the input: its peak over the second half is compared with that over the first.
func TestSize(t *testing.T) {
	megabytes, err := strconv.Atoi(os.Getenv("GOPRM_LABEL_MB"))
	if err != nil {
		t.Skip("GOPRM_LABEL_MB is not set: the size of the input to measure with, e.g. 1000")
	}
	steps, bytes := 20, 1000 // of a trajectory, of a step
	if n, err := strconv.Atoi(os.Getenv("GOPRM_LABEL_STEP_BYTES")); err == nil {
		bytes = n
	}
	n := megabytes << 20 / (steps * bytes)
	words := strings.Repeat("and so it goes on, ", bytes/19+1)
	random := rng.New(1, "sizes")
	in := func(yield func(*data.Trajectory, error) bool) {
		for i := range n {
			tr := &data.Trajectory{ID: strconv.Itoa(i), Problem: fmt.Sprint("Problem ", i), Response: "So."}
			for k := range steps {
				tr.Steps = append(tr.Steps, fmt.Sprint(random.Uint64(uint64(i*steps+k)), words[:bytes-20]))
			}
			if !yield(tr, nil) {
				return
			}
		}
	}
	dir := t.TempDir()
	s, err := store.Open(StorePath(dir), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	var peak [2]uint64
	next := time.Now()
	p := Pipeline{Judge: &instant{}, Parts: []Part{Quality}, Store: s, Out: dir}
	p.Progress = func(s Summary) {
		if time.Now().Before(next) {
			return
		}
		next = time.Now().Add(50 * time.Millisecond)
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		half := min(1, 2*s.Trajectories/n)
		peak[half] = max(peak[half], m.HeapInuse)
	}
	start := time.Now()
	report, err := p.Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	took := time.Since(start).Seconds()
	info, err := os.Stat(filepath.Join(dir, LabelsFile))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d MB, %d steps in %.0f s: %.0f steps/s; heap at most %d MB in the first half, %d MB in the second; labels.jsonl %d MB",
		megabytes, report.Steps, took, float64(report.Steps)/took, peak[0]>>20, peak[1]>>20, info.Size()>>20)
	if report.StepLabels != n*steps {
		t.Errorf("%d labels of %d steps", report.StepLabels, n*steps)
	}
	if peak[1] > 2*peak[0]+64<<20 {
		t.Errorf("the heap grew from %d to %d MB", peak[0]>>20, peak[1]>>20)
	}
}

// instant is a judge that costs nothing.
type instant struct{ scripted }

func (*instant) ID() string { return "instant/1" }
func (*instant) Sees() Sees { return SeesPrefix }
