package prm

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/strictyaml"
	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/stretchr/testify/require"
)

// numbers calls each with every number of a configuration: its YAML key, and the field.
func numbers(v reflect.Value, prefix string, each func(key string, field reflect.Value)) {
	for i := range v.NumField() {
		name, f := v.Type().Field(i).Tag.Get("yaml"), v.Field(i)
		kind := f.Kind()
		if kind == reflect.Pointer {
			kind = f.Type().Elem().Kind()
		}
		switch {
		case name == "-" || !v.Type().Field(i).IsExported():
		case f.Kind() == reflect.Struct:
			numbers(f, prefix+name+".", each)
		case kind >= reflect.Int && kind <= reflect.Float64 || f.Kind() == reflect.Pointer:
			each(prefix+name, f)
		}
	}
}

// A number that may be zero and has another default is a pointer, so that a program can write the zero; of one that is no
// pointer and has another default, zero is refused where it can be written, in YAML.
func TestNumbersThatMayBeZeroArePointers(t *testing.T) {
	var c TrainConfig
	c.Model, c.Out, c.Data.Train = "m", "o", []string{"f"}
	var pointers, plain []string
	numbers(reflect.ValueOf(&c).Elem(), "", func(key string, f reflect.Value) {
		if f.Kind() == reflect.Pointer {
			pointers = append(pointers, key)
			f.Set(reflect.New(f.Type().Elem()))
		}
	})
	numbers(reflect.ValueOf(c.filled()), "", func(key string, f reflect.Value) {
		if f.Kind() == reflect.Pointer {
			require.True(t, f.Elem().IsZero(), "%s: a written zero became %v", key, f.Elem())
		} else if !f.IsZero() {
			plain = append(plain, key)
			_, err := load(t, required, key+"=0")
			require.ErrorContains(t, err, key, "it may be zero, so it must be a pointer")
		}
	})
	require.Equal(t, []string{
		"data.eval_share", "head.ridge", "loss.lambda_step", "loss.lambda_final", "optim.lr", "optim.head_lr", "optim.eps", "optim.weight_decay",
		"optim.clip", "optim.warmup", "threshold", "reward.alpha", "eval.every", "checkpoint.every", "checkpoint.keep", "nonfinite_budget",
		"seed",
	}, pointers)
	require.Equal(t, []string{"lora.rank", "lora.alpha", "batch.trajectories", "batch.tokens", "optim.epochs", "dist.zero",
		"dist.timeout"}, plain)
}

// A literal with written zeros trains as the YAML form with the same keys does, to the bit, and not as the defaults do.
func TestWrittenZerosTrain(t *testing.T) {
	base := tiny(t, tinymodel.Options{})
	file := filepath.Join(t.TempDir(), "train.jsonl")
	var lines bytes.Buffer
	for _, one := range sums(20, 5) {
		line, err := one.MarshalJSON()
		require.NoError(t, err)
		lines.Write(append(line, '\n'))
	}
	require.NoError(t, os.WriteFile(file, lines.Bytes(), 0o666))
	literal := TrainConfig{
		Model: base, Out: filepath.Join(t.TempDir(), "literal"), Data: DataConfig{Train: []string{file}, EvalShare: new(0.0)}, Train: "full",
		Text:       data.TextOptions{Template: "none"},
		Loss:       LossConfig{LambdaFinal: &Lambda{Value: 0}},
		Optim:      Optim{LR: new(1e-3), WeightDecay: new(0.0), Clip: new(0.0), Warmup: new(0.0), Schedule: "linear", Steps: 4},
		Checkpoint: CheckpointConfig{Every: new(0), Keep: new(0)}, Seed: new(uint64(0)), Backend: "portable",
		Progress: &bytes.Buffer{}, Quiet: true,
	}
	train(t, literal)
	fromYAML, err := load(t, "model: "+base+"\ndata: {train: ["+file+"], eval_share: 0}\nout: "+filepath.Join(t.TempDir(), "yaml")+`
train: full
text: {template: none}
loss: {lambda_final: 0}
optim: {lr: 1e-3, weight_decay: 0, clip: 0, warmup: 0, schedule: linear, steps: 4}
checkpoint: {every: 0, keep: 0}
seed: 0
backend: portable
`)
	require.NoError(t, err)
	fromYAML.Progress, fromYAML.Quiet = literal.Progress, true
	train(t, fromYAML)
	require.Equal(t, weights(t, fromYAML.Out), weights(t, literal.Out))
	require.Equal(t, rows(t, fromYAML.Out), rows(t, literal.Out))
	var effective [2]TrainConfig
	for i, out := range []string{literal.Out, fromYAML.Out} {
		text, err := os.ReadFile(filepath.Join(out, configName))
		require.NoError(t, err)
		require.NoError(t, strictyaml.Decode(text, configName, &effective[i]))
		effective[i].Out = ""
	}
	require.Equal(t, effective[1], effective[0])

	decayed := literal
	decayed.Out, decayed.Optim.WeightDecay = literal.Out+"-decayed", nil
	train(t, decayed)
	require.NotEqual(t, weights(t, literal.Out), weights(t, decayed.Out), "no weight decay and the default's have the same bits")
}

// The effective configuration shares nothing with the program's, which may change its own while the run goes on.
func TestEffectiveConfigIsACopy(t *testing.T) {
	mine := DefaultTrainConfig()
	effective := mine.filled()
	*mine.Optim.LR, mine.Optim.Betas[0], mine.LoRA.Targets[0], mine.Loss.LambdaFinal.Balanced = 7, 7, "x", true
	require.Equal(t, flatten(DefaultTrainConfig()), flatten(effective))
}
