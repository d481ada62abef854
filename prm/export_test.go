package prm

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/modelfolder"
	"github.com/goprm/goprm/internal/nnet"
	"github.com/goprm/goprm/internal/safetensors"
	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/stretchr/testify/require"
)

func export1(t *testing.T, o ExportOptions) *ExportResult {
	t.Helper()
	r, err := Export(context.Background(), o)
	require.NoError(t, err)
	return r
}

// tensorIn reads one tensor of a folder's file, widened.
func tensorIn(t *testing.T, dir, file, name string) []float64 {
	t.Helper()
	f, err := safetensors.Open(filepath.Join(dir, file))
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	info, ok := f.Info(name)
	require.True(t, ok, "%s in %s", name, file)
	values, err := safetensors.AppendFloat64(nil, info, f.Bytes(name))
	require.NoError(t, err)
	return values
}

func folderBytes(t *testing.T, dir string) map[string]string {
	t.Helper()
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	content := map[string]string{}
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		require.NoError(t, err)
		content[f.Name()] = string(b)
	}
	return content
}

// Adapters are added to the weights, the head gets a second logit of zero, and the scores stay.
func TestExportTokenClassification(t *testing.T) {
	for _, dtype := range []safetensors.DType{safetensors.F32, safetensors.BF16} {
		base := tiny(t, tinymodel.Options{DType: dtype})
		c := config(t, base)
		c.Train, c.LoRA.Targets = "lora", []string{"q_proj", "down_proj"}
		model := train(t, c).Model
		o := ExportOptions{Model: model, To: ToTokenClassification, Out: filepath.Join(t.TempDir(), "x"), Merge: true}
		r := export1(t, o)
		require.Equal(t, 4, r.Merged, "two of two layers")
		require.Equal(t, 9, r.Compared, "seven steps and two trajectories")
		require.Less(t, r.MaxDifference, map[safetensors.DType]float64{safetensors.F32: 1e-6, safetensors.BF16: 2e-2}[dtype])

		name := "model.layers.1.self_attn.q_proj"
		want := tensorIn(t, base, "model.safetensors", name+".weight")
		a, b := tensorIn(t, model, modelfolder.AdapterName, modelfolder.PEFTPrefix+name+".lora_A.weight"),
			tensorIn(t, model, modelfolder.AdapterName, modelfolder.PEFTPrefix+name+".lora_B.weight")
		got := tensorIn(t, o.Out, "model.safetensors", name+".weight")
		changed := 0
		for i := range want {
			row, column, sum := i/32, i%32, want[i]
			for k := range 4 {
				sum += 32.0 / 4 * b[row*4+k] * a[k*32+column] // LoRA's alpha is 32 by default
			}
			require.InDelta(t, sum, got[i], map[safetensors.DType]float64{safetensors.F32: 1e-7, safetensors.BF16: 4e-3}[dtype])
			if got[i] != want[i] {
				changed++
			}
		}
		require.Positive(t, changed)
		w := tensorIn(t, model, modelfolder.HeadName, "score.weight")
		require.Equal(t, append(make([]float64, 32), w...), tensorIn(t, o.Out, "model.safetensors", "score.weight"))
		require.Equal(t, []float64{0, tensorIn(t, model, modelfolder.HeadName, "score.bias")[0]},
			tensorIn(t, o.Out, "model.safetensors", "score.bias"))

		var config struct {
			Architectures []string
			NumLabels     int `json:"num_labels"`
		}
		text, err := os.ReadFile(filepath.Join(o.Out, "config.json"))
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(text, &config))
		require.Equal(t, []string{"Qwen2ForTokenClassification"}, config.Architectures)
		require.Equal(t, 2, config.NumLabels)

		again := o
		again.Out = filepath.Join(t.TempDir(), "y")
		export1(t, again)
		require.Equal(t, folderBytes(t, o.Out), folderBytes(t, again.Out))
	}
}

