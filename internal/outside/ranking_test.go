package outside

import (
	"testing"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/nn"
	"github.com/stretchr/testify/require"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// ranking is the pairwise loss of a reward model, the mean over pairs of softplus(score of the worse − score of the better). Row p
// of the batch's input "pairs" [P, R] has 1 at the worse read-out and −1 at the better one.
func ranking(e *nn.Expr) error {
	e.Values = e.Logits()
	difference, err := gorgonia.Mul(e.Input("pairs"), e.Logits())
	if err != nil {
		return err
	}
	each, err := gorgonia.Softplus(difference)
	if err != nil {
		return err
	}
	e.Loss, err = gorgonia.Mean(each)
	return err
}

// pair packs two answers to one problem into one batch, each read at its last token.
func pair(t *testing.T, better, worse []int32) nn.Batch {
	read := func(id string, tokens []int32) *data.Example {
		last := data.ReadOut{Pos: int32(len(tokens) - 1), Kind: data.KindTrajectory, HasTarget: true, Weight: 1}
		return &data.Example{ID: id, Tokens: tokens, Reads: []data.ReadOut{last}, Group: "pair"}
	}
	batches, err := data.Pack([]*data.Example{read("better", better), read("worse", worse)}, data.PackOptions{Tokens: 1, N: 2, LambdaFinal: 1})
	require.NoError(t, err)
	require.Len(t, batches, 1, "a group stays together, whatever the budget")
	pairs := tensor.New(tensor.WithShape(1, 2), tensor.WithBacking([]float32{-1, 1}))
	return nn.Batch{Batch: batches[0], Inputs: map[string]*tensor.Dense{"pairs": pairs}}
}

// A pairwise ranking loss over two trajectories of a problem learns to rank pairs.
func TestPairwiseRanking(t *testing.T) {
	net, err := nn.Open("../parity/testdata/wide/f32", nn.Options{
		Train: nn.LoRA, LoRA: nn.LoRASpec{Rank: 4}, Head: nn.HeadSpec{Kind: nn.Scalar, Activation: "identity"}, Expr: ranking,
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, net.Close()) }()
	pairs := []nn.Batch{pair(t, []int32{5, 6, 7, 8}, []int32{5, 6, 9}), pair(t, []int32{11, 12, 7, 13, 8}, []int32{11, 12, 9, 9})}
	require.NoError(t, net.CheckExpr(ctx, pairs[0]))
	first, err := net.TrainStep(ctx, pairs, nn.DefaultAdamW(1e-2))
	require.NoError(t, err)
	last := first
	for range 30 {
		last, err = net.TrainStep(ctx, pairs, nn.DefaultAdamW(1e-2))
		require.NoError(t, err)
	}
	require.Less(t, last.Loss, first.Loss/4)
	for _, p := range pairs {
		scores, err := net.Score(ctx, p)
		require.NoError(t, err)
		require.Greater(t, scores.Values[0], scores.Values[1], "the better answer scores higher")
	}
}
