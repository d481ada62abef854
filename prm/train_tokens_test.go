package prm

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/stretchr/testify/require"
)

// rowsFile writes trajectories as JSON lines.
func rowsFile(t testing.TB, path string, list []*data.Trajectory) string {
	t.Helper()
	var text bytes.Buffer
	for _, row := range list {
		require.NoError(t, row.Write(&text))
	}
	require.NoError(t, os.WriteFile(path, text.Bytes(), 0o666))
	return path
}

// onFiles is a configuration whose data are files.
func onFiles(t testing.TB, list []*data.Trajectory) TrainConfig {
	t.Helper()
	c := config(t, tiny(t, tinymodel.Options{}))
	c.Data.Trajectories = nil
	c.Data.Train = []string{rowsFile(t, filepath.Join(t.TempDir(), "rows.jsonl"), list)}
	c.Quiet, c.Optim.Epochs = false, 1
	return c
}

func tokenShards(t testing.TB, dir string) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, tokensName, "*", "*"+shardEnd))
	require.NoError(t, err)
	return list
}

// A run learns the same from tokens in memory, from shards that it makes and from those that it finds.
func TestTokensFromShardsGiveTheSameBits(t *testing.T) {
	c := onFiles(t, sums(28, 5))
	c.Data.Eval, c.Data.AllowOverlap = []string{rowsFile(t, filepath.Join(t.TempDir(), "eval.jsonl"), sums(9, 6))}, true
	memory := c
	memory.Cache = filepath.Join(t.TempDir(), "no-folder")
	require.NoError(t, os.WriteFile(memory.Cache, nil, 0o666))
	train(t, memory)
	require.Contains(t, said(memory), "they are kept in memory")
	memory.Progress.(*bytes.Buffer).Reset()

	c.Out += "-made"
	train(t, c)
	require.NotContains(t, said(c), "trajectories from")
	require.Len(t, tokenShards(t, c.Cache), 2)
	found := c
	found.Out += "-found"
	r := train(t, found)
	require.Contains(t, said(c), "28 trajectories from "+filepath.Join(c.Cache, tokensName))
	require.Contains(t, said(c), "9 trajectories from ")
	for _, other := range []TrainConfig{c, found} {
		require.Equal(t, weights(t, memory.Out), weights(t, other.Out))
		require.Equal(t, rows(t, memory.Out), rows(t, other.Out))
	}
	require.Equal(t, 28, r.Counts.Trajectories)

	report, err := Cache(c.Cache, -1)
	require.NoError(t, err)
	require.Equal(t, []int{2, 2, 2, 0}, []int{report.Datasets, report.TokenFiles, report.Files, report.Models})
	require.Equal(t, report.Bytes, report.TokenBytes)
	report, err = Cache(c.Cache, 0)
	require.NoError(t, err)
	require.Zero(t, report.TokenBytes)
	require.Positive(t, report.Removed)
	require.Empty(t, tokenShards(t, c.Cache))
}

// What tokens depend on is part of their name.
func TestTokensAreKeyed(t *testing.T) {
	c := onFiles(t, sums(28, 5))
	require.NoError(t, os.WriteFile(c.Data.Train[0]+".other", []byte(mustRead(t, c.Data.Train[0])), 0o666))
	n := 0
	for _, change := range []func(c *TrainConfig){
		func(*TrainConfig) {},
		func(c *TrainConfig) { c.Text.Separator = " " },
		func(c *TrainConfig) { c.Data.OnBad = "skip" },
		func(c *TrainConfig) { c.Head.Activation = "identity" },
		func(c *TrainConfig) { c.Data.Train = []string{c.Data.Train[0] + ".other"} },
		func(c *TrainConfig) { rowsFile(t, c.Data.Train[0], sums(28, 6)) },
	} {
		one := c
		change(&one)
		_, err := DryRun(context.Background(), one)
		require.NoError(t, err)
		require.Len(t, tokenShards(t, c.Cache), n, "a dry run writes nothing")
		s, err := prepare(context.Background(), one.filled(), false)
		require.NoError(t, err)
		require.NoError(t, s.Close())
		n++
		require.Len(t, tokenShards(t, c.Cache), n)
	}
	s, err := prepare(context.Background(), c.filled(), true)
	require.NoError(t, err)
	require.NoError(t, s.Close())
	require.Contains(t, said(c), "28 trajectories from ", "a dry run reads what is there")
}

