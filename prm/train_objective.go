package prm

import (
	"errors"
	"fmt"
	"math"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/schedule"
)

// eachWeight calls visit for each read-out of the training data that weighs something, with its weight in the loss of one trajectory.
func (d *dataset) eachWeight(c *TrainConfig, visit func(e *data.Example, read int, weight float64)) {
	opt := d.weights(c, 1)
	for _, e := range d.train {
		for i, w := range e.LossWeights(opt) {
			if w > 0 { // NaN: no label
				visit(e, i, w)
			}
		}
	}
}

// meanTarget is the mean of the training targets, each with its weight in the loss.
func (d *dataset) meanTarget(c *TrainConfig) float64 {
	sum, all := 0.0, 0.0
	d.eachWeight(c, func(e *data.Example, read int, w float64) {
		sum += w * e.Reads[read].Target
		all += w
	})
	if all == 0 {
		return 0.5
	}
	return sum / all
}

// checkObjective refuses an objective of nothing, and warns of one that teaches nothing.
func (d *dataset) checkObjective(c *TrainConfig) error {
	targets := map[data.Kind][]float64{}
	d.eachWeight(c, func(e *data.Example, read int, _ float64) {
		r := e.Reads[read]
		targets[r.Kind] = append(targets[r.Kind], r.Target)
	})
	if len(targets) == 0 {
		return d.emptyObjective(c)
	}
	d.warnOfIgnoreIndex()
	for kind, what := range []string{data.KindStep: "step", data.KindTrajectory: "trajectory"} {
		if list := targets[data.Kind(kind)]; len(list) > 1 && isConstant(list) {
			d.warnings = append(d.warnings, fmt.Sprintf("data.train: all %d %s labels that weigh something are %v: nothing tells good from bad",
				len(list), what, list[0]))
		}
	}
	return nil
}

// warnOfIgnoreIndex names labels that other programs mean to leave out. Only head.activation: identity lets them through.
func (d *dataset) warnOfIgnoreIndex() {
	const ignored = -100 // of PyTorch's cross-entropy and Hugging Face's collators
	count := map[data.Kind]int{}
	for _, e := range d.train {
		for _, r := range e.Reads {
			if r.Weighs() && r.Target == ignored {
				count[r.Kind]++
			}
		}
	}
	for kind, key := range []string{data.KindStep: "labels.steps", data.KindTrajectory: "labels.trajectory"} {
		if n := count[data.Kind(kind)]; n > 0 {
			d.warnings = append(d.warnings, fmt.Sprintf("%s: %d labels are %d, Hugging Face's mark of no label, and are trained on as they are; "+
				"write null for no label", key, n, ignored))
		}
	}
}

// emptyObjective says which keys or labels make the loss 0 whatever the model says.
func (d *dataset) emptyObjective(c *TrainConfig) error {
	steps, finals := false, false // there is a label that weighs something by itself
	for _, e := range d.train {
		for _, r := range e.Reads {
			if r.Weighs() {
				steps, finals = steps || r.Kind == data.KindStep, finals || r.Kind == data.KindTrajectory
			}
		}
	}
	switch {
	case steps && finals:
		return errors.New("loss.lambda_step and loss.lambda_final: both are 0: nothing would be learnt")
	case steps:
		return errors.New("loss.lambda_step: 0, and no trajectory label weighs anything: nothing would be learnt")
	case finals:
		return errors.New("loss.lambda_final: 0, and no step label weighs anything: nothing would be learnt")
	}
	return errors.New("labels.weights: every label of the training data weighs 0: nothing would be learnt")
}

func isConstant(list []float64) bool {
	for _, v := range list {
		if v != list[0] {
			return false
		}
	}
	return true
}

// lengthWarnings says what is wrong with the run's length: a batch that is never full, rates that never rise.
func (s *session) lengthWarnings() ([]string, error) {
	c, steps := &s.c, s.newSteps
	var list []string
	if n, have := c.Batch.Trajectories, len(s.data.train); have < n {
		list = append(list, fmt.Sprintf("batch.trajectories: %d, and there are %d trajectories to train on: every step's loss is %d/%d of a "+
			"full batch's; "+
			"set it to %d at most", n, have, have, n, have))
	}
	rates, err := c.Optim.options(steps)
	if err != nil {
		return nil, err
	}
	return append(list, rateWarnings(c, rates)...), nil
}

func rateWarnings(c *TrainConfig, rates schedule.Options) []string {
	peak := math.Max(*c.Optim.LR, *c.Optim.HeadLR)
	if c.Train == "head" {
		peak = *c.Optim.HeadLR
	}
	warmup, last := rates.WarmupSteps(), rates.Rate(peak, rates.Steps-1)
	most := rates.Rate(peak, min(warmup, rates.Steps-1)) // the rate rises until there and never after
	switch {
	case peak == 0:
		return []string{"optim.lr, optim.head_lr: the rates of all that is trained are 0: nothing will be learnt"}
	case most == 0:
		return []string{fmt.Sprintf("optim.warmup: %v of %d steps is %d of warm-up, at rate 0: nothing will be learnt; "+
			"set optim.warmup: 0, or take more steps", *c.Optim.Warmup, rates.Steps, warmup)}
	case warmup >= rates.Steps:
		return []string{fmt.Sprintf("optim.warmup: %v of %d steps is %d of warm-up, the whole run: the rate goes from 0 to %.3g and never "+
			"reaches %.3g; "+
			"set it lower, or take more steps", *c.Optim.Warmup, rates.Steps, warmup, last, peak)}
	}
	return nil
}
