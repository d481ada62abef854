package prm

import (
	"io"
	"iter"
	"log/slog"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/data/tokenizer"
	"github.com/goprm/goprm/internal/dist"
	"github.com/goprm/goprm/loss"
)

// TrainConfig describes one training run; its YAML form is what LoadTrainConfig reads and a run folder's config.yaml
// holds. Relative paths are relative to the working directory.
//
// In a literal, a field that is left at its zero value stands for its default, which its comment names. Numbers that may be
// zero on purpose and whose default is another are pointers: WeightDecay: new(0.0) trains without decay, nil with 0.01.
// Of a number that is no pointer zero is the default, or no legal value (an adapter of rank 0). A text that is to be empty
// although its default is not (Text.Separator) needs a configuration that begins with DefaultTrainConfig.
type TrainConfig struct {
	Model string           `yaml:"model"` // folder of a backbone, of a model that was trained before, or of a checkpoint
	Base  string           `yaml:"base"`  // where the base of Model lies now, if that is an adapter or a head; "": where it lay then
	Data  DataConfig       `yaml:"data"`
	Text  data.TextOptions `yaml:"text"`  // how a trajectory becomes text; an empty list of think_tags means none
	Train string           `yaml:"train"` // what is trained: head, lora (default) or full
	Head  HeadConfig       `yaml:"head"`
	LoRA  LoRAConfig       `yaml:"lora"`
	Loss  LossConfig       `yaml:"loss"`
	Batch Batch            `yaml:"batch"`
	Optim Optim            `yaml:"optim"`
	// Recompute is "layer": the backward pass keeps the residual stream between layers alone and computes the rest again; "none":
	// it keeps every activation, which is faster and takes more memory; or "auto" (default): none where the memory that is free at
	// the start suffices for it. It changes no number; run.json says what was chosen.
	Recompute  string           `yaml:"recompute"`
	Threshold  *Threshold       `yaml:"threshold"` // a step that scores below it counts as wrong; auto: the best first-error F1; 0.5
	Reward     RewardConfig     `yaml:"reward"`
	Eval       EvalConfig       `yaml:"eval"`
	Checkpoint CheckpointConfig `yaml:"checkpoint"`
	Dist       DistConfig       `yaml:"dist"`
	// OnNonFinite says what a step does whose loss or gradient is NaN or Inf, which is never applied: stop (default) ends the run; skip
	// passes its batch over; rollback takes the weights and moments of the newest checkpoint besides, so that what led there is undone.
	OnNonFinite string `yaml:"on_nonfinite"`
	// NonFiniteBudget is how many steps of a run skip and rollback pass over before the run ends all the same; 10.
	NonFiniteBudget *int    `yaml:"nonfinite_budget"`
	Seed            *uint64 `yaml:"seed"` // of the order, the split and the start; 1
	// Seeds, if not empty, takes the place of Seed: one run for each, in seed-N of the run folder, and in its seeds.json mean and
	// standard deviation of the last evaluations.
	Seeds   []uint64 `yaml:"seeds"`
	Device  string   `yaml:"device"`  // where to compute: auto (default), cpu, cuda:0
	Backend string   `yaml:"backend"` // which kernels: auto (default), portable, avx2, avx512 or avx512bf16; sm80 or sm90a on a GPU
	Threads int      `yaml:"threads"` // most that compute; 0: as many as there are processors; changes no number
	// Save is "last" (default) or "best": what the model folder holds at the end of the run, the last step's weights or those of the
	// evaluation that eval.best chose.
	Save      string `yaml:"save"`
	SaveDType string `yaml:"save_dtype"` // of the saved weights: base (default: as they were), f32, bf16
	DType     string `yaml:"dtype"`      // of the arithmetic: auto (default), f32, f64, bf16
	Cache     string `yaml:"cache"`      // folder for tokens and hidden states (see docs/cache.md); "": goprm in the user's cache folder
	// Tracking is mlflow://host:port/experiment (mlflows:// for https), an MLflow server that gets every number of the run; "": none.
	Tracking string `yaml:"tracking"`
	Out      string `yaml:"out"` // the run folder; must not exist unless the run is resumed

	// Resume continues the run in Out from its newest checkpoint that verifies, or begins it.
	Resume bool `yaml:"-"`
	// Progress gets what a person who started the run wants to see: progress, information, warnings, "resumed from step K".
	Progress io.Writer `yaml:"-"`
	Quiet    bool      `yaml:"-"` // leaves progress and information out of it
	// Logger gets warnings and notices too; nil: slog.Default if there is no Progress.
	Logger *slog.Logger `yaml:"-"`
	// Tokenizer, if set, turns text into tokens instead of the model folder's files, whose chat template still holds. Unless
	// both do the same, it is not saved with the model: prm.Open needs it again, and checks that it is the same.
	Tokenizer tokenizer.Tokenizer `yaml:"-"`
	// OnStep is called after each optimizer step, OnEvaluate after each evaluation (and after OnStep of its step), when the
	// line in metrics.jsonl is written: one at a time, on the goroutine that called Train, which goes on when they return.
	// To stop the run, cancel Train's context: the step is saved and the result says Interrupted. A callback that panics
	// ends the run with an error; the step is saved all the same. A resumed run tells of the steps that it takes, which may
	// have been told of before.
	OnStep     func(StepMetrics) `yaml:"-"`
	OnEvaluate func(Evaluation)  `yaml:"-"`
	// Distributed makes the run that of all processes which mpirun, torchrun or srun started, as their environment says (docs/scale.md);
	// false: of this process alone, whatever that says. A program that sets it imports github.com/goprm/goprm/mpi. Only rank 0 reports and
	// calls OnStep and OnEvaluate. A process can do so once.
	Distributed bool `yaml:"-"`
	// Version of the program, for run.json and the model; "": the module's.
	Version string `yaml:"-"`

	ranks    *dist.Group // nil: this process alone
	explicit bool        // an empty text is empty, and no number that is no pointer stands for its default
}