func mustRead(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(b)
}

// tokensOf reads the rows of a file with shards of so many.
func tokensOf(t *testing.T, ctx context.Context, c *TrainConfig, s *session, size int) (*examples, error) {
	t.Helper()
	k, err := s.tokenCache()
	require.NoError(t, err)
	k.rows = size
	t.Cleanup(func() { require.NoError(t, k.Close()) })
	return k.get(ctx, nil, c.Data.Train, s.renderer, c)
}

// Shards that are lost or damaged are made again, alone and as they were; what was made before an interruption stays.
func TestLostShardsAreMadeAgain(t *testing.T) {
	list := sums(100, 5)
	for i := 7; i < len(list); i += 10 {
		list[i].Labels.Steps = data.Floats(7) // out of range
		list[i].ResponseSteps = list[i].ResponseSteps[:1]
	}
	c := onFiles(t, list)
	c.Data.OnBad = "skip"
	c = c.filled()
	s, err := prepare(context.Background(), c, true)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	want := &examples{}
	*want, err = deref(tokensOf(t, context.Background(), &c, s, 1000))
	require.NoError(t, err)
	require.Equal(t, map[string]int{"labels out of range": 10}, want.bad.Count)
	var order []string
	for i, row := range list {
		if i%10 != 7 {
			order = append(order, row.ID)
		}
	}
	for i, e := range want.list {
		require.Equal(t, order[i], e.ID)
	}
	require.Equal(t, s.data.trainSum, fmt.Sprintf("%x", want.sum.Sum(nil)))

	s.readOnly = false
	asked := 0
	_, err = tokensOf(t, doneAfter{context.Background(), &asked, 50}, &c, s, 8)
	require.ErrorIs(t, err, context.Canceled)
	kept := tokenShards(t, c.Cache)
	require.NotEmpty(t, kept)
	require.Less(t, len(kept), 13)
	before := mustRead(t, kept[0])

	same := func(x *examples, err error) {
		t.Helper()
		require.NoError(t, err)
		require.Len(t, tokenShards(t, c.Cache), 13)
		require.Equal(t, want.list, x.list)
		require.Equal(t, want.about, x.about)
		require.Equal(t, want.bad, x.bad)
		require.Equal(t, want.dropped, x.dropped)
		require.Equal(t, want.sum.Sum(nil), x.sum.Sum(nil))
	}
	same(tokensOf(t, context.Background(), &c, s, 8))
	require.Contains(t, said(c), fmt.Sprintf("tokens: %d rows are made already", 8*len(kept)))
	require.Equal(t, before, mustRead(t, kept[0]))
	shards := tokenShards(t, c.Cache)
	contents := map[string]string{}
	for _, path := range shards {
		contents[path] = mustRead(t, path)
	}
	for _, lost := range [][]int{{0}, {12}, {3, 7}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}} {
		for i, n := range lost {
			if i%2 == 1 {
				require.NoError(t, os.Remove(shards[n]))
				continue
			}
			broken := []byte(contents[shards[n]])
			broken[len(broken)-50] ^= 4
			require.NoError(t, os.WriteFile(shards[n], broken, 0o666))
		}
		same(tokensOf(t, context.Background(), &c, s, 8))
		for _, path := range shards {
			require.Equal(t, contents[path], mustRead(t, path), "the same bytes again")
		}
	}
	require.Contains(t, said(c), "tokens are made again: "+shards[0]+": damaged")
	require.NotContains(t, said(c), "tokens are made again: "+shards[7], "it was lost, not damaged")
}

func deref(x *examples, err error) (examples, error) {
	if err != nil {
		return examples{}, err
	}
	return *x, nil
}
