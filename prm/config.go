package prm

import (
	"io"
	"iter"
	"log/slog"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/schedule"
	"github.com/goprm/goprm/loss"
)

// TrainConfig describes one training run; its YAML form is what LoadTrainConfig reads and a run folder's config.yaml
// holds. In a literal, a field that is left at its zero value stands for its default; to set one to zero on purpose,
// begin with DefaultTrainConfig. Relative paths are relative to the working directory.
type TrainConfig struct {
	Model string           `yaml:"model"` // folder of a backbone, of a model that was trained before, or of a checkpoint
	Data  DataConfig       `yaml:"data"`
	Text  data.TextOptions `yaml:"text"`  // a list of no think_tags, []string{}, means none
	Train string           `yaml:"train"` // head, lora (default) or full
	Head  HeadConfig       `yaml:"head"`
	LoRA  LoRAConfig       `yaml:"lora"`
	Loss  LossConfig       `yaml:"loss"`
	Batch Batch            `yaml:"batch"`
	Optim Optim            `yaml:"optim"`
	// Recompute is "layer" (default): the backward pass keeps the residual stream between layers alone and computes the
	// rest again; or "none". It changes memory and time, no number.
	Recompute  string           `yaml:"recompute"`
	Threshold  Threshold        `yaml:"threshold"` // of a wrong step, saved with the model; 0.5
	Reward     RewardConfig     `yaml:"reward"`
	Eval       EvalConfig       `yaml:"eval"`
	Checkpoint CheckpointConfig `yaml:"checkpoint"`
	Seed       uint64           `yaml:"seed"`       // 1
	Device     string           `yaml:"device"`     // auto (default), cpu, cuda:0
	Backend    string           `yaml:"backend"`    // auto (default), portable, avx2, ...
	Threads    int              `yaml:"threads"`    // 0: as many as Go uses; changes no number
	SaveDType  string           `yaml:"save_dtype"` // base (default), f32, bf16
	DType      string           `yaml:"dtype"`      // of the arithmetic: auto (default), f32, f64
	Cache      string           `yaml:"cache"`      // folder for hidden states (train: head); "": goprm in the user's cache folder
	Out        string           `yaml:"out"`        // the run folder; must not exist unless Resume is set

	// Resume continues the run in Out from its newest checkpoint that verifies, or begins it.
	Resume bool `yaml:"-"`
	// Progress gets what a person who started the run wants to see: progress, information, warnings, "resumed from step K".
	Progress io.Writer `yaml:"-"`
	Quiet    bool      `yaml:"-"` // leaves progress and information out of it
	// Logger gets warnings and notices too; nil: slog.Default if there is no Progress.
	Logger *slog.Logger `yaml:"-"`
	// Version of the program, for run.json and the model; "": the module's.
	Version string `yaml:"-"`

	explicit bool // no zero field stands for a default
}

// DataConfig says what to train and to evaluate on.
type DataConfig struct {
	Train        []string `yaml:"train"`         // files or folders of labelled trajectories
	Eval         []string `yaml:"eval"`          // empty: a share of the problems of Train is held out
	EvalShare    float64  `yaml:"eval_share"`    // 0.05; 0 (after DefaultTrainConfig): no evaluation
	AllowOverlap bool     `yaml:"allow_overlap"` // allow problems that are in both

	// Trajectories, if set, are trained on instead of Train, and EvalTrajectories take the place of Eval. They may be
	// ranged over more than once.
	Trajectories     iter.Seq2[*data.Trajectory, error] `yaml:"-"`
	EvalTrajectories iter.Seq2[*data.Trajectory, error] `yaml:"-"`
}

// Slice makes a list of trajectories what DataConfig takes.
func Slice(list []*data.Trajectory) iter.Seq2[*data.Trajectory, error] {
	return func(yield func(*data.Trajectory, error) bool) {
		for _, t := range list {
			if !yield(t, nil) {
				return
			}
		}
	}
}

// HeadConfig describes the value head and its start.
type HeadConfig struct {
	Kind       string `yaml:"kind"`       // scalar (default), two_class_mlp, linear_two_class
	Activation string `yaml:"activation"` // sigmoid (default) or identity
	// Init is auto (default: the model's own head if it has one of this kind, else zeros), zeros (weight 0, bias so that
	// the head predicts the mean target), ridge (regression on the hidden states), or a model folder whose head to take.
	Init  string  `yaml:"init"`
	Ridge float64 `yaml:"ridge"` // the regression's penalty in units of n·var(X); 3
	Final string  `yaml:"final"` // shared (default), or own: a second row reads the trajectory
}

