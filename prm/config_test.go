package prm

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/strictyaml"
	"github.com/goprm/goprm/loss"
	"github.com/stretchr/testify/require"
)

func load(t *testing.T, text string, set ...string) (TrainConfig, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "run.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o666))
	return LoadTrainConfig(path, set)
}

const required = "model: m\ndata: {train: [f.jsonl]}\nout: runs/one\n"

// Every documented key with its documented default, spelled out, changes nothing.
func TestConfigDefaults(t *testing.T) {
	implicit, err := load(t, required)
	require.NoError(t, err)
	explicit, err := load(t, `
model: m
data:
  train: [f.jsonl]
  eval: []
  eval_share: 0.05
  allow_overlap: false
text:
  template: model
  split: "\n\n"
  think_tags: ["<think>\n", "</think>\n\n"]
  order: thinking_first
  join: "\n\n"
  separator: "\n\n"
  step_mark: ""
  read: last_token
  final: auto
  tokenize: joined
  max_tokens: 0
  long: error
train: lora
head: {kind: scalar, activation: sigmoid, init: auto, ridge: 3.0, final: shared}
lora: {rank: 16, alpha: 32, dropout: 0, targets: [q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj], layers: all}
loss: {kind: mse, lambda_step: 1, lambda_final: 1}
batch: {trajectories: 16, tokens: 8192}
optim: {lr: 1e-4, head_lr: 1e-3, betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.01, clip: 1, schedule: cosine, warmup: 0.05, epochs: 1}
recompute: auto
threshold: 0.5
reward: {over: trained, alpha: 1}
eval: {every: 100, best: within_auroc}
checkpoint: {every: 100, keep: 3}
seed: 1
device: auto
backend: auto
save_dtype: base
dtype: auto
out: runs/one
`)
	require.NoError(t, err)
	explicit.Data.Eval = nil
	require.Equal(t, explicit, implicit)
	literal := TrainConfig{Model: "m", Data: DataConfig{Train: []string{"f.jsonl"}}, Out: "runs/one"}
	require.NoError(t, literal.Validate())
	require.Equal(t, implicit, literal.filled())
}

func TestConfigValues(t *testing.T) {
	c, err := load(t, required+"loss: {lambda_final: balanced, kind: bce}\nthreshold: auto\nlora: {layers: [1, 3]}\ntext: {think_tags: []}\n",
		"optim.steps=7", "optim.clip=0", "optim.schedule=linear", "loss.lambda_step=0.25")
	require.NoError(t, err)
	require.True(t, c.Loss.LambdaFinal.Balanced)
	require.True(t, c.Threshold.Auto)
	require.Equal(t, Layers{1, 3}, c.LoRA.Layers)
	require.Equal(t, loss.BCE, c.Loss.Kind)
	require.Equal(t, 7, c.Optim.Steps)
	require.Zero(t, *c.filled().Optim.Clip, "an explicit zero was taken for a default")
	require.NotNil(t, c.Text.ThinkTags)
	require.Empty(t, c.filled().Text.ThinkTags)

	text, err := strictyaml.Encode(c)
	require.NoError(t, err)
	back, err := load(t, string(text))
	require.NoError(t, err)
	require.Empty(t, changedKeys(c, back))
	require.Equal(t, flatten(c), flatten(back))
	require.Equal(t, "0", flatten(c)["optim.clip"])
	require.Len(t, flatten(c), 73, "a key was added: decide whether it may change on resumption")

	literal := TrainConfig{Optim: Optim{Clip: new(2.0)}, Text: data.TextOptions{ThinkTags: []string{}}}.filled()
	require.Equal(t, 2.0, *literal.Optim.Clip)
	require.Equal(t, 0.01, *literal.Optim.WeightDecay)
	require.Empty(t, literal.Text.ThinkTags)
}

