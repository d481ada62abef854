package prm

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/runlog"
)

// filled returns the effective configuration: defaults stand in place of what was left out. It shares no number and no
// list with c, so that a program may change its own while the run goes on.
func (c TrainConfig) filled() TrainConfig {
	fill(reflect.ValueOf(&c).Elem(), reflect.ValueOf(DefaultTrainConfig()), c.explicit)
	c.explicit = true
	c.Batch.Group = cmp.Or(c.Batch.Group, "none") // a Batch that a program makes anew
	return c
}

// fill puts defaults in place of nil pointers and, unless the configuration is explicit, of zero fields.
func fill(v, defaults reflect.Value, explicit bool) {
	for i := range v.NumField() {
		field := v.Field(i)
		switch pointer := field.Kind() == reflect.Pointer; {
		case !field.CanSet() || v.Type().Field(i).Tag.Get("yaml") == "-":
		case field.Kind() == reflect.Struct:
			fill(field, defaults.Field(i), explicit)
		case field.IsZero() && (pointer || !explicit):
			field.Set(defaults.Field(i))
		case pointer:
			own := reflect.New(field.Type().Elem())
			own.Elem().Set(field.Elem())
			field.Set(own)
		case field.Kind() == reflect.Slice && !field.IsNil():
			field.Set(reflect.AppendSlice(reflect.MakeSlice(field.Type(), 0, field.Len()), field))
		}
	}
}

