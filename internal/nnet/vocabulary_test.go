package nnet_test

import (
	"context"
	"math"
	"testing"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/hfmodel"
	"github.com/goprm/goprm/internal/nnet"
	"github.com/goprm/goprm/internal/rng"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"
)

// randomSource makes every tensor up from its name, in the compute dtype; a norm's weights are 1.
type randomSource struct{ head map[string][]float64 }

func (randomSource) IsBF16(string) bool { return false }

func (s randomSource) Load(name string, dtype tensor.Dtype, shape []int) (*engine.Tensor, error) {
	t := engine.FromDType(dtype, shape...)
	stream, values := rng.New(3, name), make([]float64, t.Size())
	for i := range values {
		values[i] = 2 * (stream.Float64(uint64(i)) - 0.5)
		if len(shape) == 1 {
			values[i] = 1
		}
		if dtype == engine.F32 {
			values[i] = float64(float32(values[i]))
			engine.Slice[float32](t)[i] = float32(values[i])
		} else {
			engine.Slice[float64](t)[i] = values[i]
		}
	}
	s.head[name] = values
	return t, nil
}

// The log-probability of a token over a vocabulary of three blocks is the softmax's over all logits at once.
func TestTokenLogProb(t *testing.T) {
	config, err := hfmodel.ParseConfig([]byte(`{"model_type":"llama","hidden_size":16,"intermediate_size":16,"num_hidden_layers":1,` +
		`"num_attention_heads":1,"vocab_size":20011,"max_position_embeddings":64}`))
	require.NoError(t, err)
	for _, c := range []struct {
		dtype     tensor.Dtype
		tolerance float64
	}{{engine.F32, 1e-5}, {engine.F64, 1e-12}} {
		backend, err := engine.Open("cpu", engine.Options{Workers: 2})
		require.NoError(t, err)
		source := randomSource{map[string][]float64{}}
		n, err := nnet.New(nnet.Spec{Config: config, DType: c.dtype, Head: nnet.HeadSpec{Kind: nnet.TokenLogProb, Final: "shared"}}, backend,
			source)
		require.NoError(t, err)
		blocks := nnet.VocabularyBlocks(config.VocabSize)
		require.Len(t, blocks, 3)
		require.Equal(t, nnet.VocabularyBlock{Name: "lm_head.weight[16384:20011]", From: 16384, To: 20011}, blocks[2])
		batch := &data.Batch{Tokens: []int32{5, 20010, 8191, 8192}, Positions: []int32{0, 1, 2, 3}, CuSeqlens: []int32{0, 4},
			Reads:  []int32{0, 1, 3, 3},
			Target: make([]float64, 4), Weight: make([]float64, 4), Kind: make([]data.Kind, 4)}
		labels := []int32{20010, 8191, 8192, 0}
		hidden, err := n.Hidden(context.Background(), batch)
		require.NoError(t, err)
		got, err := n.Score(context.Background(), nnet.MicroBatch{Batch: batch, Labels: labels})
		require.NoError(t, err)
		for r, at := range batch.Reads {
			var sum, label float64
			for _, b := range blocks {
				for v := b.From; v < b.To; v++ {
					z := 0.0
					for k, w := range source.head[b.Name][(v-b.From)*16:][:16] {
						z += w * hidden[int(at)*16+k]
					}
					sum += math.Exp(z)
					if v == int(labels[r]) {
						label = z
					}
				}
			}
			require.InEpsilon(t, label-math.Log(sum), got.Values[r], c.tolerance)
		}
		_, err = n.Score(context.Background(), nnet.MicroBatch{Batch: batch, Labels: labels[:3]})
		require.ErrorContains(t, err, "labels: 3 for 4 read-outs")
		_, err = n.Score(context.Background(), nnet.MicroBatch{Batch: batch, Labels: []int32{0, 0, 20011, 0}})
		require.ErrorContains(t, err, "read-out 2 has token 20011")
		require.NoError(t, n.Close())
		require.NoError(t, backend.Close())
	}
}

// A sliding window cuts what a token sees, and prefix trees are refused with one.
func TestSlidingWindowAndDynamicScaling(t *testing.T) {
	text := `{"model_type":"mistral","hidden_size":16,"intermediate_size":16,"num_hidden_layers":1,"num_attention_heads":1,` +
		`"num_key_value_heads":1,"vocab_size":50,"max_position_embeddings":64,"sliding_window":3`
	open := func(more string) *nnet.Network {
		config, err := hfmodel.ParseConfig([]byte(text + more + "}"))
		require.NoError(t, err)
		backend, err := engine.Open("cpu", engine.Options{Workers: 2})
		require.NoError(t, err)
		n, err := nnet.New(nnet.Spec{Config: config, DType: engine.F64,
			Head: nnet.HeadSpec{Kind: nnet.Scalar, Activation: "identity", Final: "shared"}}, backend, randomSource{map[string][]float64{}})
		require.NoError(t, err)
		t.Cleanup(func() {
			require.NoError(t, n.Close())
			require.NoError(t, backend.Close())
		})
		return n
	}
	n := open("")
	batch := func(tokens ...int32) *data.Batch {
		b := &data.Batch{Tokens: tokens, CuSeqlens: []int32{0, int32(len(tokens))}, Parents: []int32{-1}}
		for i := range tokens {
			b.Positions = append(b.Positions, int32(i))
		}
		return b
	}
	hidden := func(tokens ...int32) []float64 {
		h, err := n.Hidden(context.Background(), batch(tokens...))
		require.NoError(t, err)
		return h[len(h)-16:]
	}
	last := hidden(1, 2, 3, 4, 5)
	require.Equal(t, last, hidden(9, 8, 3, 4, 5), "of one layer, a token sees three")
	require.NotEqual(t, last, hidden(1, 2, 8, 4, 5))

	tree := batch(1, 2, 3)
	tree.CuSeqlens, tree.Parents = []int32{0, 2, 3}, []int32{-1, 0}
	_, err := n.Hidden(context.Background(), tree)
	require.ErrorContains(t, err, "a prefix tree for a model with a sliding window")

	far := batch(1)
	far.Positions[0] = 64
	_, err = n.Hidden(context.Background(), far)
	require.NoError(t, err)
	_, err = open(`,"rope_scaling":{"type":"dynamic","factor":2}`).Hidden(context.Background(), far)
	require.ErrorContains(t, err, "position 64 is beyond the 64")
}
