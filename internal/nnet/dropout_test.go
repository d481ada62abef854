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
