package nnet_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/hfmodel"
	"github.com/goprm/goprm/internal/nnet"
	"github.com/goprm/goprm/internal/rng"
	"github.com/goprm/goprm/internal/safetensors"
	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/goprm/goprm/loss"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	_ "github.com/goprm/goprm/internal/cpu"
	_ "github.com/goprm/goprm/nn"
)

// opener makes networks over one tiny model.
type opener struct {
	t       *testing.T
	config  *hfmodel.Config
	weights *hfmodel.Weights
	backend engine.Backend
}

func newOpener(t *testing.T, kernels string) *opener {
	dir := filepath.Join(t.TempDir(), "model")
	require.NoError(t, tinymodel.Write(dir, tinymodel.Options{Seed: 5}))
	config, err := hfmodel.ReadConfig(dir)
	require.NoError(t, err)
	weights, err := hfmodel.OpenWeights(dir)
	require.NoError(t, err)
	backend, err := engine.Open("cpu", engine.Options{Kernels: kernels, Workers: 2})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, backend.Close())
		require.NoError(t, weights.Close())
	})
	return &opener{t, config, weights, backend}
}

// open makes a network with a random head and random adapters.
func (o *opener) open(spec nnet.Spec) *nnet.Network {
	o.t.Helper()
	spec.Config = o.config
	if spec.DType == (tensor.Dtype{}) {
		spec.DType = engine.F32
	}
	if spec.Head.Kind == "" {
		spec.Head = nnet.HeadSpec{Kind: nnet.Scalar, Activation: "sigmoid", Final: "shared"}
	}
	spec.LoRA = nnet.LoRASpec{Rank: 3, Alpha: 4, Targets: []string{"q_proj", "v_proj", "o_proj", "down_proj"}, Dropout: spec.LoRA.Dropout}
	n, err := nnet.New(spec, o.backend, nnet.Weights{nnet.InWeights(o.weights)})
	require.NoError(o.t, err)
	for _, p := range n.Parameters() {
		if p.Head || p.Trained && spec.Train == nnet.TrainLoRA {
			v, stream := make([]float64, size(p.Shape)), rng.New(9, p.Name)
			for i := range v {
				v[i] = 0.6 * (stream.Float64(uint64(i)) - 0.5)
			}
			require.NoError(o.t, n.Set(p.Name, v))
		}
	}
	return n
}

