package prm

import (
	"fmt"
	"math"
	"strconv"

	"github.com/goprm/goprm/internal/schedule"
	"go.yaml.in/yaml/v3"
)

// Lambda is a factor, or balanced: one over the share of the training trajectories that have a trajectory label.
type Lambda struct {
	Value    float64
	Balanced bool
}

// Threshold is a score below which a step counts as wrong, or auto: the one with the best first-error F1 in the last evaluation.
type Threshold struct {
	Value float64
	Auto  bool
}

// Schedule is what the learning rate does after the warm-up.
type Schedule string

const (
	ScheduleCosine   Schedule = "cosine"   // down to 0 along half a cosine
	ScheduleLinear   Schedule = "linear"   // down to 0 along a line
	ScheduleConstant Schedule = "constant" // stays
)

// options describes a run of so many updates to the package that computes the rates.
func (o *Optim) options(steps int) (schedule.Options, error) {
	var kind schedule.Kind
	if err := kind.UnmarshalText([]byte(o.Schedule)); err != nil {
		return schedule.Options{}, err
	}
	return schedule.Options{Kind: kind, Steps: steps, Warmup: *o.Warmup}, nil
}

// Layers lists layers from 0; nil means all of them.
type Layers []int

// UnmarshalYAML reads a number or "balanced".
func (l *Lambda) UnmarshalYAML(n *yaml.Node) error {
	value, word, err := numberOr(n, "balanced")
	*l = Lambda{Value: value, Balanced: word}
	return err
}

// MarshalYAML is the inverse of UnmarshalYAML.
func (l Lambda) MarshalYAML() (any, error) {
	if l.Balanced {
		return "balanced", nil
	}
	return l.Value, nil
}

// UnmarshalYAML reads a number or "auto".
func (t *Threshold) UnmarshalYAML(n *yaml.Node) error {
	value, word, err := numberOr(n, "auto")
	*t = Threshold{Value: value, Auto: word}
	return err
}

// MarshalYAML is the inverse of UnmarshalYAML.
func (t Threshold) MarshalYAML() (any, error) {
	if t.Auto {
		return "auto", nil
	}
	return t.Value, nil
}

func numberOr(n *yaml.Node, word string) (value float64, isWord bool, err error) {
	if n.Kind == yaml.ScalarNode && n.Value == word {
		return 0, true, nil
	}
	if n.Kind == yaml.ScalarNode && (n.ShortTag() == "!!float" || n.ShortTag() == "!!int") {
		value, err := strconv.ParseFloat(n.Value, 64)
		if err == nil && !math.IsNaN(value) && !math.IsInf(value, 0) {
			return value, false, nil
		}
	}
	return 0, false, fmt.Errorf("a number or %q is wanted, not %q", word, n.Value)
}

// UnmarshalYAML reads "all" or a list of whole numbers.
func (l *Layers) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode && n.Value == "all" {
		*l = nil
		return nil
	}
	wrong := fmt.Errorf("all, or a list of layers such as [0, 1], is wanted")
	if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
		return wrong
	}
	list := Layers{}
	for _, item := range n.Content {
		layer, err := strconv.Atoi(item.Value)
		if item.Kind != yaml.ScalarNode || err != nil {
			return wrong
		}
		list = append(list, layer)
	}
	*l = list
	return nil
}

// MarshalYAML is the inverse of UnmarshalYAML.
func (l Layers) MarshalYAML() (any, error) {
	if l == nil {
		return "all", nil
	}
	return []int(l), nil
}
