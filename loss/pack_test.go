package loss_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/loss"
)

// The packer computes the weights on its own, read-out by read-out; here both computations must meet, to the bit.
func TestPackedWeightsAreTheSame(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	opt := loss.WeightOptions{Trajectories: 16, LambdaStep: 0.75, LambdaFinal: 2.5}
	labels := make([]loss.Labels, 12)
	examples := make([]*data.Example, len(labels))
	finals := 0
	for b := range labels {
		l := loss.Labels{Final: math.NaN()}
		e := &data.Example{ID: "x", Tokens: make([]int32, 9)}
		for i := range rng.IntN(9) {
			l.Steps = append(l.Steps, math.NaN())
			l.StepWeights = append(l.StepWeights, rng.Float64())
			r := data.ReadOut{Pos: int32(i), Kind: data.KindStep, Index: i, Weight: l.StepWeights[i]}
			if rng.IntN(3) > 0 {
				l.Steps[i] = rng.Float64()
				r.Target, r.HasTarget = l.Steps[i], true
			}
			e.Reads = append(e.Reads, r)
		}
		if rng.IntN(2) > 0 {
			weight := rng.Float64()
			l.Final, l.FinalWeight = rng.Float64(), &weight
			e.Reads = append(e.Reads, data.ReadOut{Pos: 8, Kind: data.KindTrajectory, Target: l.Final, HasTarget: true, Weight: weight})
			finals++
		}
		labels[b], examples[b] = l, e
	}
	want, err := loss.Weights(opt, labels)
	require.NoError(t, err)
	batches, err := data.Pack(examples, data.PackOptions{Tokens: 20, N: opt.Trajectories, LambdaStep: opt.LambdaStep,
		LambdaFinal: opt.LambdaFinal})
	require.NoError(t, err)
	compared := 0
	for _, batch := range batches {
		for i, b := range batch.Trajectory {
			read := examples[b].Reads[batch.Read[i]]
			if read.Kind == data.KindTrajectory {
				require.Equal(t, want[b].Final, batch.Weight[i])
			} else {
				require.Equal(t, want[b].Steps[read.Index], batch.Weight[i])
			}
			compared++
		}
	}
	require.Greater(t, compared, 20)

	balanced, err := loss.BalancedLambda(len(labels), finals)
	require.NoError(t, err)
	require.Equal(t, balanced, data.Balanced(examples))
}
