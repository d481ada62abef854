//go:build linux && (amd64 || arm64) && !nocuda && !gpuonly

package cuda

import (
	"context"
	"testing"

	"github.com/goprm/goprm/cuda/internal/emulator"
	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/nn"
	"github.com/stretchr/testify/require"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// A custom head and loss train on the GPU as on the CPU: the launches before and after the expression are two recordings, which
// replay from the second step on, in batches of several sizes. SGD runs there too.
func TestEmulatedExpression(t *testing.T) {
	if testing.Short() {
		t.Skip("short: seconds of the emulator")
	}
	emulator.Use(t)
	require.NoError(t, emulator.Configure(emulator.Mode{Jobs: 2}))
	base := tinyBase(t, 32)
	var batches []nn.Batch
	for i := range 3 {
		e := &data.Example{ID: "a", Reads: []data.ReadOut{{Pos: int32(2 + i), Target: 0.25, HasTarget: true, Weight: 1}}}
		for j := range 5 + 2*i {
			e.Tokens = append(e.Tokens, int32(20*i+j))
		}
		e.Reads = append(e.Reads, data.ReadOut{Pos: int32(len(e.Tokens) - 1), Index: 1, Target: 0.75, HasTarget: true, Weight: 1})
		packed, err := data.Pack([]*data.Example{e}, data.PackOptions{N: 1, LambdaStep: 1})
		require.NoError(t, err)
		batches = append(batches, nn.Batch{Batch: packed[0]})
	}
	losses := func(device string, o nn.Optimizer) (list []float64) {
		net, err := nn.Open(base, nn.Options{
			Device: device, DType: "f64", Train: nn.LoRA, LoRA: nn.LoRASpec{Rank: 2}, Recompute: true, Head: nn.HeadSpec{Kind: nn.Scalar},
			Expr: func(e *nn.Expr) error {
				w := e.Parameter("w", tensor.New(tensor.WithShape(32, 1), tensor.WithBacking(make([]float32, 32))))
				z := gorgonia.Must(gorgonia.Add(gorgonia.Must(gorgonia.Mul(e.Features(), w)), e.Logits()))
				d := gorgonia.Must(gorgonia.Square(gorgonia.Must(gorgonia.Sub(z, e.Target()))))
				norm := gorgonia.Must(gorgonia.Mean(gorgonia.Must(gorgonia.Square(e.Hidden()))))
				e.Loss = gorgonia.Must(gorgonia.Add(gorgonia.Must(gorgonia.Sum(d)), norm))
				return nil
			},
		})
		require.NoError(t, err)
		for range 4 {
			r, err := net.TrainStep(context.Background(), batches, o)
			require.NoError(t, err)
			list = append(list, r.Loss, r.GradNorm)
		}
		require.NoError(t, net.Close())
		return list
	}
	adamw := nn.DefaultAdamW(1e-2)
	adamw.Clip = 1
	for _, o := range []nn.Optimizer{adamw, nn.SGD{LR: 0.1, HeadLR: 0.01, Momentum: 0.9, Clip: 1}} {
		want, got := losses("cpu", o), losses("cuda:0", o)
		require.InEpsilonSlice(t, want, got, 1e-9)
	}
}
