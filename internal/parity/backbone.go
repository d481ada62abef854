package parity

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/hfmodel"
	"github.com/goprm/goprm/internal/nnet"
	"github.com/goprm/goprm/internal/safetensors"
	"github.com/goprm/goprm/loss"
	_ "github.com/goprm/goprm/nn" // the backbones
)

// backbone compares one model folder: hidden states, head outputs, losses, gradients and training runs, from weights
// stored as f32 and as bf16 (the same numbers).
func (c *comparer) backbone(dir string) error {
	batch, err := readBatch(dir)
	if err != nil {
		return err
	}
	var plain map[string]forward
	if err := readJSON(filepath.Join(dir, "forward.json"), &plain); err != nil {
		return err
	}
	var lora forward
	if err := readJSON(filepath.Join(dir, "lora_forward.json"), &lora); err != nil {
		return err
	}
	var training map[string]map[string]curve
	if err := readJSON(filepath.Join(dir, "training.json"), &training); err != nil {
		return err
	}
	if err := readJSON(filepath.Join(dir, "bf16_error.json"), &c.bf16Error); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	tensors := map[string]map[string][]float64{}
	for _, name := range []string{"forward", "grads_f64", "lora_grads_f64"} {
		if tensors[name], err = readTensors(filepath.Join(dir, name+".safetensors")); err != nil {
			return err
		}
	}
	for _, stored := range []string{"f32", "bf16"} {
		g := &golden{comparer: c, dir: dir, stored: stored, batch: batch}
		if err := g.open(); err != nil {
			return err
		}
		err := g.compare(plain, lora, training, tensors)
		g.close()
		if err != nil {
			return fmt.Errorf("%s, %s weights: %w", dir, stored, err)
		}
	}
	return nil
}

// golden is one folder's model from one form of its weights.
type golden struct {
	*comparer
	dir, stored string
	batch       *data.Batch
	config      *hfmodel.Config
	weights     *hfmodel.Weights
	headFile    *safetensors.File
	adapter     *safetensors.File
	lora        nnet.LoRASpec
}

func (g *golden) open() (err error) {
	model := filepath.Join(g.dir, g.stored)
	if g.config, err = hfmodel.ReadConfig(model); err != nil {
		return err
	}
	if g.weights, err = hfmodel.OpenWeights(model); err != nil {
		return err
	}
	if g.headFile, err = safetensors.Open(filepath.Join(g.dir, "value_head.safetensors")); err != nil {
		return err
	}
	init := filepath.Join(g.dir, "lora_init")
	if g.adapter, err = safetensors.Open(filepath.Join(init, "adapter_model.safetensors")); err != nil {
		return err
	}
	var peft struct {
		Rank    int      `json:"r"`
		Alpha   float64  `json:"lora_alpha"`
		Targets []string `json:"target_modules"`
	}
	if err := readJSON(filepath.Join(init, "adapter_config.json"), &peft); err != nil {
		return err
	}
	g.lora = nnet.LoRASpec{Rank: peft.Rank, Alpha: peft.Alpha, Targets: peft.Targets}
	return nil
}

func (g *golden) close() {
	_ = g.weights.Close()
	_ = g.headFile.Close()
	_ = g.adapter.Close()
}

// network is a fresh model that trains the given part.
func (g *golden) network(train string, adapters bool) (*nnet.Network, error) {
	spec := nnet.Spec{Config: g.config, DType: g.opt.DType, Train: train,
		Head: nnet.HeadSpec{Kind: nnet.Scalar, Activation: "sigmoid", Final: "shared"}, Loss: loss.MSE, Recompute: true,
		LoRA: g.lora, Adapters: adapters}
	source := nnet.Weights{
		nnet.InFile(g.headFile, func(name string) string { return strings.Replace(name, "score.", "value_head.", 1) }),
		nnet.InFile(g.adapter, func(name string) string { return "base_model.model." + name }),
		nnet.InWeights(g.weights),
	}
	return nnet.New(spec, g.opt.Backend, source)
}

// goldenName is how the golden files call a parameter.
func goldenName(name string) string { return strings.Replace(name, "score.", "value_head.", 1) }

func (g *golden) compare(plain map[string]forward, lora forward, training map[string]map[string]curve,
	tensors map[string]map[string][]float64) error {
	want, ok := plain[g.key]
	if !ok {
		return fmt.Errorf("forward.json has no %q", g.key)
	}
	if want.GradNorm == nil {
		return fmt.Errorf("forward.json has no grad_norm for %q", g.key)
	}
	full, err := g.network(nnet.TrainFull, false)
	if err != nil {
		return err
	}
	hidden, err := full.Hidden(context.Background(), g.batch)
	if err != nil {
		return err
	}
	g.tensor("hidden", g.limits.value, g.stored, hidden, tensors["forward"]["hidden_"+g.key])
	for _, name := range []string{"logits", "values"} { // the same numbers stand in forward.json: the two must agree
		g.tensor("forward.safetensors", g.limits.value, name, map[string][]float64{"logits": want.Logits, "values": want.Values}[name],
			tensors["forward"][name+"_"+g.key])
	}
	if err := g.forward("", full, want, tensors["grads_f64"]); err != nil {
		return err
	}
	adapted, err := g.network(nnet.TrainLoRA, false)
	if err != nil {
		return err
	}
	if err := g.forward("lora ", adapted, lora, tensors["lora_grads_f64"]); err != nil {
		return err
	}
	if g.opt.OnePass {
		return nil
	}
	for _, train := range []string{nnet.TrainFull, nnet.TrainHead, nnet.TrainLoRA} {
		run, ok := training[train][g.key]
		if !ok {
			return fmt.Errorf("training.json has no %q in %q", train, g.key)
		}
		if err := g.train(train, run); err != nil {
			return fmt.Errorf("training %s: %w", train, err)
		}
	}
	return nil
}

