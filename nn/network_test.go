package nn_test

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/rng"
	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/goprm/goprm/nn"
	"github.com/stretchr/testify/require"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

var ctx = context.Background()

func modelDir(t *testing.T) string {
	dir := filepath.Join(t.TempDir(), "model")
	require.NoError(t, tinymodel.Write(dir, tinymodel.Options{Seed: 5}))
	return dir
}

func open(t *testing.T, dir string, o nn.Options) *nn.Network {
	t.Helper()
	if o.DType == "" {
		o.DType = "f64"
	}
	n, err := nn.Open(dir, o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, n.Close()) })
	return n
}

// batches packs a few labelled texts, in as many batches as the token budget makes.
func batches(t *testing.T, texts, tokens int) []nn.Batch {
	t.Helper()
	var list []*data.Example
	for i := range texts {
		e, stream := &data.Example{ID: string(rune('a' + i))}, rng.New(uint64(i), "text")
		for j := range 9 + 4*i {
			e.Tokens = append(e.Tokens, int32(stream.Uint64(uint64(j))%250))
		}
		for p := 3; p < len(e.Tokens); p += 4 {
			e.Reads = append(e.Reads, data.ReadOut{Pos: int32(p), Index: len(e.Reads), Target: stream.Float64(uint64(p)), HasTarget: true,
				Weight: 1})
		}
		list = append(list, e)
	}
	packed, err := data.Pack(list, data.PackOptions{Tokens: tokens, N: texts, LambdaStep: 1, LambdaFinal: 1})
	require.NoError(t, err)
	var all []nn.Batch
	for _, b := range packed {
		all = append(all, nn.Batch{Batch: b})
	}
	return all
}

func random(seed uint64, bound float64, shape ...int) *tensor.Dense {
	stream, v := rng.New(seed, "value"), make([]float64, tensor.Shape(shape).TotalSize())
	for i := range v {
		v[i] = bound * (2*stream.Float64(uint64(i)) - 1)
	}
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(v))
}

// sigmoidHead is the scalar head and its loss, written as an expression.
func sigmoidHead(width int) func(e *nn.Expr) error {
	return func(e *nn.Expr) error {
		w := e.Parameter("w", random(3, 0.3, width, 1))
		b := e.Parameter("b", tensor.New(tensor.WithShape(1, 1), tensor.WithBacking([]float64{0.1})))
		z := gorgonia.Must(gorgonia.BroadcastAdd(gorgonia.Must(gorgonia.Mul(e.Features(), w)), b, nil, []byte{0}))
		e.Values = gorgonia.Must(gorgonia.Sigmoid(z))
		d := gorgonia.Must(gorgonia.Square(gorgonia.Must(gorgonia.Sub(e.Values, e.Target()))))
		e.Loss = gorgonia.Must(gorgonia.Sum(gorgonia.Must(gorgonia.HadamardProd(d, e.Weight()))))
		return nil
	}
}

// An expression that says what the built-in head says has its loss, its scores and its gradients, of adapters and the whole trunk,
// in one batch and in several, with recomputation and without.
func TestExprEqualsTheBuiltInHead(t *testing.T) {
	dir := modelDir(t)
	for _, train := range []nn.Train{nn.Head, nn.LoRA, nn.Full} {
		for _, tokens := range []int{0, 20} {
			built := open(t, dir, nn.Options{Train: train, LoRA: nn.LoRASpec{Rank: 2}})
			width := built.Config().HiddenSize
			own := open(t, dir, nn.Options{Train: train, LoRA: nn.LoRASpec{Rank: 2}, Expr: sigmoidHead(width), Recompute: tokens == 0})
			w := random(3, 0.3, width, 1)
			require.NoError(t, w.Reshape(1, width))
			require.NoError(t, built.SetValue("score.weight", w))
			require.NoError(t, built.SetValue("score.bias", tensor.New(tensor.WithShape(1), tensor.WithBacking([]float64{0.1}))))
			all := batches(t, 3, tokens)
			for step := range 3 {
				want, wantGrads, err := built.Gradients(ctx, all)
				require.NoError(t, err)
				got, grads, err := own.Gradients(ctx, all)
				require.NoError(t, err)
				require.InEpsilon(t, want.Loss, got.Loss, 1e-12)
				require.InEpsilon(t, want.GradNorm, got.GradNorm, 1e-11)
				require.Equal(t, want.NumStep, got.NumStep)
				for name, g := range wantGrads {
					mine := map[string]string{"score.weight": "score.w", "score.bias": "score.b"}[name]
					if mine == "" {
						mine = name
					}
					require.InDeltaSlice(t, g.Float64s(), grads[mine].Float64s(), 1e-12, "step %d, %s by %s", step, name, train)
				}
				for _, n := range []*nn.Network{built, own} {
					_, err := n.TrainStep(ctx, all, nn.AdamW{LR: 1e-2, HeadLR: 1e-2, Beta1: 0.9, Beta2: 0.99, Eps: 1e-6, Clip: 1})
					require.NoError(t, err)
				}
			}
			for _, b := range all {
				want, err := built.Score(ctx, b)
				require.NoError(t, err)
				got, err := own.Score(ctx, b)
				require.NoError(t, err)
				require.InDeltaSlice(t, want.Values, got.Values, 1e-9)
				require.NoError(t, own.CheckExpr(ctx, b))
			}
		}
	}
}