func size(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// examples with common prefixes, as candidates of one step have.
func examples(n int) []*data.Example {
	var list []*data.Example
	for i := range n {
		e := &data.Example{ID: fmt.Sprint(i)}
		stream := rng.New(uint64(i/3), "shared")
		for j := range 7 + 9*(i/3)%23 {
			e.Tokens = append(e.Tokens, int32(stream.Uint64(uint64(j))%250))
		}
		own := rng.New(uint64(i), "own")
		for j := range 1 + i*5%17 {
			e.Tokens = append(e.Tokens, int32(own.Uint64(uint64(j))%250))
		}
		for p := i % 4; p < len(e.Tokens); p += 5 {
			e.Reads = append(e.Reads, data.ReadOut{Pos: int32(p), Kind: data.KindStep, Index: len(e.Reads), Target: own.Float64(uint64(p)),
				HasTarget: true, Weight: 1})
		}
		e.Reads = append(e.Reads, data.ReadOut{Pos: int32(len(e.Tokens) - 1), Kind: data.KindTrajectory, Target: 0.75,
			HasTarget: true, Weight: 1})
		list = append(list, e)
	}
	return list
}

func micros(t *testing.T, list []*data.Example, tokens int) []nnet.MicroBatch {
	batches, err := data.Pack(list, data.PackOptions{Tokens: tokens, N: len(list), LambdaStep: 1, LambdaFinal: 0.5})
	require.NoError(t, err)
	var m []nnet.MicroBatch
	for _, b := range batches {
		m = append(m, nnet.MicroBatch{Batch: b})
	}
	return m
}

// byRead orders values by (trajectory, read-out), whatever the packing.
func byRead(t *testing.T, n *nnet.Network, batches []*data.Batch) map[[2]int32]float64 {
	values := map[[2]int32]float64{}
	for _, b := range batches {
		s, err := n.Score(context.Background(), nnet.MicroBatch{Batch: b})
		require.NoError(t, err)
		for i, v := range s.Values {
			values[[2]int32{b.Trajectory[i], b.Read[i]}] = v
		}
	}
	return values
}

// The last layer is computed at the read-outs alone: each has the bits that its token has where all tokens are computed.
func TestFeaturesAreTheHiddenStatesOfTheirTokens(t *testing.T) {
	for _, kernels := range []string{"portable", "auto"} {
		n := newOpener(t, kernels).open(nnet.Spec{Train: nnet.TrainLoRA})
		for _, m := range micros(t, examples(9), 150) {
			hidden, err := n.Hidden(context.Background(), m.Batch)
			require.NoError(t, err)
			features, err := n.FeatureValues(context.Background(), m.Batch)
			require.NoError(t, err)
			width := len(hidden) / len(m.Tokens)
			require.Less(t, len(m.Reads), len(m.Tokens))
			for i, at := range m.Reads {
				require.Equal(t, hidden[int(at)*width:][:width], features[i*width:][:width])
			}
		}
		require.NoError(t, n.Close())
	}
}

// A score is the same alone, packed with others, in a prefix tree and in a graph of larger capacity: to the bit.
func TestScoresDependOnTheirOwnTextAlone(t *testing.T) {
	for _, kernels := range []string{"portable", "auto"} {
		n := newOpener(t, kernels).open(nnet.Spec{})
		list := examples(12)
		var alone, packed, tree []*data.Batch
		for _, tokens := range []int{1, 64, 1 << 20} {
			all, err := data.PackAll(list, tokens)
			require.NoError(t, err)
			alone, packed = append(alone, all...), all
		}
		tree, err := data.PackTree(list, 0)
		require.NoError(t, err)
		require.Less(t, len(tree[0].Tokens), len(packed[0].Tokens), "the tree shares something")
		want := byRead(t, n, alone[:len(list)])
		require.Len(t, want, func() int {
			reads := 0
			for _, e := range list {
				reads += len(e.Reads)
			}
			return reads
		}())
		require.Equal(t, want, byRead(t, n, packed))
		require.Equal(t, want, byRead(t, n, tree))
		require.Equal(t, want, byRead(t, n, alone[:len(list)]), "after the capacity grew")
	}
}

// Windows of a long text are texts of their own: the same bits as separate ones, packed or in a prefix tree.
func TestWindowsAreTextsOfTheirOwn(t *testing.T) {
	n := newOpener(t, "auto").open(nnet.Spec{})
	separate := examples(9)
	joined := []*data.Example{{ID: "long"}, separate[8]}
	for _, e := range separate[:8] {
		begin := int32(len(joined[0].Tokens))
		if begin > 0 {
			joined[0].Windows = append(joined[0].Windows, begin)
		}
		joined[0].Tokens = append(joined[0].Tokens, e.Tokens...)
		for _, r := range e.Reads {
			r.Pos += begin
			joined[0].Reads = append(joined[0].Reads, r)
		}
	}
	batches, err := data.PackAll(separate, 0)
	require.NoError(t, err)
	var want []float64
	scores := byRead(t, n, batches)
	for i, e := range separate {
		for j := range e.Reads {
			want = append(want, scores[[2]int32{int32(i), int32(j)}])
		}
	}
	for _, pack := range []func([]*data.Example, int) ([]*data.Batch, error){data.PackAll, data.PackTree} {
		for _, tokens := range []int{1, 64, 0} {
			batches, err := pack(joined, tokens)
			require.NoError(t, err)
			scores, got := byRead(t, n, batches), []float64{}
			for i, e := range joined {
				for j := range e.Reads {
					got = append(got, scores[[2]int32{int32(i), int32(j)}])
				}
			}
			require.Equal(t, want, got)
		}
	}
}

// Recomputing changes no bit; splitting a batch rounds only.
func TestGradientsDoNotDependOnMemorySettings(t *testing.T) {
	o := newOpener(t, "auto")
	for _, train := range []string{nnet.TrainFull, nnet.TrainLoRA} {
		list := examples(7)
		_, want, err := o.open(nnet.Spec{Train: train}).Gradients(context.Background(), micros(t, list, 0))
		require.NoError(t, err)
		_, recomputed, err := o.open(nnet.Spec{Train: train, Recompute: true}).Gradients(context.Background(), micros(t, list, 0))
		require.NoError(t, err)
		require.Equal(t, want, recomputed)
		split := micros(t, list, 30)
		require.Greater(t, len(split), 4)
		_, sum, err := o.open(nnet.Spec{Train: train}).Gradients(context.Background(), split)
		require.NoError(t, err)
		for name, w := range want {
			scale := 0.0
			for _, v := range w {
				scale = max(scale, math.Abs(v))
			}
			for i := range w {
				require.InDelta(t, w[i], sum[name][i], 1e-4*scale+1e-9, "%s[%d]", name, i)
			}
		}
	}
}

// Gradients of micro-batches are added in a chain: (((0+1)+2)+3)+4 for five.
func TestGradientsAreAddedInAFixedChain(t *testing.T) {
	o := newOpener(t, "auto")
	n := o.open(nnet.Spec{Train: nnet.TrainFull})
	list := examples(5)
	split := micros(t, list, 1)
	require.Len(t, split, 5)
	var parts []map[string][]float64
	for _, m := range split {
		_, g, err := n.Gradients(context.Background(), []nnet.MicroBatch{m})
		require.NoError(t, err)
		parts = append(parts, g)
	}
	_, sum, err := n.Gradients(context.Background(), split)
	require.NoError(t, err)
	for name, got := range sum {
		for i := range got {
			at := func(k int) float32 { return float32(parts[k][name][i]) }
			require.Equal(t, float64((((at(0)+at(1))+at(2))+at(3))+at(4)), got[i], "%s[%d]", name, i)
		}
	}
}

// Steps of one and of several micro-batches may follow each other: a sum takes the memory of a single one's gradients, with the bits and
// the memory of a network that never had a single one.
func TestStepsOfOneAndOfSeveralMicroBatches(t *testing.T) {
	o := newOpener(t, "auto")
	memory, cpu := &sizing{}, o.backend
	split := slices.Repeat(micros(t, examples(9), 1<<12), 3) // so long that no arena has to grow
	open := func() *nnet.Network {
		memory = &sizing{Backend: cpu}
		o.backend = memory
		return o.open(nnet.Spec{Train: nnet.TrainFull})
	}
	held := func() (bytes int) {
		for _, n := range memory.held {
			bytes += n
		}
		return bytes
	}
	mixed := open()
	all := memory
	for i, count := range []int{1, 3, 1, 2} {
		got, grads, err := mixed.Gradients(context.Background(), split[:count])
		require.NoError(t, err)
		n := open()
		want, exact, err := n.Gradients(context.Background(), split[:count])
		require.NoError(t, err)
		require.Equal(t, want, got, "step %d", i)
		require.Equal(t, exact, grads, "step %d", i)
		if count == 3 {
			alone := held()
			memory = all
			require.Equal(t, alone, held(), "nothing is left of the first step")
		}
		require.NoError(t, n.Close())
	}
}

// Scoring before training needs a larger arena later, and scoring after it finds one that is large enough.
func TestScoringAndTrainingShareAnArena(t *testing.T) {
	o := newOpener(t, "auto")
	list := micros(t, examples(3), 1<<10)
	first, second := o.open(nnet.Spec{Train: nnet.TrainFull}), o.open(nnet.Spec{Train: nnet.TrainFull})
	before, err := first.Score(context.Background(), list[0])
	require.NoError(t, err)
	_, got, err := first.Gradients(context.Background(), list)
	require.NoError(t, err)
	after, err := first.Score(context.Background(), list[0])
	require.NoError(t, err)
	require.Equal(t, before, after)
	_, want, err := second.Gradients(context.Background(), list)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

// Every head and loss: gradients against central differences of the loss in float64.
func TestHeadGradientsByCentralDifferences(t *testing.T) {
	o := newOpener(t, "auto")
	for _, c := range []struct {
		head nnet.HeadSpec
		loss loss.Kind
	}{
		{nnet.HeadSpec{Kind: nnet.Scalar, Activation: "sigmoid", Final: "shared"}, loss.MSE},
		{nnet.HeadSpec{Kind: nnet.Scalar, Activation: "sigmoid", Final: "own"}, loss.MSE},
		{nnet.HeadSpec{Kind: nnet.Scalar, Activation: "identity", Final: "own"}, loss.MSE},
		{nnet.HeadSpec{Kind: nnet.Scalar, Activation: "sigmoid", Final: "own"}, loss.BCE},
		{nnet.HeadSpec{Kind: nnet.LinearTwoClass, Final: "shared"}, loss.MSE},
		{nnet.HeadSpec{Kind: nnet.LinearTwoClass, Final: "shared"}, loss.CE},
		{nnet.HeadSpec{Kind: nnet.TwoClassMLP, Final: "shared"}, loss.MSE},
		{nnet.HeadSpec{Kind: nnet.TwoClassMLP, Final: "shared"}, loss.CE},
	} {
		t.Run(fmt.Sprint(c.head, c.loss), func(t *testing.T) {
			n := o.open(nnet.Spec{Train: nnet.TrainLoRA, DType: engine.F64, Head: c.head, Loss: c.loss, Recompute: true})
			requireCentralDifferences(t, n, micros(t, examples(4), 0))
		})
	}
}

// requireCentralDifferences checks the gradients of some elements of every trained parameter of a float64 network.
func requireCentralDifferences(t *testing.T, n *nnet.Network, batch []nnet.MicroBatch) {
	t.Helper()
	_, grads, err := n.Gradients(context.Background(), batch)
	require.NoError(t, err)
	for _, p := range n.Parameters() {
		if !p.Trained {
			continue
		}
		v, err := n.Get(p.Name)
		require.NoError(t, err)
		for _, i := range []int{0, len(v) / 2, len(v) - 1} {
			const h = 1e-5
			at := func(x float64) float64 {
				moved := append([]float64{}, v...)
				moved[i] = x
				require.NoError(t, n.Set(p.Name, moved))
				r, _, err := n.Gradients(context.Background(), batch)
				require.NoError(t, err)
				return r.Loss
			}
			want := (at(v[i]+h) - at(v[i]-h)) / (2 * h)
			require.InDelta(t, want, grads[p.Name][i], 1e-8+1e-6*math.Abs(want), "%s[%d]", p.Name, i)
		}
		require.NoError(t, n.Set(p.Name, v))
	}
}

var adam = nnet.AdamW{LR: 1e-2, HeadLR: 2e-2, Beta1: 0.9, Beta2: 0.99, Eps: 1e-8, WeightDecay: 0.1, Clip: 0.3}

// A step with a NaN anywhere changes nothing and names the tensor.
func TestNonFiniteStepIsNotApplied(t *testing.T) {
	n := newOpener(t, "auto").open(nnet.Spec{Train: nnet.TrainFull})
	batch := micros(t, examples(3), 0)
	before := snapshot(t, n)
	batch[0].Target[1] = math.NaN()
	_, err := n.TrainStep(context.Background(), batch, adam)
	var bad *nnet.NonFiniteError
	require.True(t, errors.As(err, &bad), "%v", err)
	require.Equal(t, before, snapshot(t, n))
	batch[0].Target[1] = 0.5

	target, weight := batch[0].Target[0], batch[0].Weight[0]
	batch[0].Target[0], batch[0].Weight[0] = 1e30, 1e20 // a loss of 1e80, whose gradient is beyond f32
	_, err = n.TrainStep(context.Background(), batch, adam)
	require.True(t, errors.As(err, &bad), "%v", err)
	require.Contains(t, bad.Tensor, "the gradient of ")
	require.Equal(t, before, snapshot(t, n))
	batch[0].Target[0], batch[0].Weight[0] = target, weight
	_, err = n.TrainStep(context.Background(), batch, adam)
	require.NoError(t, err)

	weights, err := n.Get("model.layers.1.mlp.up_proj.weight")
	require.NoError(t, err)
	weights[3] = math.Inf(1)
	require.NoError(t, n.Set("model.layers.1.mlp.up_proj.weight", weights))
	_, err = n.TrainStep(context.Background(), batch, adam)
	require.True(t, errors.As(err, &bad), "%v", err)
}

// snapshot is every tensor of the training state.
func snapshot(t *testing.T, n *nnet.Network) map[string][]byte {
	tensors, updates, err := n.State()
	require.NoError(t, err)
	m := map[string][]byte{"updates": []byte(fmt.Sprint(updates))}
	for _, s := range tensors {
		var w writer
		require.NoError(t, s.Write(&w))
		m[s.Name] = w
	}
	return m
}

type writer []byte

func (w *writer) Write(p []byte) (int, error) {
	*w = append(*w, p...)
	return len(p), nil
}

// Moments in bf16 learn as those in f32 do, to within what their rounding may change.
func TestBF16Moments(t *testing.T) {
	o := newOpener(t, "auto")
	batch := micros(t, examples(5), 40)
	var wide []float64
	for _, narrow := range []bool{false, true} {
		n := o.open(nnet.Spec{Train: nnet.TrainFull, BF16Moments: narrow})
		for s := range 40 {
			h := adam
			h.Seed, h.LR, h.HeadLR = 7, adam.LR/5, adam.HeadLR/5
			r, err := n.TrainStep(context.Background(), batch, h)
			require.NoError(t, err)
			if !narrow {
				wide = append(wide, r.Loss)
				continue
			}
			// Each rounding moves a moment by less than one part in 128 of itself, up or down, and so an update by as much.
			require.InDelta(t, wide[s], r.Loss, 0.02*wide[0], "step %d", s)
		}
		tensors, _, err := n.State()
		require.NoError(t, err)
		want := map[bool]safetensors.DType{false: safetensors.F32, true: safetensors.BF16}[narrow]
		for _, s := range tensors {
			if !strings.HasPrefix(s.Name, "param.") {
				require.Equal(t, want, s.DType, s.Name)
			}
		}
	}
	require.Less(t, wide[39], 0.5*wide[0], "it learns")
}

// A restored network goes on to the bit; each part of the state matters.
func TestRestoreGoesOnToTheBit(t *testing.T) {
	o := newOpener(t, "auto")
	for _, train := range []string{nnet.TrainFull, nnet.TrainLoRA} {
		first := o.open(nnet.Spec{Train: train})
		batch := micros(t, examples(5), 40)
		for range 3 {
			_, err := first.TrainStep(context.Background(), batch, adam)
			require.NoError(t, err)
		}
		tensors, updates, err := first.State()
		require.NoError(t, err)
		path := filepath.Join(t.TempDir(), "state.safetensors")
		require.NoError(t, safetensors.Save(path, tensors, nil))
		for range 2 {
			_, err := first.TrainStep(context.Background(), batch, adam)
			require.NoError(t, err)
		}
		file, err := safetensors.Open(path)
		require.NoError(t, err)
		second := o.open(nnet.Spec{Train: train})
		require.NoError(t, second.Restore(nnet.InFile(file, func(name string) string { return name }), updates))
		require.NoError(t, file.Close())
		for range 2 {
			_, err := second.TrainStep(context.Background(), batch, adam)
			require.NoError(t, err)
		}
		require.Equal(t, snapshot(t, first), snapshot(t, second))
		require.ErrorContains(t, second.Restore(func(string) (nnet.StoredTensor, bool) { return nnet.StoredTensor{}, false }, 0),
			"missing from the checkpoint")
	}
}

func TestSpecsThatMakeNoSenseAreRefusedByName(t *testing.T) {
	o := newOpener(t, "auto")
	scalar := nnet.HeadSpec{Kind: nnet.Scalar, Activation: "sigmoid", Final: "shared"}
	lora := nnet.LoRASpec{Rank: 2, Alpha: 2, Targets: []string{"q_proj"}}
	for want, spec := range map[string]nnet.Spec{
		"train":           {Train: "some", Head: scalar},
		"head.kind":       {Head: nnet.HeadSpec{Kind: "cubic", Final: "shared"}},
		"head.activation": {Head: nnet.HeadSpec{Kind: nnet.Scalar, Activation: "tanh", Final: "shared"}},
		"head.final":      {Head: nnet.HeadSpec{Kind: nnet.TwoClassMLP, Final: "own"}},
		"loss.kind: ce":   {Head: scalar, Loss: loss.CE},
		"loss.kind: bce":  {Head: nnet.HeadSpec{Kind: nnet.LinearTwoClass, Final: "shared"}, Loss: loss.BCE},
		"lora.rank":       {Train: nnet.TrainLoRA, Head: scalar},
		"lora.targets":    {Train: nnet.TrainLoRA, Head: scalar, LoRA: nnet.LoRASpec{Rank: 2, Targets: []string{"lm_head"}}},
		"lora.layers":     {Train: nnet.TrainLoRA, Head: scalar, LoRA: nnet.LoRASpec{Rank: 2, Targets: lora.Targets, Layers: []int{2}}},
	} {
		spec.Config, spec.DType = o.config, engine.F32
		_, err := nnet.New(spec, o.backend, nnet.Weights{nnet.InWeights(o.weights)})
		require.ErrorContains(t, err, want)
	}
}