// Every head that a layout has a place for keeps its scores, whatever was trained.
func TestExportKeepsScores(t *testing.T) {
	base := tiny(t, tinymodel.Options{})
	for _, k := range []struct {
		train, head, to string
	}{
		{"head", nnet.Scalar, ToTokenClassification}, {"full", nnet.Scalar, ToTokenClassification},
		{"full", nnet.LinearTwoClass, ToTokenClassification},
		{"full", nnet.Scalar, ToProcessReward}, {"head", nnet.LinearTwoClass, ToProcessReward}, {"full", nnet.TwoClassMLP, ToProcessReward},
		{"lora", nnet.Scalar, ToPEFT}, {"lora", nnet.LinearTwoClass, ToPEFT},
	} {
		t.Run(fmt.Sprint(k), func(t *testing.T) {
			c := config(t, base)
			c.Train, c.Head.Kind = k.train, k.head
			if k.to == ToProcessReward {
				c.Text.StepMark, c.Text.Read, c.Text.Final = "<extra_0>", "mark", "mark"
			}
			model := train(t, c).Model
			if k.to == ToProcessReward {
				claimVLLMsMark(t, model)
			}
			r := export1(t, ExportOptions{Model: model, To: k.to, Out: filepath.Join(t.TempDir(), "x")})
			require.Equal(t, 9, r.Compared)
			require.Less(t, r.MaxDifference, 1e-6)
			require.Zero(t, r.Merged)
		})
	}
}

// claimVLLMsMark gives a tiny model's mark the id that Qwen2.5's tokenizer has for it; no tiny vocabulary reaches that far.
func claimVLLMsMark(t *testing.T, model string) {
	t.Helper()
	path := filepath.Join(model, modelfolder.CardName)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	card, err := modelfolder.ParseCard(text)
	require.NoError(t, err)
	id := int32(processRewardMarkID)
	card.StepMarkID = &id
	text, err = card.Encode()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, text, 0o666))
}

func TestExportRefuses(t *testing.T) {
	base := tiny(t, tinymodel.Options{})
	trained := func(change func(*TrainConfig)) string {
		c := config(t, base)
		change(&c)
		return train(t, c).Model
	}
	plain := trained(func(*TrainConfig) {})
	lora := trained(func(c *TrainConfig) { c.Train = "lora" })
	own := trained(func(c *TrainConfig) { c.Head.Final = "own" })
	for message, o := range map[string]ExportOptions{
		"to: ":                        {Model: plain, To: "gguf"},
		"holds no goprm.json":         {Model: base, To: ToTokenClassification},
		"it has adapters: merge them": {Model: lora, To: ToTokenClassification},
		"it has no adapters":          {Model: plain, To: ToPEFT},
		"is not merged":               {Model: lora, To: ToPEFT, Merge: true},
		"head.final is own":           {Model: own, To: ToTokenClassification},
		"not read at <extra_0>":       {Model: plain, To: ToProcessReward},
		"head.activation is identity": {Model: trained(func(c *TrainConfig) { c.Head.Activation = "identity" }),
			To: ToTokenClassification},
		"has no place in hf-token-classification": {Model: trained(func(c *TrainConfig) { c.Head.Kind = nnet.TwoClassMLP }),
			To: ToTokenClassification},
	} {
		o.Out = filepath.Join(t.TempDir(), "x")
		_, err := Export(context.Background(), o)
		require.ErrorContains(t, err, message)
		require.NoDirExists(t, o.Out)
	}
	_, err := Export(context.Background(), ExportOptions{Model: plain, To: ToTokenClassification, Out: lora})
	require.ErrorContains(t, err, "exist")

	steps := filepath.Join(t.TempDir(), "steps")
	require.Equal(t, 7, export1(t, ExportOptions{Model: own, To: ToTokenClassification, StepsOnly: true, Out: steps}).Compared)
	m, err := Open(steps, OpenOptions{})
	require.NoError(t, err)
	defer func() { require.NoError(t, m.Close()) }()
	s, err := m.Score(context.Background(), &data.Trajectory{Problem: "p", Response: "a"})
	require.NoError(t, err)
	require.Nil(t, s.Trajectory)
}
