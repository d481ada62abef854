package prm

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/goprm/goprm/internal/atomicfile"
	"github.com/goprm/goprm/internal/hfmodel"
	"github.com/goprm/goprm/internal/modelfolder"
	"github.com/goprm/goprm/internal/nnet"
	"github.com/goprm/goprm/internal/safetensors"
)

// fillModel writes a whole model: trunk with adapters added, head, configuration, tokenizer.
func (x *export) fillModel(dir *atomicfile.Dir) error {
	f := x.folder
	tensors, err := x.head("")
	if err != nil {
		return err
	}
	for _, spec := range f.Config.TrunkTensors() {
		t, err := x.trunkTensor("model." + spec.Name)
		if err != nil {
			return err
		}
		tensors = append(tensors, t)
	}
	config, err := modelfolder.ConfigWithHead(f.Config, x.card.Head, x.configDType())
	if err != nil {
		return err
	}
	if err := dir.WriteFile(hfmodel.ConfigName, writeBytes(config)); err != nil {
		return err
	}
	if err := x.card.WriteTensors(dir, hfmodel.SingleName, tensors); err != nil {
		return err
	}
	return x.common(dir)
}

// fillAdapter writes what PEFT loads over a token classification model of the base, whose head the adapter replaces.
func (x *export) fillAdapter(dir *atomicfile.Dir) error {
	f := x.folder
	tensors, err := x.head(modelfolder.PEFTPrefix)
	if err != nil {
		return err
	}
	head, err := x.head("")
	if err != nil {
		return err
	}
	for _, spec := range f.Config.TrunkTensors() {
		module := strings.TrimSuffix("model."+spec.Name, ".weight")
		for _, half := range []string{".lora_A.weight", ".lora_B.weight"} {
			if s, ok := f.Trunk(module + half); ok {
				tensors = append(tensors, safetensors.Tensor{Name: modelfolder.PEFTPrefix + module + half, DType: s.Info.DType, Shape: s.Info.Shape,
					Data: s.Data})
			}
		}
	}
	config, err := modelfolder.PEFTConfig(f.Card.LoRA, f.Card.Base.Path, "TOKEN_CLS", []string{"score"})
	if err != nil {
		return err
	}
	if err := dir.WriteFile("adapter_config.json", writeBytes(config)); err != nil {
		return err
	}
	if err := x.card.WriteTensors(dir, modelfolder.HeadName, head); err != nil {
		return err
	}
	if err := x.card.WriteTensors(dir, modelfolder.AdapterName, tensors); err != nil {
		return err
	}
	return x.common(dir)
}

// common writes what every layout has: the tokenizer and goprm.json.
func (x *export) common(dir *atomicfile.Dir) error {
	if err := modelfolder.CopyTokenizer(dir, x.folder.TextDir, modelfolder.TokenizerFiles, nil); err != nil {
		return err
	}
	text, err := x.card.Encode()
	if err != nil {
		return err
	}
	return dir.WriteFile(modelfolder.CardName, writeBytes(text))
}

// trunkTensor is a tensor of the trunk in its own dtype, with its adapter W + (alpha/rank)·B·A where there is one.
func (x *export) trunkTensor(name string) (safetensors.Tensor, error) {
	stored, ok := x.folder.Trunk(name)
	if !ok {
		return safetensors.Tensor{}, fmt.Errorf("tensor %q is missing", name)
	}
	t := safetensors.Tensor{Name: name, DType: stored.Info.DType, Shape: stored.Info.Shape, Data: stored.Data}
	module := strings.TrimSuffix(name, ".weight")
	a, adapted := x.folder.Trunk(module + ".lora_A.weight")
	b, _ := x.folder.Trunk(module + ".lora_B.weight")
	t.DType = x.savedDType(name, stored.Info.DType)
	if !adapted && t.DType == stored.Info.DType {
		return t, nil
	}
	if !adapted { // a checkpoint's master
		t.Data, t.Write = nil, func(w io.Writer) error {
			s, err := converted(stored, t.DType)
			if err == nil {
				_, err = w.Write(s.Data)
			}
			return err
		}
		return t, nil
	}
	x.result.Merged++
	lora := x.folder.Card.LoRA
	t.Data, t.Write = nil, func(w io.Writer) error {
		values, err := decoded(stored)
		if err != nil {
			return err
		}
		down, err := decoded(a)
		if err != nil {
			return err
		}
		up, err := decoded(b)
		if err != nil {
			return err
		}
		if err := addProduct(values, up, down, lora.Rank, lora.Alpha/float64(lora.Rank)); err != nil {
			return fmt.Errorf("its adapter: %w", err)
		}
		raw, err := safetensors.AppendEncoded(nil, t.DType, values)
		if err != nil {
			return err
		}
		_, err = w.Write(raw)
		return err
	}
	return t, nil
}

// configDType is what config.json says of the weights; "" leaves it as it was.
func (x *export) configDType() string {
	if x.folder.Card.Stores != modelfolder.StoresCheckpoint {
		return ""
	}
	return configDType(x.folder.Card.SaveDType)
}

// saveAsModel makes a checkpoint's head and adapters what the run's model folder would hold of them.
func (x *export) saveAsModel() error {
	card := x.folder.Card
	if card.Stores != modelfolder.StoresCheckpoint {
		return nil
	}
	if err := oneOf(choice{"save_dtype", card.SaveDType, []string{"", "base", "f32", "bf16"}}); err != nil {
		return fmt.Errorf("%s: %w", modelfolder.CardName, err)
	}
	if card.SaveDType != "bf16" {
		return nil
	}
	narrow := func(find nnet.Lookup, mine func(name string) bool) nnet.Lookup {
		return func(name string) (nnet.StoredTensor, bool) {
			s, ok := find(name)
			if !ok || !mine(name) {
				return s, ok
			}
			s, err := converted(s, safetensors.BF16)
			return s, err == nil
		}
	}
	x.folder.Heads = narrow(x.folder.Heads, modelfolder.IsHead)
	x.folder.Trunk = narrow(x.folder.Trunk, func(name string) bool { return strings.Contains(name, ".lora_") })
	return nil
}