// A loss of hidden states and of the head's logits reaches every adapter: against central differences of the whole network.
func TestExprOfHiddenStatesAndLogits(t *testing.T) {
	expr := func(e *nn.Expr) error {
		norm := gorgonia.Must(gorgonia.Mean(gorgonia.Must(gorgonia.Square(e.Hidden()))))
		z := gorgonia.Must(gorgonia.Sum(gorgonia.Must(gorgonia.Tanh(e.Logits()))))
		e.Loss = gorgonia.Must(gorgonia.HadamardProd(norm, z))
		return nil
	}
	n := open(t, modelDir(t), nn.Options{Train: nn.LoRA, LoRA: nn.LoRASpec{Rank: 2}, Head: nn.HeadSpec{Kind: nn.Scalar}, Expr: expr})
	for i, p := range n.Parameters() {
		if p.Trained {
			require.NoError(t, n.SetValue(p.Name, random(uint64(i), 0.1, p.Shape...)))
		}
	}
	all := batches(t, 2, 0)
	_, grads, err := n.Gradients(ctx, all)
	require.NoError(t, err)
	require.Len(t, grads, 7*2*n.Config().NumHiddenLayers+2)
	for name, g := range grads {
		v, err := n.Value(name)
		require.NoError(t, err)
		at := v.Size() / 2
		var loss [2]float64
		for side, h := range []float64{1e-5, -1e-5} {
			moved := v.Clone().(*tensor.Dense)
			moved.Float64s()[at] += h
			require.NoError(t, n.SetValue(name, moved))
			r, _, err := n.Gradients(ctx, all)
			require.NoError(t, err)
			loss[side] = r.Loss
		}
		require.NoError(t, n.SetValue(name, v))
		require.InDelta(t, (loss[0]-loss[1])/2e-5, g.Float64s()[at], 1e-5, name)
	}
	_, err = open(t, modelDir(t), nn.Options{Train: nn.Head, Expr: expr, Head: nn.HeadSpec{Kind: nn.Scalar}}).TrainStep(ctx, all,
		nn.DefaultAdamW(1))
	require.ErrorContains(t, err, "Hidden")
}

// SGD is what torch.optim.SGD's loop does, written out.
func TestSGD(t *testing.T) {
	n := open(t, modelDir(t), nn.Options{Train: nn.Head, Head: nn.HeadSpec{Kind: nn.TwoClassMLP}, Seed: 4})
	o := nn.SGD{HeadLR: 0.3, Momentum: 0.9, WeightDecay: 0.1}
	all, velocity, want := batches(t, 3, 25), map[string][]float64{}, map[string][]float64{}
	for range 4 {
		_, grads, err := n.Gradients(ctx, all)
		require.NoError(t, err)
		for name, g := range grads {
			v, err := n.Value(name)
			require.NoError(t, err)
			p, u := v.Float64s(), velocity[name]
			if u == nil {
				u = make([]float64, len(p))
			}
			for i, g := range g.Float64s() {
				if len(v.Shape()) > 1 {
					g += o.WeightDecay * p[i]
				}
				u[i] = o.Momentum*u[i] + g
				p[i] -= o.HeadLR * u[i]
			}
			velocity[name], want[name] = u, p
		}
		_, err = n.TrainStep(ctx, all, o)
		require.NoError(t, err)
		for name := range grads {
			got, err := n.Value(name)
			require.NoError(t, err)
			require.InDeltaSlice(t, want[name], got.Float64s(), 1e-14, name)
		}
	}
	_, err := n.TrainStep(ctx, all, nn.DefaultAdamW(1e-3))
	require.ErrorContains(t, err, "cannot become adamw")
}