// LoRAConfig describes the adapters of train: lora.
type LoRAConfig struct {
	Rank    int      `yaml:"rank"`    // 16
	Alpha   float64  `yaml:"alpha"`   // 32; the adapter is scaled by Alpha/Rank
	Dropout float64  `yaml:"dropout"` // in [0, 1), of each adapter's input while training; 0
	Targets []string `yaml:"targets"` // all seven projections
	Layers  Layers   `yaml:"layers"`  // all
}

// LossConfig weighs the two objectives.
type LossConfig struct {
	Kind        loss.Kind `yaml:"kind"`         // mse (default), bce, ce
	LambdaStep  float64   `yaml:"lambda_step"`  // 1
	LambdaFinal Lambda    `yaml:"lambda_final"` // 1
}

// Batch sizes an optimiser step.
type Batch struct {
	Trajectories int `yaml:"trajectories"` // of one optimiser step; 16
	Tokens       int `yaml:"tokens"`       // of one packed micro-batch: memory only; 8192
}

// Optim is AdamW and its schedule.
type Optim struct {
	LR          float64       `yaml:"lr"`      // 1e-4
	HeadLR      float64       `yaml:"head_lr"` // of the head, in every mode; 1e-3
	Betas       []float64     `yaml:"betas"`   // [0.9, 0.999]
	Eps         float64       `yaml:"eps"`     // 1e-8
	WeightDecay float64       `yaml:"weight_decay"`
	Clip        float64       `yaml:"clip"`     // bound on the global gradient norm; 1
	Schedule    schedule.Kind `yaml:"schedule"` // cosine (default), linear, constant
	Warmup      float64       `yaml:"warmup"`   // below 1: share of the steps, else a number of them; 0.05
	Epochs      int           `yaml:"epochs"`   // 1
	Steps       int           `yaml:"steps"`    // 0: as many as Epochs need; else it wins
	Moments     string        `yaml:"moments"`  // f32 (default: of parameters, f64 with dtype: f64) or bf16, which halves them and rounds at random
	Offload     bool          `yaml:"offload"`  // moments lie in the host's memory, where the device reads them: slower, no number changes
}

// RewardConfig says how a trajectory's reward is made of its scores; saved with the model.
type RewardConfig struct {
	Over  string  `yaml:"over"`  // trained (default: the parts that had labels), thinking, response, all
	Alpha float64 `yaml:"alpha"` // weight of the trajectory's own score; 1
}

// EvalConfig says when to evaluate, and by what the best checkpoint is chosen.
type EvalConfig struct {
	Every int    `yaml:"every"` // optimiser steps, and once at the end; 100
	Best  string `yaml:"best"`  // a metric of the evaluation; within_auroc
}

// CheckpointConfig says when to save and what to keep.
type CheckpointConfig struct {
	Every int `yaml:"every"` // optimiser steps, and once at the end; 100
	Keep  int `yaml:"keep"`  // of the newest, besides the best; 3
}

// DefaultTrainConfig returns every default in place. In a configuration that begins with it zero means zero.
func DefaultTrainConfig() TrainConfig {
	return TrainConfig{
		Data:  DataConfig{EvalShare: 0.05},
		Text:  data.DefaultText(),
		Train: "lora",
		Head:  HeadConfig{Kind: "scalar", Activation: "sigmoid", Init: "auto", Ridge: 3, Final: "shared"},
		LoRA: LoRAConfig{Rank: 16, Alpha: 32, Targets: []string{
			"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}},
		Loss:  LossConfig{LambdaStep: 1, LambdaFinal: Lambda{Value: 1}},
		Batch: Batch{Trajectories: 16, Tokens: 8192},
		Optim: Optim{
			LR: 1e-4, HeadLR: 1e-3, Betas: []float64{0.9, 0.999}, Eps: 1e-8, WeightDecay: 0.01, Clip: 1,
			Warmup: 0.05, Epochs: 1, Moments: "f32",
		},
		Recompute:  "layer",
		Threshold:  Threshold{Value: 0.5},
		Reward:     RewardConfig{Over: "trained", Alpha: 1},
		Eval:       EvalConfig{Every: 100, Best: "within_auroc"},
		Checkpoint: CheckpointConfig{Every: 100, Keep: 3},
		Seed:       1, Device: "auto", Backend: "auto", SaveDType: "base", DType: "auto",
		explicit: true,
	}
}