// converted is a tensor in another dtype.
func converted(s nnet.StoredTensor, dtype safetensors.DType) (nnet.StoredTensor, error) {
	values, err := decoded(s)
	if err != nil {
		return s, err
	}
	c := nnet.StoredTensor{File: s.File, Info: s.Info}
	c.Data, err = safetensors.AppendEncoded(nil, dtype, values)
	c.Info.DType, c.Info.Begin, c.Info.End = dtype, 0, int64(len(c.Data))
	return c, err
}

// savedDType is the dtype that a tensor of a checkpoint has in the run's model folder; other folders keep theirs.
func (x *export) savedDType(name string, stored safetensors.DType) safetensors.DType {
	if x.folder.Card.Stores != modelfolder.StoresCheckpoint {
		return stored
	}
	switch x.folder.Card.SaveDType {
	case "f32":
		return safetensors.F32
	case "bf16":
		return safetensors.BF16
	}
	if root, ok := x.folder.RootTrunk(name); ok {
		return root.Info.DType
	}
	return stored
}

func decoded(s nnet.StoredTensor) ([]float64, error) {
	return safetensors.AppendFloat64(nil, s.Info, s.Data)
}

// addProduct adds scale·b·a to w [out, in], for b [out, rank] and a [rank, in].
func addProduct(w, b, a []float64, rank int, scale float64) error {
	out, in := len(b)/rank, len(a)/rank
	if out*in != len(w) || out*rank != len(b) || in*rank != len(a) {
		return fmt.Errorf("%d and %d values of rank %d for a weight of %d", len(a), len(b), rank, len(w))
	}
	for i := range out {
		row := w[i*in:][:in]
		for r := range rank {
			factor := scale * b[i*rank+r]
			for j, v := range a[r*in:][:in] {
				row[j] += float64(factor * v)
			}
		}
	}
	return nil
}

// head is the exported head. A scalar head z = w·h + b becomes the logits (0, z), whose softmax[1] is σ(z); behind a ReLU,
// (0, relu(z) − relu(−z)).
func (x *export) head(prefix string) ([]safetensors.Tensor, error) {
	kept := func(names ...string) (list []safetensors.Tensor, err error) {
		for _, name := range names {
			s, ok := x.folder.Heads(name)
			if !ok {
				return nil, fmt.Errorf("tensor %q of the head is missing", name)
			}
			list = append(list, safetensors.Tensor{Name: prefix + name, DType: s.Info.DType, Shape: s.Info.Shape, Data: s.Data})
		}
		return list, nil
	}
	switch x.folder.Card.Head.Kind {
	case nnet.TwoClassMLP:
		return kept("score.0.weight", "score.0.bias", "score.2.weight", "score.2.bias")
	case nnet.LinearTwoClass:
		if x.To != ToProcessReward {
			return kept("score.weight", "score.bias")
		}
	}
	// z = w·h + b: the first row of a scalar head, the difference of the rows of a two-class one.
	width := x.folder.Config.HiddenSize
	weight, err := x.headRow("score.weight", width)
	if err != nil {
		return nil, err
	}
	bias, err := x.headRow("score.bias", 1)
	if err != nil {
		return nil, err
	}
	type part struct {
		name   string
		values []float64
		shape  []int
	}
	parts := []part{
		{"score.weight", slices.Concat(make([]float64, width), weight), []int{2, width}},
		{"score.bias", []float64{0, bias[0]}, []int{2}},
	}
	if x.To == ToProcessReward {
		first, biases := make([]float64, width*width), make([]float64, width)
		last := make([]float64, 2*width)
		for i, v := range weight {
			first[i], first[width+i] = v, -v
		}
		biases[0], biases[1] = bias[0], -bias[0]
		last[width], last[width+1] = 1, -1
		parts = []part{
			{"score.0.weight", first, []int{width, width}}, {"score.0.bias", biases, []int{width}},
			{"score.2.weight", last, []int{2, width}}, {"score.2.bias", []float64{0, 0}, []int{2}},
		}
	}
	var list []safetensors.Tensor
	for _, p := range parts {
		raw, err := safetensors.AppendEncoded(nil, safetensors.F32, p.values)
		if err != nil {
			return nil, err
		}
		list = append(list, safetensors.Tensor{Name: prefix + p.name, DType: safetensors.F32, Shape: p.shape, Data: raw})
	}
	return list, nil
}

// headRow is z's part of a tensor of n values a row.
func (x *export) headRow(name string, n int) ([]float64, error) {
	s, ok := x.folder.Heads(name)
	if !ok {
		return nil, fmt.Errorf("tensor %q of the head is missing", name)
	}
	values, err := decoded(s)
	if err != nil {
		return nil, err
	}
	two := x.folder.Card.Head.Kind == nnet.LinearTwoClass
	if len(values) < n || two && len(values) != 2*n {
		return nil, fmt.Errorf("%s: tensor %q: shape %v for a hidden size of %d", s.File, name, s.Info.Shape, x.folder.Config.HiddenSize)
	}
	row := values[:n]
	if two {
		for i := range row {
			row[i] = values[n+i] - row[i]
		}
	}
	return row, nil
}