// Validate reports the first key that cannot be used, as far as that shows without opening the model and the data.
func (c TrainConfig) Validate() error {
	c = c.filled()
	for _, check := range []func() error{c.validateData, c.Text.Validate, c.validateModel, c.validateOptim, c.validateRun} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (c *TrainConfig) validateData() error {
	d := &c.Data
	switch {
	case c.Model == "":
		return errors.New("model: no folder is given")
	case d.Trajectories == nil && len(d.Train) == 0:
		return errors.New("data.train: nothing to train on")
	case d.Trajectories != nil && len(d.Train) > 0:
		return errors.New("data.train: files and Trajectories are both given")
	case d.EvalTrajectories != nil && len(d.Eval) > 0:
		return errors.New("data.eval: files and EvalTrajectories are both given")
	case !(*d.EvalShare >= 0 && *d.EvalShare < 1):
		return fmt.Errorf("data.eval_share: %v is not in [0, 1)", *d.EvalShare)
	case slices.Contains(d.Train, "-") || slices.Contains(d.Eval, "-"):
		return errors.New(`data: "-" cannot be read twice, which resuming needs; write it to a file first`)
	}
	return oneOf(choice{"data.on_bad", d.OnBad, []string{"error", "skip"}})
}

func (c *TrainConfig) validateModel() error {
	switch l := &c.LoRA; {
	case l.Rank < 1:
		return fmt.Errorf("lora.rank: %d is less than 1", l.Rank)
	case !(l.Dropout >= 0 && l.Dropout < 1):
		return fmt.Errorf("lora.dropout: %v is not in [0, 1)", l.Dropout)
	case !positive(l.Alpha):
		return fmt.Errorf("lora.alpha: %v is not a number above 0", l.Alpha)
	case c.Head.Init == "":
		return errors.New("head.init: empty; use auto, zeros, ridge or a model folder")
	case c.Head.Init == "ridge" && c.Head.Kind != "scalar":
		return fmt.Errorf("head.init: ridge needs head.kind scalar, not %s", c.Head.Kind)
	case c.Head.Init == "ridge" && !positive(*c.Head.Ridge):
		return fmt.Errorf("head.ridge: %v is not a number above 0", *c.Head.Ridge)
	}
	if c.DType == engine.Int8 {
		return engine.ErrInt8Training
	}
	return oneOf(
		choice{"train", c.Train, []string{"head", "lora", "full"}},
		choice{"head.kind", c.Head.Kind, []string{"scalar", "two_class_mlp", "linear_two_class"}},
		choice{"head.activation", c.Head.Activation, []string{"sigmoid", "identity"}},
		choice{"head.final", c.Head.Final, []string{"shared", "own"}},
		choice{"recompute", c.Recompute, []string{"auto", "layer", "none"}},
		choice{"save_dtype", c.SaveDType, []string{"base", "f32", "bf16"}},
		choice{"dtype", c.DType, []string{"auto", "f32", "f64", "bf16"}},
	)
}

func (c *TrainConfig) validateOptim() error {
	o, l := &c.Optim, &c.Loss
	switch {
	case !notNegative(*l.LambdaStep):
		return fmt.Errorf("loss.lambda_step: %v is not a number from 0", *l.LambdaStep)
	case !notNegative(l.LambdaFinal.Value):
		return fmt.Errorf("loss.lambda_final: %v is neither a number from 0 nor balanced", l.LambdaFinal.Value)
	case c.Batch.Trajectories < 1:
		return fmt.Errorf("batch.trajectories: %d is less than 1", c.Batch.Trajectories)
	case c.Batch.Tokens < 1:
		return fmt.Errorf("batch.tokens: %d is less than 1", c.Batch.Tokens)
	case len(o.Betas) != 2 || !(o.Betas[0] >= 0 && o.Betas[0] < 1 && o.Betas[1] >= 0 && o.Betas[1] < 1):
		return fmt.Errorf("optim.betas: %v: two numbers in [0, 1) are wanted", o.Betas)
	case !positive(*o.Eps):
		return fmt.Errorf("optim.eps: %v is not a number above 0", *o.Eps)
	case o.Epochs < 1 && o.Steps < 1:
		return fmt.Errorf("optim.epochs: %d is less than 1", o.Epochs)
	case o.Steps < 0:
		return fmt.Errorf("optim.steps: %d is negative", o.Steps)
	}
	for _, v := range []struct {
		key   string
		value float64
	}{{"optim.lr", *o.LR}, {"optim.head_lr", *o.HeadLR}, {"optim.weight_decay", *o.WeightDecay}, {"optim.clip", *o.Clip}} {
		if !notNegative(v.value) {
			return fmt.Errorf("%s: %v is not a number from 0", v.key, v.value)
		}
	}
	if err := oneOf(
		choice{"batch.group", c.Batch.Group, []string{"none", groupProblem}},
		choice{"optim.moments", o.Moments, []string{"f32", "bf16"}},
		choice{"optim.schedule", string(o.Schedule), []string{string(ScheduleCosine), string(ScheduleLinear), string(ScheduleConstant)}},
	); err != nil {
		return err
	}
	if o.Moments == "bf16" && c.DType == "f64" {
		return errors.New("optim.moments: bf16 is for parameters in f32, not with dtype: f64")
	}
	rates, err := o.options(1)
	if err == nil {
		err = rates.Validate()
	}
	if err != nil {
		return fmt.Errorf("optim: %w", err)
	}
	return nil
}

func (c *TrainConfig) validateRun() error {
	switch {
	case c.Out == "":
		return errors.New("out: no run folder is given")
	case math.IsNaN(c.Threshold.Value) || math.IsInf(c.Threshold.Value, 0):
		return fmt.Errorf("threshold: %v is not a finite number", c.Threshold.Value)
	case math.IsNaN(*c.Reward.Alpha) || math.IsInf(*c.Reward.Alpha, 0):
		return fmt.Errorf("reward.alpha: %v is not a finite number", *c.Reward.Alpha)
	case *c.Eval.Every < 0:
		return fmt.Errorf("eval.every: %d is negative", *c.Eval.Every)
	case c.Eval.Max < 0:
		return fmt.Errorf("eval.max: %d is negative", c.Eval.Max)
	case *c.Checkpoint.Every < 0:
		return fmt.Errorf("checkpoint.every: %d is negative", *c.Checkpoint.Every)
	case *c.Checkpoint.Keep < 0:
		return fmt.Errorf("checkpoint.keep: %d is negative", *c.Checkpoint.Keep)
	case *c.NonFiniteBudget < 0:
		return fmt.Errorf("nonfinite_budget: %d is negative", *c.NonFiniteBudget)
	case c.Dist.Zero != 1 && c.Dist.Zero != 2:
		return fmt.Errorf("dist.zero: %d is neither 1 nor 2", c.Dist.Zero)
	case c.Dist.Timeout < 1:
		return fmt.Errorf("dist.timeout: %d is less than 1 second", c.Dist.Timeout)
	case c.Threads < 0:
		return fmt.Errorf("threads: %d is negative", c.Threads)
	}
	if err := c.validateSizes(); err != nil {
		return err
	}
	if c.Tracking != "" {
		if _, _, err := runlog.ParseMLflow(c.Tracking); err != nil {
			return fmt.Errorf("tracking: %w", err)
		}
	}
	for i, seed := range c.Seeds {
		if slices.Contains(c.Seeds[:i], seed) {
			return fmt.Errorf("seeds: %d is there twice", seed)
		}
	}
	return oneOf(
		choice{"reward.over", c.Reward.Over, []string{"trained", "thinking", "response", "all"}},
		choice{"eval.best", c.Eval.Best, bestNames()},
		choice{"on_nonfinite", c.OnNonFinite, []string{"stop", "skip", "rollback"}},
		choice{"dist.nccl", c.Dist.NCCL, []string{"auto", "off", "required"}},
		choice{"save", c.Save, []string{"last", "best"}},
	)
}

// validateSizes refuses what no run can mean, before anything is made of that size.
func (c *TrainConfig) validateSizes() error {
	for _, size := range []struct {
		key         string
		value, most int
	}{
		{"threads", c.Threads, 1024}, {"batch.trajectories", c.Batch.Trajectories, 1 << 20}, {"batch.tokens", c.Batch.Tokens, 1 << 24},
		{"lora.rank", c.LoRA.Rank, 1 << 16}, {"text.max_tokens", c.Text.MaxTokens, 1 << 24}, {"optim.epochs", c.Optim.Epochs, 1 << 20},
		{"optim.steps", c.Optim.Steps, math.MaxInt32}, {"eval.every", *c.Eval.Every, math.MaxInt32}, {"eval.max", c.Eval.Max, math.MaxInt32},
		{"checkpoint.every", *c.Checkpoint.Every, math.MaxInt32}, {"checkpoint.keep", *c.Checkpoint.Keep, math.MaxInt32},
		{"seeds", len(c.Seeds), 1 << 10}, {"dist.timeout", c.Dist.Timeout, 1 << 24},
	} {
		if size.value > size.most {
			return fmt.Errorf("%s: %d is more than %d", size.key, size.value, size.most)
		}
	}
	return nil
}

type choice struct {
	key, value string
	of         []string
}

func oneOf(choices ...choice) error {
	for _, c := range choices {
		if !slices.Contains(c.of, c.value) {
			return fmt.Errorf("%s: %q is none of %s", c.key, c.value, strings.Join(c.of, ", "))
		}
	}
	return nil
}

func positive(x float64) bool    { return x > 0 && !math.IsInf(x, 1) }
func notNegative(x float64) bool { return x >= 0 && !math.IsInf(x, 1) }