// forward compares head outputs, losses and the gradient at the start.
func (g *golden) forward(prefix string, net *nnet.Network, want forward, grads map[string][]float64) error {
	micro := []nnet.MicroBatch{{Batch: g.batch}}
	scores, err := net.Score(context.Background(), micro[0])
	if err != nil {
		return err
	}
	g.tensor(prefix+"logits", g.limits.value, g.stored, scores.Logits, want.Logits)
	g.tensor(prefix+"values", g.limits.value, g.stored, scores.Values, want.Values)
	result, got, err := net.Gradients(context.Background(), micro)
	if err != nil {
		return err
	}
	g.list(prefix+"loss", g.limits.value, "loss, loss_step, loss_final", []float64{result.Loss, result.LossStep, result.LossFinal},
		[]float64{want.Loss, want.LossStep, want.LossFinal})
	if want.GradNorm != nil {
		g.list(prefix+"loss", g.limits.value, "grad_norm", []float64{result.GradNorm}, []float64{*want.GradNorm})
	}
	names := map[string]bool{}
	var norms []float64
	for _, v := range grads {
		norms = append(norms, norm(v))
	}
	for name, v := range got {
		name = goldenName(name)
		names[name] = true
		g.gradient(prefix+"gradients", name, v, grads[name], norm(norms))
	}
	for name := range grads {
		if !names[name] {
			g.record(prefix+"gradients", g.limits.gradient, 1, name+" has no gradient here")
		}
	}
	return nil
}

// gradient compares one tensor; where the reference is nothing but rounding, the difference is measured against the
// whole gradient instead.
func (g *golden) gradient(quantity, name string, got, want []float64, global float64) {
	if len(got) != len(want) {
		g.tensor(quantity, g.limits.gradient, name, got, want)
		return
	}
	if norm(want) < 1e-7*global && norm(difference(got, want)) <= 1e-10*global {
		g.record(quantity, g.limits.gradient, 0, name)
		return
	}
	g.tensor(quantity, g.limits.gradient, name, got, want)
}

// inputs of the run: head training starts from cached features.
func (g *golden) micro(train string) (nnet.MicroBatch, error) {
	if train != nnet.TrainHead {
		return nnet.MicroBatch{Batch: g.batch}, nil
	}
	trunk, err := g.network(nnet.TrainNothing, false)
	if err != nil {
		return nnet.MicroBatch{}, err
	}
	features, err := trunk.Features(context.Background(), g.batch)
	return nnet.MicroBatch{Batch: g.batch, Features: features}, err
}

// train repeats the golden run: 50 steps on one batch, warm-up 5, cosine, clip 1, decay 0.01.
func (g *golden) train(train string, want curve) error {
	net, err := g.network(train, false)
	if err != nil {
		return err
	}
	micro, err := g.micro(train)
	if err != nil {
		return err
	}
	got := curve{L2Norm: map[string]float64{}}
	for s := range goldenSteps {
		lr := goldenLR(s)
		r, err := net.TrainStep(context.Background(), []nnet.MicroBatch{micro},
			nnet.AdamW{LR: lr, HeadLR: lr, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.01,
				Clip: 1})
		if err != nil {
			return fmt.Errorf("step %d: %w", s, err)
		}
		got.Loss, got.LossStep, got.LossFinal = append(got.Loss, r.Loss), append(got.LossStep, r.LossStep), append(got.LossFinal, r.LossFinal)
		got.GradNorm, got.LR = append(got.GradNorm, r.GradNorm), append(got.LR, lr)
	}
	after, err := net.Score(context.Background(), micro)
	if err != nil {
		return err
	}
	for i, v := range after.Values {
		d := v - g.batch.Target[i]
		got.LossAfter += g.batch.Weight[i] * d * d
	}
	quantity, limit := train+" curve", g.limits.curve
	g.list(quantity, limit, "loss", got.Loss, want.Loss)
	g.list(quantity, limit, "loss_step", got.LossStep, want.LossStep)
	g.list(quantity, limit, "loss_final", got.LossFinal, want.LossFinal)
	g.list(quantity, limit, "grad_norm", got.GradNorm, want.GradNorm)
	g.list(quantity, limit, "lr", got.LR, want.LR)
	g.list(quantity, limit, "loss_after", []float64{got.LossAfter}, []float64{want.LossAfter})
	if g.limits.last > 0 {
		g.list(train+" last loss", g.limits.last, "loss_after", []float64{got.LossAfter}, []float64{want.LossAfter})
	}
	g.list(quantity, limit, "values_after", after.Values, want.ValuesAfter)
	for _, p := range net.Parameters() {
		if !p.Trained {
			continue
		}
		v, err := net.Get(p.Name)
		if err != nil {
			return err
		}
		got.Trained += len(v)
		got.L2Norm[goldenName(p.Name)] = norm(v)
	}
	if got.Trained != want.Trained {
		return fmt.Errorf("%d values are trained, PyTorch trained %d", got.Trained, want.Trained)
	}
	names := sortedKeys(want.L2Norm)
	if !slices.Equal(names, sortedKeys(got.L2Norm)) {
		return fmt.Errorf("trained tensors %v, PyTorch trained %v", sortedKeys(got.L2Norm), names)
	}
	for _, name := range names {
		g.list(train+" l2 norms", g.limits.norm, name, []float64{got.L2Norm[name]}, []float64{want.L2Norm[name]})
	}
	return nil
}