// A saved model gives the same scores again: a head, adapters, everything, an expression.
func TestSaveAndOpen(t *testing.T) {
	dir := modelDir(t)
	for _, train := range []nn.Train{nn.Head, nn.LoRA, nn.Full} {
		for _, expr := range []func(*nn.Expr) error{nil, sigmoidHead(32)} {
			n := open(t, dir, nn.Options{Train: train, Expr: expr, DType: "f32", LoRA: nn.LoRASpec{Rank: 3, Targets: []string{"q_proj", "up_proj"}}})
			all := batches(t, 3, 0)
			_, err := n.TrainStep(ctx, all, nn.DefaultAdamW(1e-2))
			require.NoError(t, err)
			want, err := n.Score(ctx, all[0])
			require.NoError(t, err)
			saved := filepath.Join(t.TempDir(), "saved")
			require.NoError(t, n.Save(saved))
			again := open(t, saved, nn.Options{Expr: expr, DType: "f32"})
			got, err := again.Score(ctx, all[0])
			require.NoError(t, err)
			require.Equal(t, want.Values, got.Values, train)
			if expr != nil {
				_, err := nn.Open(saved, nn.Options{})
				require.ErrorContains(t, err, "Options.Expr")
			}
		}
	}
}

// Values that are set are copies: a mapped file keeps its bytes.
func TestSetValueOfAMappedWeight(t *testing.T) {
	dir := modelDir(t)
	path := filepath.Join(dir, "model.safetensors")
	before, err := os.ReadFile(path)
	require.NoError(t, err)
	n := open(t, dir, nn.Options{DType: "f32"})
	ids := []int32{1, 2, 3, 4, 5}
	old, err := n.Hidden(ctx, ids)
	require.NoError(t, err)
	for _, name := range []string{"model.embed_tokens.weight", "model.norm.weight"} {
		v, err := n.Value(name)
		require.NoError(t, err)
		twice, err := v.MulScalar(float32(2), true)
		require.NoError(t, err)
		require.NoError(t, n.SetValue(name, twice))
		got, err := n.Value(name)
		require.NoError(t, err)
		require.Equal(t, twice.Data(), got.Data(), name)
	}
	changed, err := n.Hidden(ctx, ids)
	require.NoError(t, err)
	require.NotEqual(t, old.Data(), changed.Data())
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, before, after)
	require.ErrorContains(t, n.SetValue("model.norm.weight", random(1, 1, 3)), "another shape")
	require.ErrorContains(t, n.SetValue("nothing", random(1, 1, 3)), "none of that name")
}

// Goroutines take turns and see whole results; after Close every method says so.
func TestOneNetworkManyGoroutines(t *testing.T) {
	n := open(t, modelDir(t), nn.Options{})
	var want []*tensor.Dense
	for i := range 4 {
		h, err := n.Hidden(ctx, []int32{int32(i), 7, 8, 9, int32(i)})
		require.NoError(t, err)
		want = append(want, h)
	}
	var wait sync.WaitGroup
	for g := range 8 {
		wait.Go(func() {
			for i := range 20 {
				k := (g + i) % 4
				h, err := n.Hidden(ctx, []int32{int32(k), 7, 8, 9, int32(k)})
				if err != nil || !h.Eq(want[k]) {
					t.Errorf("goroutine %d: %v, other hidden states", g, err)
					return
				}
			}
		})
	}
	wait.Wait()
	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, err := n.Hidden(ended, []int32{1})
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, n.Close())
	_, err = n.Hidden(ctx, []int32{1})
	require.ErrorIs(t, err, nn.ErrClosed)
	require.ErrorIs(t, n.Save(t.TempDir()), nn.ErrClosed)
}