func TestConfigRefuses(t *testing.T) {
	for line, message := range map[string]string{
		"optim: {lrr: 1}":                            "run.yaml:4: unknown key optim.lrr: the nearest known key is optim.lr",
		"lora: {dropout: 1}":                         "lora.dropout: 1 is not in [0, 1)",
		"lora: {layers: some}":                       "lora.layers",
		"lora: {layers: []}":                         "lora.layers",
		"threads: 5000":                              "threads: 5000 is more than 1024",
		"batch: {trajectories: 9223372036854775807}": "batch.trajectories: 9223372036854775807 is more than",
		"batch: {tokens: 9223372036854775807}":       "batch.tokens: 9223372036854775807 is more than",
		"text: {max_tokens: 9223372036854775807}":    "text.max_tokens: 9223372036854775807 is more than",
		"lora: {rank: 100000}":                       "lora.rank: 100000 is more than",
		"optim: {epochs: 9223372036854775807}":       "optim.epochs: 9223372036854775807 is more than",
		"optim: {steps: 9223372036854775807}":        "optim.steps: 9223372036854775807 is more than",
		"eval: {max: 9223372036854775807}":           "eval.max: 9223372036854775807 is more than",
		"checkpoint: {keep: 9223372036854775807}":    "checkpoint.keep: 9223372036854775807 is more than",
		"lora: {rank: 0}":                            "lora.rank: 0",
		"lora: {alpha: .inf}":                        "lora.alpha",
		"text: {long: cut}":                          "text.long: \"cut\"",
		"text: {read: mark}":                         "text.read: mark needs text.step_mark",
		"text: {order: sideways}":                    "text.order",
		"train: some":                                `train: "some" is none of head, lora, full`,
		"head: {kind: v}":                            "head.kind",
		"head: {init: ridge, kind: two_class_mlp}":   "head.init: ridge needs head.kind scalar",
		"head: {init: ridge, ridge: 0}":              "head.ridge",
		"tracking: wandb":                            "is not of the form mlflow://host:port/experiment",
		"head: {init: \"\"}":                         "head.init",
		"loss: {lambda_final: often}":                `a number or "balanced" is wanted`,
		"loss: {lambda_final: -1}":                   "loss.lambda_final",
		"loss: {lambda_step: .nan}":                  "loss.lambda_step",
		"loss: {kind: hinge}":                        "hinge",
		"batch: {trajectories: 0}":                   "batch.trajectories: 0",
		"batch: {tokens: -1}":                        "batch.tokens",
		"batch: {group: row}":                        `batch.group: "row" is none of none, problem`,
		"optim: {betas: [0.9]}":                      "optim.betas",
		"optim: {betas: [0.9, 1]}":                   "optim.betas",
		"optim: {eps: 0}":                            "optim.eps",
		"optim: {epochs: 0}":                         "optim.epochs",
		"optim: {steps: -2}":                         "optim.steps",
		"optim: {warmup: 1.5}":                       "warmup",
		"optim: {lr: -1}":                            "optim.lr",
		"optim: {moments: f16}":                      "optim.moments",
		"dtype: f64\noptim: {moments: bf16}":         "optim.moments: bf16 is for parameters in f32",
		"threshold: high":                            `a number or "auto" is wanted`,
		"threshold: .nan":                            "threshold",
		"reward: {over: some}":                       "reward.over",
		"reward: {alpha: .inf}":                      "reward.alpha",
		"eval: {best: luck}":                         "eval.best",
		"eval: {every: -1}":                          "eval.every",
		"checkpoint: {keep: -1}":                     "checkpoint.keep",
		"dtype: f16":                                 "dtype",
		"save_dtype: f64":                            "save_dtype",
		"recompute: some":                            "recompute",
		"threads: -1":                                "threads",
		"seed: -1":                                   "seed",
		"optim: {clip: null}":                        "optim.clip: it has no value",
		"threshold:":                                 "threshold: it has no value",
		"optim: {schedule: step}":                    "optim.schedule: \"step\" is none of cosine, linear, constant",
	} {
		_, err := load(t, required+line+"\n")
		require.ErrorContains(t, err, message, line)
		require.ErrorContains(t, err, "run.yaml")
	}
	for text, message := range map[string]string{
		"out: o\ndata: {train: [f]}": "model: no folder", "model: m\nout: o": "data.train: nothing",
		"model: m\ndata: {train: [f]}":                        "out: no run folder",
		"model: m\nout: o\ndata: {train: [f], eval_share: 1}": "data.eval_share",
		"model: m\nout: o\ndata: {train: [\"-\"]}":            "cannot be read twice", "": "nothing in it",
	} {
		_, err := load(t, text)
		require.ErrorContains(t, err, message, text)
	}
	_, err := load(t, required, "optim.steps")
	require.ErrorContains(t, err, "key=value")
	cpu, err := engine.Open("cpu", engine.Options{})
	require.NoError(t, err)
	if _, narrow := cpu.(engine.ComputesBF16); !narrow {
		_, err = engine.ResolveDType("bf16", cpu)
		require.ErrorContains(t, err, "bf16 compute needs a GPU, or a CPU with AVX512_BF16")
	}
	for _, name := range []string{"", "auto"} {
		dtype, err := engine.ResolveDType(name, cpu)
		require.NoError(t, err)
		require.Equal(t, "f32", dtype, "bf16 on a CPU is a choice")
	}
	require.NoError(t, cpu.Close())
	both := TrainConfig{Model: "m", Out: "o", Data: DataConfig{Train: []string{"f"}, Trajectories: Slice(nil)}}
	require.ErrorContains(t, both.Validate(), "both given")
	_, err = LoadTrainConfig(filepath.Join(t.TempDir(), "none.yaml"), nil)
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestChangedKeysSeesSpaces(t *testing.T) {
	a, b := DefaultTrainConfig(), DefaultTrainConfig()
	a.Text.Join, b.Text.Join = " ", "  "
	require.Len(t, changedKeys(a, b), 1)
	require.True(t, strings.HasPrefix(changedKeys(a, b)[0], "text.join "))
	b.Text.Join = " "
	b.Out, b.Threads, b.Optim.Epochs, b.Optim.Steps = "elsewhere", 3, 9, 9
	require.Empty(t, changedKeys(a, b))
	b.Optim.WeightDecay = new(math.Nextafter(*b.Optim.WeightDecay, 1))
	require.Len(t, changedKeys(a, b), 1, "a change of one bit was not seen")
}