// DataConfig says what to train and to evaluate on.
type DataConfig struct {
	Train        []string `yaml:"train"`         // files or folders of labelled trajectories
	Eval         []string `yaml:"eval"`          // files or folders to evaluate on; empty: a share of the problems of Train is held out
	EvalShare    *float64 `yaml:"eval_share"`    // share of the problems that is held out, in [0, 1); zero: no evaluation; 0.05
	AllowOverlap bool     `yaml:"allow_overlap"` // allow problems that are in both
	// OnBad is error (default: the first such row ends the run), or skip: a row that cannot be read or rendered is left out and counted by
	// its reason.
	OnBad string `yaml:"on_bad"`

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
	Activation string `yaml:"activation"` // sigmoid (default: scores and labels in [0, 1]) or identity
	// Init is auto (default: the model's own head if it has one of this kind, else zeros), zeros (weight 0, bias so that
	// the head predicts the mean target), ridge (regression on the hidden states), or a model folder whose head to take.
	Init  string   `yaml:"init"`
	Ridge *float64 `yaml:"ridge"` // the regression's penalty in units of n·var(X), above 0; 3
	Final string   `yaml:"final"` // shared (default), or own: a second row reads the trajectory
}

// LoRAConfig describes the adapters of train: lora.
type LoRAConfig struct {
	Rank    int      `yaml:"rank"`    // of each adapter; 16
	Alpha   float64  `yaml:"alpha"`   // the adapter is scaled by Alpha/Rank; 32
	Dropout float64  `yaml:"dropout"` // in [0, 1), of each adapter's input while training; 0
	Targets []string `yaml:"targets"` // projections that have one; all seven
	Layers  Layers   `yaml:"layers"`  // that have adapters: a list from 0, or all
}

// LossConfig weighs the two objectives.
type LossConfig struct {
	Kind        loss.Kind `yaml:"kind"`         // mse (default), bce, or ce (two-class heads)
	LambdaStep  *float64  `yaml:"lambda_step"`  // weight of the steps' part, from 0; 1
	LambdaFinal *Lambda   `yaml:"lambda_final"` // weight of the trajectories' part, from 0; balanced: divided by the share with that label; 1
}

// Batch sizes an optimizer step.
type Batch struct {
	Trajectories int `yaml:"trajectories"` // of one optimizer step; 16
	Tokens       int `yaml:"tokens"`       // of one packed micro-batch, which bounds memory and changes no number beyond rounding; 8192
	// Group is none (default: any trajectories share a step) or problem: those of a problem are in one step, which computes their common
	// beginnings once. Steps are then made of fewer problems, and LoRA dropout drops alike where texts are alike; see docs/performance.md.
	Group string `yaml:"group"`
}