// Bad input is an error, and changes nothing.
func TestBadInput(t *testing.T) {
	dir := modelDir(t)
	n := open(t, dir, nn.Options{Train: nn.Head})
	_, err := n.Hidden(ctx, nil)
	require.ErrorContains(t, err, "without tokens")
	_, err = n.Hidden(ctx, []int32{1, 1 << 30})
	require.ErrorContains(t, err, "token 1: id 1073741824")
	good := batches(t, 2, 0)
	bad := *good[0].Batch
	bad.Reads = append([]int32{}, bad.Reads...)
	bad.Reads[1] = int32(len(bad.Tokens))
	_, err = n.TrainStep(ctx, []nn.Batch{{Batch: &bad}}, nn.DefaultAdamW(1e-3))
	require.ErrorContains(t, err, "micro-batch 0: reads: read-out 1")
	_, err = n.TrainStep(ctx, good, nn.AdamW{LR: 1})
	require.ErrorContains(t, err, "eps")
	_, err = n.TrainStep(ctx, good, nil)
	require.ErrorContains(t, err, "optimizer is nil")
	require.NoError(t, n.SetValue("score.weight", random(1, 0.1, 1, n.Config().HiddenSize)))
	before, err := n.Value("score.weight")
	require.NoError(t, err)
	infinite := *good[0].Batch
	infinite.Weight = append([]float64{}, infinite.Weight...)
	infinite.Weight[0] = 1e308
	infinite.Target = append([]float64{}, infinite.Target...)
	infinite.Target[0] = 1e300
	_, err = n.TrainStep(ctx, []nn.Batch{{Batch: &infinite}}, nn.DefaultAdamW(1e-3))
	var nonFinite *nn.NonFiniteError
	require.ErrorAs(t, err, &nonFinite)
	after, err := n.Value("score.weight")
	require.NoError(t, err)
	require.Equal(t, before.Data(), after.Data())
	_, err = nn.Open(dir, nn.Options{Train: "everything"})
	require.ErrorContains(t, err, "none of head, lora, full")
	_, err = nn.Open(filepath.Join(dir, "absent"), nn.Options{})
	require.ErrorContains(t, err, "absent")
	_, err = open(t, dir, nn.Options{}).TrainStep(ctx, good, nn.DefaultAdamW(1))
	require.ErrorContains(t, err, "trains nothing")
	require.False(t, math.IsNaN(after.Float64s()[0]))
}

// expiring is a context that ends after Err has been asked for a number of times: between two launches of a run.
type expiring struct {
	context.Context
	left int
}

func (e *expiring) Err() error {
	if e.left--; e.left < 0 {
		return context.Canceled
	}
	return nil
}

// A training step whose context ends, wherever in the forward or the backward pass, changes nothing; the next one goes on.
func TestCancelledStepChangesNothing(t *testing.T) {
	n := open(t, modelDir(t), nn.Options{Train: nn.LoRA, LoRA: nn.LoRASpec{Rank: 2}})
	all := batches(t, 3, 20)
	const name = "model.layers.1.self_attn.q_proj.lora_A.weight"
	before, err := n.Value(name)
	require.NoError(t, err)
	calls := &expiring{Context: ctx, left: 1 << 30}
	_, _, err = n.Gradients(calls, all)
	require.NoError(t, err)
	checks := 1<<30 - calls.left
	require.Greater(t, checks, 100, "the context is looked at between launches")
	for _, at := range []int{0, 1, 5, checks / 2, checks - 1} {
		_, err = n.TrainStep(&expiring{Context: ctx, left: at}, all, nn.DefaultAdamW(1e-2))
		require.ErrorIs(t, err, context.Canceled, "after %d of %d", at, checks)
		after, err := n.Value(name)
		require.NoError(t, err)
		require.Equal(t, before.Data(), after.Data())
	}
	want := open(t, modelDir(t), nn.Options{Train: nn.LoRA, LoRA: nn.LoRASpec{Rank: 2}})
	a, err := n.TrainStep(ctx, all, nn.DefaultAdamW(1e-2))
	require.NoError(t, err)
	b, err := want.TrainStep(ctx, all, nn.DefaultAdamW(1e-2))
	require.NoError(t, err)
	require.Equal(t, b, a)
}
