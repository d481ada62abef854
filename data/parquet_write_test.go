package data

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// randomTrajectory has any of the fields, and any text.
func randomTrajectory(r *rand.Rand, n int) *Trajectory {
	text := func() string {
		words := []string{"a", "é", "\n\n", "\"", "\\", "<|x|>", " ", "\u2028", "😀", "\x00", "{}", ""}
		var b strings.Builder
		for range r.IntN(6) {
			b.WriteString(words[r.IntN(len(words))])
		}
		return b.String()
	}
	list := func() (l []string) {
		for range r.IntN(4) {
			l = append(l, text())
		}
		return l
	}
	numbers := func(most int) (l []*float64) {
		for range r.IntN(most + 1) {
			v := Float(r.Float64())
			if r.IntN(3) == 0 {
				v = nil
			}
			l = append(l, v)
		}
		return l
	}
	object := func() map[string]json.RawMessage {
		if r.IntN(2) == 0 {
			return nil
		}
		return map[string]json.RawMessage{"k" + text(): json.RawMessage(`{"a":[1.50,null,"<é>"]}`), "extra": json.RawMessage(`"x"`)}
	}
	t := &Trajectory{ID: fmt.Sprint("id", n), Problem: text(), Thinking: text(), Response: text(), Steps: list(), ResponseSteps: list(),
		Source: text(), Answer: text(), Meta: object()}
	steps := len(t.Steps) + len(t.ResponseSteps)
	t.Labels = Labels{Steps: numbers(steps), Weights: numbers(steps), Extra: object()}
	if r.IntN(2) == 0 {
		t.Labels.Trajectory, t.Labels.TrajectoryWeight = Float(r.Float64()), Float(0)
	}
	return t
}

func TestParquetWriter(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	path := filepath.Join(t.TempDir(), "labels.parquet")
	f, err := os.Create(path)
	require.NoError(t, err)
	p := NewParquetWriter(f)
	var want []*Trajectory
	for i := range 500 {
		tr := randomTrajectory(r, i)
		if i%100 == 99 {
			p.held = rowGroupBytes // the next row ends a row group
		}
		require.NoError(t, p.Write(tr))
		want = append(want, tr)
	}
	for message, bad := range map[string]*Trajectory{
		`trajectory "x": problem: not valid UTF-8`:           {ID: "x", Problem: "\xff"},
		`trajectory "y": json: error calling MarshalJSON`:    {ID: "y", Meta: map[string]json.RawMessage{"a": json.RawMessage("{")}},
		`trajectory "z": labels.steps: 1 labels for 0 steps`: {ID: "z", Labels: Labels{Steps: []*float64{nil}}},
		`trajectory "v": json: error calling MarshalJSON for type json`: {ID: "v",
			Labels: Labels{Extra: map[string]json.RawMessage{"a": json.RawMessage("")}}},
	} {
		require.ErrorContains(t, p.Write(bad), message, "a trajectory that is refused leaves the file whole")
	}
	require.NoError(t, p.Close())
	require.NoError(t, f.Close())
	got, errs := readAll(ReadOptions{}, path)
	require.Empty(t, errs)
	require.Len(t, got, len(want))
	for i, tr := range got {
		require.Equal(t, fmt.Sprintf("%s:%d", path, i+1), tr.Where)
		want[i].Where = tr.Where
		require.Equal(t, jsonOf(t, want[i]), jsonOf(t, tr), i)
		require.Equal(t, want[i], tr, i)
	}
}

func TestParquetWriterEmpty(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, NewParquetWriter(&b).Close())
	path := write(t, "a.parquet", b.Bytes())
	_, errs := readAll(ReadOptions{}, path)
	require.Equal(t, []string{path + ": no rows"}, errs)
}

// TestExtraNamesTargets has further label fields with a target's name: the target is what counts, as in JSON.
func TestExtraNamesTargets(t *testing.T) {
	var b bytes.Buffer
	p := NewParquetWriter(&b)
	require.NoError(t, p.Write(&Trajectory{ID: "a", Problem: "p", Labels: Labels{Trajectory: Float(1),
		Extra: map[string]json.RawMessage{"trajectory": json.RawMessage("2")}}}))
	require.NoError(t, p.Close())
	rows, errs := readAll(ReadOptions{}, write(t, "a.parquet", b.Bytes()))
	require.Empty(t, errs)
	require.Equal(t, Labels{Trajectory: Float(1)}, rows[0].Labels)
}

// TestMemoryIsFlat writes and reads 100 MB of trajectories, each way of writing them, and holds what is in memory meanwhile
// against a bound that does not depend on the input's size.
func TestMemoryIsFlat(t *testing.T) {
	if testing.Short() {
		t.Skip("writes and reads 100 MB twice")
	}
	const rows, size, writing, reading = 1600, 64 << 10, 80 << 20, 8 << 20
	var base runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&base)
	peak := uint64(0)
	measure := func(row int) {
		if row%100 == 0 {
			runtime.GC()
			var now runtime.MemStats
			runtime.ReadMemStats(&now)
			peak = max(peak, now.HeapAlloc-min(base.HeapAlloc, now.HeapAlloc))
		}
	}
	made := func(n int) *Trajectory {
		r := rand.New(rand.NewPCG(3, uint64(n)))
		var b strings.Builder
		for b.Len() < size {
			fmt.Fprintf(&b, "step %x of it\n\n", r.Uint32())
		}
		return &Trajectory{ID: fmt.Sprint(n), Problem: "p", Thinking: b.String()}
	}
	dir := t.TempDir()
	for name, writer := range map[string]func(*os.File) (func(*Trajectory) error, func() error){
		"a.parquet": func(f *os.File) (func(*Trajectory) error, func() error) {
			p := NewParquetWriter(f)
			return p.Write, p.Close
		},
		"a.jsonl": func(f *os.File) (func(*Trajectory) error, func() error) {
			return func(tr *Trajectory) error { return tr.Write(f) }, func() error { return nil }
		},
	} {
		f, err := os.Create(filepath.Join(dir, name))
		require.NoError(t, err)
		put, end := writer(f)
		for i := range rows {
			require.NoError(t, put(made(i)))
			measure(i)
		}
		require.NoError(t, end())
		require.NoError(t, f.Close())
		put, end = nil, nil
		runtime.GC() // what the writer held is in pools, which two collections empty
		runtime.GC()
		require.Less(t, peak, uint64(writing), "writing "+name)
		t.Logf("writing %s: %d MB at most", name, peak>>20)
		peak = 0
		n := 0
		for tr, err := range Read([]string{f.Name()}, ReadOptions{}) {
			require.NoError(t, err)
			require.Equal(t, fmt.Sprint(n), tr.ID)
			require.GreaterOrEqual(t, len(tr.Thinking), size)
			measure(n)
			n++
		}
		require.Equal(t, rows, n)
		require.Less(t, peak, uint64(reading), "reading "+name)
		t.Logf("reading %s: %d MB at most", name, peak>>20)
		peak = 0
	}
}