// Optim is AdamW and its schedule.
type Optim struct {
	LR          *float64  `yaml:"lr"`           // peak learning rate, from 0; 1e-4
	HeadLR      *float64  `yaml:"head_lr"`      // peak learning rate of the head, in every mode; 1e-3
	Betas       []float64 `yaml:"betas"`        // of AdamW, two in [0, 1); [0.9, 0.999]
	Eps         *float64  `yaml:"eps"`          // of AdamW, above 0; 1e-8
	WeightDecay *float64  `yaml:"weight_decay"` // from 0, of tensors of two dimensions or more; 0.01
	Clip        *float64  `yaml:"clip"`         // bound on the global gradient norm; zero: none; 1
	Schedule    Schedule  `yaml:"schedule"`     // of the learning rates after the warm-up: cosine (default), linear, constant
	Warmup      *float64  `yaml:"warmup"`       // steps until the peak: below 1 a share of all, else a number; 0.05
	Epochs      int       `yaml:"epochs"`       // passes over the data; 1
	Steps       int       `yaml:"steps"`        // optimizer steps; 0: as many as Epochs need; else it wins
	// Moments is f32 (default: of parameters, f64 with dtype: f64) or bf16, which halves them and rounds at random.
	Moments string `yaml:"moments"`
	Offload bool   `yaml:"offload"` // moments lie in the host's memory, where the device reads them: slower, no number changes
}

// RewardConfig says how a trajectory's reward is made of its scores; saved with the model.
type RewardConfig struct {
	Over  string   `yaml:"over"`  // steps that the reward averages: trained (default: the parts that had labels), thinking, response, all
	Alpha *float64 `yaml:"alpha"` // weight of the trajectory's own score; 1
}

// EvalConfig says when to evaluate, and by what the best checkpoint is chosen.
type EvalConfig struct {
	Every *int   `yaml:"every"` // optimizer steps, and once at the end; zero: at the end alone; 100
	Best  string `yaml:"best"`  // metric that the best checkpoint is chosen by
	Max   int    `yaml:"max"`   // trajectories evaluated on, drawn by the seed where there are more; 0: all
}

// CheckpointConfig says when to save, besides before each evaluation, and what to keep.
type CheckpointConfig struct {
	Every *int `yaml:"every"` // optimizer steps, and once at the end; zero: at the end and before evaluations; 100
	Keep  *int `yaml:"keep"`  // how many of the newest, besides the best; 3
}

// DefaultTrainConfig returns every default in place. In a configuration that begins with it an empty text is empty, and a
// zero is a zero (or an error, where zero is no legal value).
func DefaultTrainConfig() TrainConfig {
	return TrainConfig{
		Data:  DataConfig{EvalShare: new(0.05), OnBad: "error"},
		Text:  data.DefaultText(),
		Train: "lora",
		Head:  HeadConfig{Kind: "scalar", Activation: "sigmoid", Init: "auto", Ridge: new(3.0), Final: "shared"},
		LoRA: LoRAConfig{Rank: 16, Alpha: 32, Targets: []string{
			"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}},
		Loss:  LossConfig{LambdaStep: new(1.0), LambdaFinal: &Lambda{Value: 1}},
		Batch: Batch{Trajectories: 16, Tokens: 8192, Group: "none"},
		Optim: Optim{
			LR: new(1e-4), HeadLR: new(1e-3), Betas: []float64{0.9, 0.999}, Eps: new(1e-8), WeightDecay: new(0.01), Clip: new(1.0),
			Schedule: ScheduleCosine, Warmup: new(0.05), Epochs: 1, Moments: "f32",
		},
		Recompute:   "auto",
		Threshold:   &Threshold{Value: 0.5},
		Reward:      RewardConfig{Over: "trained", Alpha: new(1.0)},
		Eval:        EvalConfig{Every: new(100), Best: "within_auroc"},
		Checkpoint:  CheckpointConfig{Every: new(100), Keep: new(3)},
		Dist:        DistConfig{Zero: 1, NCCL: "auto", Timeout: 1800},
		OnNonFinite: "stop", NonFiniteBudget: new(10),
		Save: "last",
		Seed: new(uint64(1)), Device: "auto", Backend: "auto", SaveDType: "base", DType: "auto",
		explicit: true,
	}
}
