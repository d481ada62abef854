package prm

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/atomicfile"
	"github.com/goprm/goprm/internal/safetensors"
	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/stretchr/testify/require"
)

// rowsOf counts the texts that each key of a cache has rows of.
func rowsOf(t *testing.T, dir string) map[string]int {
	t.Helper()
	count := map[string]int{}
	for _, path := range caches(t, dir) {
		file, err := safetensors.Open(path)
		require.NoError(t, err)
		for _, info := range file.Tensors() {
			count[info.Name]++
		}
		require.NoError(t, file.Close())
	}
	return count
}

// Runs at once over one cache compute each row once, whatever their seeds and rates, and learn what they learn alone.
func TestRunsShareHiddenStates(t *testing.T) {
	base, cache := tiny(t, tinymodel.Options{}), filepath.Join(t.TempDir(), "cache")
	var configs []TrainConfig
	for seed := range uint64(4) {
		c := config(t, base)
		c.Train, c.Cache, c.Seed = "head", cache, &seed
		configs = append(configs, c)
	}
	var work sync.WaitGroup
	errs := make([]error, len(configs))
	for i, c := range configs {
		work.Go(func() { _, errs[i] = Train(context.Background(), c) })
	}
	work.Wait()
	for i, c := range configs {
		require.NoError(t, errs[i])
		alone := c
		alone.Out, alone.Cache = c.Out+"-alone", filepath.Join(t.TempDir(), "alone")
		train(t, alone)
		require.Equal(t, weights(t, alone.Out), weights(t, c.Out))
	}
	count := rowsOf(t, cache)
	require.Len(t, count, 28)
	for key, n := range count {
		require.Equal(t, 1, n, key)
	}
	require.NoFileExists(t, filepath.Join(filepath.Dir(caches(t, cache)[0]), lockName))
}

// A run that finds all it needs removes the locks of those that were killed when it was there.
func TestStaleLocksGo(t *testing.T) {
	c := onFiles(t, sums(28, 5))
	c.Train = "head"
	train(t, c)
	folders, err := filepath.Glob(filepath.Join(c.Cache, "*", "*", "*"))
	require.NoError(t, err)
	kinds := map[string]bool{}
	for _, file := range folders {
		kinds[filepath.Base(filepath.Dir(filepath.Dir(file)))] = true
		require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(file), lockName), []byte("1\n"), 0o600))
	}
	require.Equal(t, map[string]bool{featuresName: true, tokensName: true}, kinds)
	c.Out += "-again"
	train(t, c)
	locks, err := filepath.Glob(filepath.Join(c.Cache, "*", "*", lockName))
	require.NoError(t, err)
	require.Empty(t, locks)
}

// doneAfter is a context that ends when it was asked so many times.
type doneAfter struct {
	context.Context
	asked *int
	after int
}

func (d doneAfter) Err() error {
	if *d.asked++; *d.asked > d.after {
		return context.Canceled
	}
	return nil
}

// What was computed before an interruption is not computed again.
func TestInterruptedHiddenStatesAreKept(t *testing.T) {
	base := tiny(t, tinymodel.Options{})
	c := config(t, base)
	c.Train, c.Batch.Tokens = "head", 60
	kept := 0
	for after := 30; kept == 0; after += 10 { // somewhere among the micro-batches
		asked := 0
		r, err := Train(doneAfter{context.Background(), &asked, after}, c)
		require.NoError(t, err)
		require.True(t, r.Interrupted)
		kept = len(rowsOf(t, c.Cache))
	}
	require.Less(t, kept, 28)
	c.Quiet = false
	train(t, c)
	require.Regexp(t, `hidden states: \d+ of 28 texts are in the cache, \d+ are computed`, said(c))
	count := rowsOf(t, c.Cache)
	require.Len(t, count, 28)
	for key, n := range count {
		require.Equal(t, 1, n, key)
	}
	whole := config(t, base)
	whole.Train, whole.Batch.Tokens = "head", 60
	train(t, whole)
	require.Equal(t, weights(t, whole.Out), weights(t, c.Out))
}

// Pruning removes what was used longest ago, to the size that was asked for, and runs compute what they miss again.
func TestCachePrune(t *testing.T) {
	c := config(t, tiny(t, tinymodel.Options{}))
	c.Train = "head"
	train(t, c)
	want := weights(t, c.Out)
	old := caches(t, c.Cache)[0]
	require.NoError(t, os.Chtimes(old, time.Unix(1, 0), time.Unix(1, 0)))
	other := c
	other.Out, other.Text.Separator = c.Out+"2", " "
	train(t, other)
	r, err := Cache(c.Cache, -1)
	require.NoError(t, err)
	require.Equal(t, []int{1, 2}, []int{r.Models, r.Files})
	size := r.Bytes
	r, err = Cache(c.Cache, size-1)
	require.NoError(t, err)
	require.Equal(t, 1, r.Files)
	require.Equal(t, size, r.Bytes+r.Removed)
	require.NoFileExists(t, old)
	c.Out += "3"
	train(t, c)
	require.Equal(t, want, weights(t, c.Out))
	r, err = Cache(c.Cache, 0)
	require.NoError(t, err)
	require.Zero(t, r.Bytes)
	require.True(t, strings.HasPrefix(r.Dir, c.Cache))
	r, err = Cache(filepath.Join(c.Cache, "none"), 0)
	require.NoError(t, err)
	require.Zero(t, r.Files)
}

// Who would fill the disk is told before the first row is computed.
func TestHiddenStatesThatDoNotFitAreToldOf(t *testing.T) {
	c := featureCache{hidden: 1536, dtype: safetensors.F32}
	e := &data.Example{Reads: make([]data.ReadOut, 100)}
	need := c.bytesOf(wanted{"a": {e, e}, "b": {e}})
	require.Equal(t, int64(2*100*1536*4), need, "equal texts share their rows")
	require.Empty(t, roomWarning(need, need, "cache"))
	require.Empty(t, roomWarning(need, -1, "cache"))
	require.Contains(t, roomWarning(need, need-1, "cache"), "hidden states take 1.2 MiB, and the disk of cache has 1.2 MiB left")
	require.Positive(t, atomicfile.Room(t.TempDir()))
	require.Equal(t, int64(-1), atomicfile.Room("/no/such/folder"))
}
