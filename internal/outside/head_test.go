package outside

import (
	"math"
	"path/filepath"
	"testing"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/nn"
	"github.com/stretchr/testify/require"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// twoLayers is a head of our own: sigmoid(w2·tanh(w1·x + b1)), with binary cross-entropy on soft labels.
func twoLayers(width int) func(e *nn.Expr) error {
	w1, w2 := make([]float64, width*8), make([]float64, 8)
	for i := range w1 {
		w1[i] = 0.3 * math.Sin(float64(i+1))
	}
	for i := range w2 {
		w2[i] = 0.5 * math.Cos(float64(i))
	}
	return func(e *nn.Expr) (err error) {
		defer func() {
			if r := recover(); r != nil {
				err = r.(error)
			}
		}()
		must := gorgonia.Must
		inner := must(gorgonia.Mul(e.Features(), e.Parameter("w1", tensor.New(tensor.WithShape(width, 8), tensor.WithBacking(w1)))))
		inner = must(gorgonia.BroadcastAdd(inner, e.Parameter("b1", tensor.New(tensor.WithShape(1, 8), tensor.WithBacking(make([]float64, 8)))),
			nil, []byte{0}))
		z := must(gorgonia.Mul(must(gorgonia.Tanh(inner)), e.Parameter("w2", tensor.New(tensor.WithShape(8, 1), tensor.WithBacking(w2)))))
		e.Values = must(gorgonia.Sigmoid(z))
		each := must(gorgonia.Sub(must(gorgonia.Softplus(z)), must(gorgonia.HadamardProd(e.Target(), z))))
		e.Loss = must(gorgonia.Sum(must(gorgonia.HadamardProd(e.Weight(), each))))
		return nil
	}
}

func labelled(t *testing.T) []nn.Batch {
	var list []*data.Example
	for i := range 6 {
		e := &data.Example{ID: string(rune('a' + i)), Tokens: []int32{int32(10 + i), 3, int32(20 + i), 4, int32(30 + i)}}
		for j, p := range []int32{2, 4} {
			e.Reads = append(e.Reads, data.ReadOut{Pos: p, Index: j, Target: float64((i+j)%3) / 2, HasTarget: true, Weight: 1})
		}
		list = append(list, e)
	}
	packed, err := data.Pack(list, data.PackOptions{Tokens: 12, N: 6, LambdaStep: 1})
	require.NoError(t, err)
	var all []nn.Batch
	for _, b := range packed {
		all = append(all, nn.Batch{Batch: b})
	}
	return all
}

// A two-layer head of our own passes its check, learns soft labels, and is saved and opened with the same expression alone.
func TestOwnTwoLayerHead(t *testing.T) {
	dir := "../parity/testdata/wide/f32"
	net, err := nn.Open(dir, nn.Options{})
	require.NoError(t, err)
	width := net.Config().HiddenSize
	require.NoError(t, net.Close())
	net, err = nn.Open(dir, nn.Options{Train: nn.Head, Expr: twoLayers(width)})
	require.NoError(t, err)
	defer func() { require.NoError(t, net.Close()) }()
	all := labelled(t)
	require.NoError(t, net.CheckExpr(ctx, all[0]))
	var losses []float64
	for range 150 {
		r, err := net.TrainStep(ctx, all, nn.DefaultAdamW(3e-2))
		require.NoError(t, err)
		losses = append(losses, r.Loss)
	}
	// The entropy of the labels is the least that binary cross-entropy can be: a third of them are 0.5, the others 0 or 1.
	least := math.Ln2 / 3
	require.Less(t, losses[149]-least, (losses[0]-least)/5)
	want, err := net.Score(ctx, all[0])
	require.NoError(t, err)
	saved := filepath.Join(t.TempDir(), "model")
	require.NoError(t, net.Save(saved))
	_, err = nn.Open(saved, nn.Options{})
	require.ErrorContains(t, err, "Options.Expr")
	again, err := nn.Open(saved, nn.Options{Expr: twoLayers(width)})
	require.NoError(t, err)
	defer func() { require.NoError(t, again.Close()) }()
	got, err := again.Score(ctx, all[0])
	require.NoError(t, err)
	require.Equal(t, want.Values, got.Values)
}

// SGD with momentum is a loop of a few lines, written out here over the gradients that the network gives.
func TestSGDAgainstAHandWrittenLoop(t *testing.T) {
	net, err := nn.Open("../parity/testdata/wide/f32", nn.Options{Train: nn.LoRA, LoRA: nn.LoRASpec{Rank: 2}, DType: "f64", Seed: 1})
	require.NoError(t, err)
	defer func() { require.NoError(t, net.Close()) }()
	all, velocity := labelled(t), map[string][]float64{}
	const rate, headRate, momentum = 0.5, 0.2, 0.8
	for range 5 {
		_, grads, err := net.Gradients(ctx, all)
		require.NoError(t, err)
		want := map[string][]float64{}
		for _, p := range net.Parameters() {
			if !p.Trained {
				continue
			}
			v, err := net.Value(p.Name)
			require.NoError(t, err)
			lr, u := rate, velocity[p.Name]
			if p.Head {
				lr = headRate
			}
			if u == nil {
				u = make([]float64, v.Size())
			}
			values := v.Float64s()
			for i, g := range grads[p.Name].Float64s() {
				u[i] = momentum*u[i] + g
				values[i] -= lr * u[i]
			}
			velocity[p.Name], want[p.Name] = u, values
		}
		_, err = net.TrainStep(ctx, all, nn.SGD{LR: rate, HeadLR: headRate, Momentum: momentum})
		require.NoError(t, err)
		for name, w := range want {
			v, err := net.Value(name)
			require.NoError(t, err)
			require.InDeltaSlice(t, w, v.Float64s(), 1e-14, name)
		}
	}
}
