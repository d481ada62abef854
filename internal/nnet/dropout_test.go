package nnet_test

import (
	"context"
	"testing"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/nnet"
	"github.com/stretchr/testify/require"
)

// dropped gives micro-batches the keys of an optimizer step.
func dropped(batches []nnet.MicroBatch, step int) []nnet.MicroBatch {
	var list []nnet.MicroBatch
	for _, b := range batches {
		list = append(list, nnet.MicroBatch{Batch: b.Batch, DropoutKeys: nnet.DropoutKeys(b.Batch, 3, step)})
	}
	return list
}

// The mask follows from seed, step, trajectory and position: packing rounds only, recomputation changes no bit, and the
// gradient is that of the masked function.
func TestDropout(t *testing.T) {
	o := newOpener(t, "auto")
	spec := nnet.Spec{Train: nnet.TrainLoRA, DType: engine.F64, LoRA: nnet.LoRASpec{Dropout: 0.3}}
	recomputing := spec
	recomputing.Recompute = true
	list := examples(7)
	whole, split := micros(t, list, 0), micros(t, list, 40)
	require.Greater(t, len(split), 2)

	n := o.open(spec)
	r, want, err := n.Gradients(context.Background(), dropped(whole, 5))
	require.NoError(t, err)
	_, recomputed, err := o.open(recomputing).Gradients(context.Background(), dropped(whole, 5))
	require.NoError(t, err)
	require.Equal(t, want, recomputed)
	_, sum, err := n.Gradients(context.Background(), dropped(split, 5))
	require.NoError(t, err)
	for name := range want {
		require.InDeltaSlice(t, want[name], sum[name], 1e-12, name)
	}
	next, _, err := n.Gradients(context.Background(), dropped(whole, 6))
	require.NoError(t, err)
	require.NotEqual(t, r.Loss, next.Loss, "another step, another mask")
	requireCentralDifferences(t, n, dropped(micros(t, examples(4), 0), 5))

	plain := o.open(nnet.Spec{Train: nnet.TrainLoRA, DType: engine.F64})
	without, _, err := plain.Gradients(context.Background(), whole)
	require.NoError(t, err)
	require.NotEqual(t, r.Loss, without.Loss)
	batches, err := data.PackAll(list, 0)
	require.NoError(t, err)
	require.Equal(t, byRead(t, plain, batches), byRead(t, n, batches), "scores drop nothing")
}

// trees lays the examples out for training with their beginnings stored once.
func trees(t *testing.T, list []*data.Example, tokens int) []nnet.MicroBatch {
	opt := data.PackOptions{Tokens: tokens, N: len(list), LambdaStep: 1, LambdaFinal: 0.5, Tree: true}
	batches, err := data.Pack(list, opt)
	require.NoError(t, err)
	var m []nnet.MicroBatch
	for _, b := range batches {
		m = append(m, nnet.MicroBatch{Batch: b})
	}
	return m
}

// withPrefixKeys gives micro-batches the keys of a step whose texts drop alike where they are alike.
func withPrefixKeys(batches []nnet.MicroBatch) []nnet.MicroBatch {
	var list []nnet.MicroBatch
	for _, b := range batches {
		list = append(list, nnet.MicroBatch{Batch: b.Batch, DropoutKeys: nnet.PrefixDropoutKeys(b.Batch, 3, 5)})
	}
	return list
}

// The gradient of a prefix tree is the sum of the gradients of its texts, with dropout too: every token of an ancestor has its key.
func TestTreeGradientsAreThoseOfTheTexts(t *testing.T) {
	list := examples(9)
	for i := range list { // as many labels as there are in common beginnings, and one text twice
		list[i].Problem = data.KeyOf("p")
	}
	list = append(list, list[4])
	apart := micros(t, list, 1)
	for _, spec := range []nnet.Spec{
		{Train: nnet.TrainFull}, {Train: nnet.TrainLoRA}, {Train: nnet.TrainLoRA, LoRA: nnet.LoRASpec{Dropout: 0.3}},
		{Train: nnet.TrainLoRA, LoRA: nnet.LoRASpec{Dropout: 0.3}, Recompute: true}, {Train: nnet.TrainFull, Recompute: true},
	} {
		spec.DType = engine.F64
		n := newOpener(t, "auto").open(spec)
		keys := func(m []nnet.MicroBatch) []nnet.MicroBatch { return m }
		if spec.DropsOut() {
			keys = withPrefixKeys
		}
		r, want, err := n.Gradients(context.Background(), keys(apart))
		require.NoError(t, err)
		for _, tokens := range []int{0, 50} {
			tree := keys(trees(t, list, tokens))
			require.Equal(t, tokens > 0, len(tree) > 1)
			got, sum, err := n.Gradients(context.Background(), tree)
			require.NoError(t, err)
			require.InDelta(t, r.Loss, got.Loss, 1e-12)
			require.Equal(t, r.NumStep, got.NumStep)
			for name := range want {
				require.InDeltaSlice(t, want[name], sum[name], 1e-12, name)
			}
		}
	}
}

// A head that is trained on the hidden states of a tree has the gradient of one on those of the texts.
func TestTreeFeaturesTrainTheSameHead(t *testing.T) {
	o, list := newOpener(t, "auto"), examples(9)
	trunk := o.open(nnet.Spec{DType: engine.F64})
	gradients := func(batches []nnet.MicroBatch) map[string][]float64 {
		for i, b := range batches {
			var err error
			batches[i].Features, err = trunk.Features(context.Background(), b.Batch)
			require.NoError(t, err)
		}
		_, sum, err := o.open(nnet.Spec{Train: nnet.TrainHead, DType: engine.F64}).Gradients(context.Background(), batches)
		require.NoError(t, err)
		return sum
	}
	want, got := gradients(micros(t, list, 1)), gradients(trees(t, list, 0))
	require.NotEmpty(t, want)
	for name := range want {
		require.InDeltaSlice(t, want[name], got[name], 1e-12, name)
	}
}

// Texts that begin alike have the same keys there; every token of a tree has one, and another step other ones.
func TestPrefixDropoutKeys(t *testing.T) {
	b := &data.Batch{Tokens: []int32{0, 1, 2, 3, 0, 1, 4}, CuSeqlens: []int32{0, 2, 3, 4, 7}, Parents: []int32{-1, 0, 0, -1}}
	keys := nnet.PrefixDropoutKeys(b, 3, 5)
	require.Equal(t, keys[:2], keys[4:6])
	seen := map[uint64]bool{}
	for _, k := range append(keys[:4:4], keys[6]) {
		require.NotZero(t, k)
		require.False(t, seen[k])
		seen[k] = true
	}
	require.Equal(t, keys, nnet.DropoutKeys(b, 3, 5), "a tree is known by its parents")
	require.NotEqual(t, keys, nnet.PrefixDropoutKeys(b, 3, 6))
	require.NotEqual(t, keys, nnet.PrefixDropoutKeys(b, 4, 5))
}
