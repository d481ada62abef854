package backbone

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/data/tokenizer"
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/hfmodel"
	"github.com/goprm/goprm/internal/nnet"
	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/stretchr/testify/require"
)

var texts = []string{"the proof", "a", "so x = 2 + 3, hence 5", "the proof of the sum", "Ünï 中 😀", strings.Repeat("step ", 30)}

func model(t *testing.T) string {
	dir := filepath.Join(t.TempDir(), "model")
	require.NoError(t, tinymodel.Write(dir, tinymodel.Options{Seed: 3, Scale: 0.3}))
	return dir
}

func open(t *testing.T, dir string, opt Options) *Encoder {
	e, err := Open(context.Background(), dir, opt)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	return e
}

// meanHidden is the vectors the slow way: a network for each text, of hidden states that internal/parity compares with PyTorch's.
func meanHidden(t *testing.T, dir string, maxTokens int) (rows [][]float64) {
	config, err := hfmodel.ReadConfig(dir)
	require.NoError(t, err)
	weights, err := hfmodel.OpenWeights(dir)
	require.NoError(t, err)
	backend, err := engine.Open("cpu", engine.Options{Kernels: "portable"})
	require.NoError(t, err)
	tok, err := tokenizer.Open(dir)
	require.NoError(t, err)
	for _, text := range texts {
		n, err := nnet.New(nnet.Spec{Config: config, DType: engine.F64,
			Head: nnet.HeadSpec{Kind: nnet.Scalar, Activation: "identity", Final: "shared"}}, backend, nnet.Weights{nnet.InWeights(weights)})
		require.NoError(t, err)
		ids, _, err := tok.Encode(text)
		require.NoError(t, err)
		ids = ids[:min(maxTokens, len(ids))]
		b := &data.Batch{Tokens: ids, CuSeqlens: []int32{0, int32(len(ids))}}
		for i := range ids {
			b.Positions = append(b.Positions, int32(i))
		}
		hidden, err := n.Hidden(context.Background(), b)
		require.NoError(t, err)
		row := make([]float64, config.HiddenSize)
		for j := range row {
			for i := range ids {
				row[j] += hidden[i*config.HiddenSize+j]
			}
			row[j] /= float64(len(ids))
		}
		rows = append(rows, row)
		require.NoError(t, n.Close())
	}
	require.NoError(t, backend.Close())
	require.NoError(t, weights.Close())
	return rows
}

func TestVectorsAreCentredMeans(t *testing.T) {
	dir := model(t)
	const maxTokens = 40
	want := meanHidden(t, dir, maxTokens)
	for dtype, bound := range map[string]float64{"f32": 2e-6, "f64": 1e-13} {
		plain := open(t, dir, Options{DType: dtype, MaxTokens: maxTokens})
		centred := open(t, dir, Options{DType: dtype, MaxTokens: maxTokens, Sample: texts[:4]})
		got, err := plain.encode(context.Background(), texts)
		require.NoError(t, err)
		moved, err := centred.encode(context.Background(), texts)
		require.NoError(t, err)
		for i := range texts {
			require.Len(t, got[i], plain.Dim())
			for j, w := range want[i] {
				centre := (want[0][j] + want[1][j] + want[2][j] + want[3][j]) / 4
				require.InDelta(t, w, got[i][j], bound, "text %d", i)
				require.InDelta(t, w-centre, moved[i][j], 2*bound, "text %d, centred", i)
			}
		}
		require.EqualValues(t, 1, plain.Truncated())
		require.EqualValues(t, 1, centred.Truncated())
	}
}

func TestBatchInvariance(t *testing.T) {
	e := open(t, model(t), Options{Sample: texts[1:]})
	var many []string
	for i := range 60 {
		many = append(many, strings.Repeat(texts[i%len(texts)]+" ", 1+i%7))
	}
	want, err := e.Encode(context.Background(), many)
	require.NoError(t, err)
	for i, text := range many {
		got, err := e.Encode(context.Background(), []string{text})
		require.NoError(t, err)
		require.Equal(t, want[i], got[0], "text %d", i)
	}
}

func TestIDAndRefusals(t *testing.T) {
	dir := model(t)
	var ids []string
	for _, opt := range []Options{{}, {MaxTokens: 9}, {Sample: texts[:2]}, {Sample: texts[1:3]}} {
		ids = append(ids, open(t, dir, opt).ID())
	}
	slices.Sort(ids)
	require.Len(t, slices.Compact(ids), 4)
	require.Equal(t, open(t, dir, Options{Threads: 1}).ID(), open(t, dir, Options{Backend: "portable"}).ID())

	for _, c := range []struct {
		opt  Options
		want string
	}{{Options{DType: "bf16"}, "bf16"}, {Options{MaxTokens: -1}, "-1"}, {Options{Sample: texts[:1]}, "single"},
		{Options{Sample: []string{"a", ""}}, "sample: text 1"}, {Options{Device: "abacus"}, "abacus"}} {
		_, err := Open(context.Background(), dir, c.opt)
		require.ErrorContains(t, err, c.want)
	}
	_, err := Open(context.Background(), t.TempDir(), Options{})
	require.ErrorContains(t, err, "config.json")
	e, err := Open(context.Background(), dir, Options{})
	require.NoError(t, err)
	for i, bad := range []string{"", "\xff"} {
		_, err = e.Encode(context.Background(), []string{"a", bad})
		require.ErrorContains(t, err, "text 1", fmt.Sprint(i))
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = e.Encode(ctx, texts)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, e.Close())
	_, err = e.Encode(context.Background(), texts)
	require.ErrorContains(t, err, "closed")
}
