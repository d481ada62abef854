package prm

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/goprm/goprm/data/label"
)

// Validate reports the first field that cannot be used, as far as that shows without opening a stage and reading the input.
func (c LabelConfig) Validate() error {
	if err := c.validateSettings(); err != nil {
		return err
	}
	if err := c.validateInput(); err != nil {
		return err
	}
	if c.Out == "" {
		return errors.New("out: no folder is given")
	}
	return nil
}

func (c LabelConfig) validateInput() error {
	switch {
	case c.Trajectories == nil && len(c.In) == 0:
		return errors.New("in: nothing to label")
	case c.Trajectories != nil && len(c.In) > 0:
		return errors.New("in: files and Trajectories are both given")
	case slices.Contains(c.In, "-"):
		return errors.New("in: stdin cannot be read twice; write it to a file")
	}
	return nil
}

// validateSettings checks what label.yaml holds. Its errors name the key.
func (c LabelConfig) validateSettings() error {
	c = c.filled()
	for _, check := range []func() error{c.validateJudge, c.validateEncoder, c.validateTrajectory} {
		if err := check(); err != nil {
			return err
		}
	}
	if c.Budget.Tokens < 0 || !(c.Budget.Money >= 0 && c.Budget.Money < 1e9) {
		return fmt.Errorf("budget: %d tokens and %v must not be negative, nor the money 10⁹ or more", c.Budget.Tokens, c.Budget.Money)
	}
	if c.Threads < 0 {
		return fmt.Errorf("threads: %d is negative", c.Threads)
	}
	encodes := c.Stages.Encoder != nil || c.Encoder.Kind != "none"
	if slices.ContainsFunc(c.Parts, func(p label.Part) bool { return p != label.Quality }) && !encodes {
		return fmt.Errorf("parts: %v need an encoder; with encoder.kind: none, set parts: [quality]", c.Parts)
	}
	if slices.Contains(c.Parts, label.Quality) && c.Judge.Kind == "none" && c.Stages.Judge == nil {
		return errors.New("parts: quality needs a judge; with judge.kind: none, set parts: [align, coherence]")
	}
	return c.pipeline().ValidateSettings()
}

func (c *LabelConfig) validateEncoder() error {
	e := c.Encoder
	if c.Stages.Encoder != nil {
		return nil
	}
	switch e.Kind {
	case "sentence", "file", "backbone":
		if e.Path == "" {
			return fmt.Errorf("encoder.path: the %s encoder needs it; encoder.kind: none goes without, with parts: [quality]", e.Kind)
		}
	case "openai":
		return c.served("encoder", e.Server, e.Model)
	case "none":
	default:
		return fmt.Errorf("encoder.kind: %q is none of sentence, openai, file, backbone, none", e.Kind)
	}
	return nil
}

func (c *LabelConfig) validateTrajectory() error {
	t := c.Trajectory
	if !t.sampled() {
		return nil
	}
	if c.Stages.Templater == nil {
		if err := c.served("trajectory.templater", t.Templater.Server, t.Templater.Model); err != nil {
			return err
		}
	}
	if c.Stages.Policy == nil {
		return c.served("trajectory.policy", t.Policy.Server, t.Policy.Model)
	}
	return nil
}

const judgeKinds = "openai, equations, prm, exec, rollout, consensus"

func (c *LabelConfig) validateJudge() error {
	switch {
	case c.Stages.Judge != nil:
		return nil
	case c.Judge.Kind == "":
		return fmt.Errorf("judge.kind: it is required: %s or none", judgeKinds)
	}
	return c.judge("judge", c.Judge)
}

func (c *LabelConfig) judge(key string, j JudgeConfig) error {
	switch j.Kind {
	case "equations", "none":
	case "exec":
		if err := j.exec(nil).Validate(); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	case "openai":
		if err := c.served(key, j.Server, j.Model); err != nil {
			return err
		}
		if _, given := j.Extra["response_format"]; given {
			return fmt.Errorf("%s.extra.response_format: set %s.schema instead: auto, json_schema, json_object or none", key, key)
		}
		if err := j.rubric(c.Seed).Validate(); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	case "prm":
		if j.Path == "" {
			return fmt.Errorf("%s.path: the model folder is missing", key)
		}
	case "rollout":
		if c.Stages.Policy != nil {
			return nil
		}
		return c.served(key+".policy", j.Policy.Server, j.Policy.Model)
	case "consensus":
		if len(j.Of) != 2 {
			return fmt.Errorf("%s.of: %d judges; a consensus is of two", key, len(j.Of))
		}
		for i, one := range j.Of {
			inner := fmt.Sprintf("%s.of.%d", key, i)
			if one.Kind == "none" || one.Kind == "consensus" || one.Kind == "" {
				return fmt.Errorf("%s.kind: %q cannot be in a consensus", inner, one.Kind)
			}
			if err := c.judge(inner, one); err != nil {
				return err
			}
		}
	default:
		return fmt.Errorf("%s.kind: %q is none of %s, none", key, j.Kind, judgeKinds)
	}
	return nil
}

// served checks that the server is there and that a model is named.
func (c *LabelConfig) served(key, server, model string) error {
	if _, ok := c.Servers[server]; !ok {
		if server == "" {
			return fmt.Errorf("%s.server: it is missing; name one of servers", key)
		}
		return fmt.Errorf("%s.server: servers has no %q, only %s", key, server, strings.Join(slices.Sorted(maps.Keys(c.Servers)), ", "))
	}
	if model == "" {
		return fmt.Errorf("%s.model: it is missing", key)
	}
	return nil
}
