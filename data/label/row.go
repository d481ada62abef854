package label

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/goprm/goprm/data"
)

// Row is a labelled trajectory.
type Row struct {
	*data.Trajectory
	Made Made
}

// Made is how a trajectory's labels were made: the object "made" within its "labels". It holds all that is needed to fuse anew.
type Made struct {
	// Row is the trajectory's place in the input, from 0.
	Row int `json:"row"`
	// Parts holds each part of each thinking step, as it goes into the paper's fusion; null where it is missing.
	Parts map[Part][]*float64 `json:"parts"`
	// Fusion is how labels.steps was made, and with which weights (in the order of Use); null for a step without a label.
	Fusion  Fusion      `json:"fusion"`
	Use     []Part      `json:"use"`
	Weights [][]float64 `json:"weights"`

	Encoder string `json:"encoder,omitempty"`
	// Pairing is how the thinking steps were paired, To the response step of each.
	Pairing Pairing `json:"pairing,omitempty"`
	To      []int   `json:"to,omitempty"`

	Judge string `json:"judge,omitempty"`
	Sees  Sees   `json:"sees,omitempty"`
	// Verdicts are the judge's; null for a step that is open.
	Verdicts []*Verdict `json:"verdicts,omitempty"`

	Trajectory *FinalLabel `json:"trajectory,omitempty"`

	// Open lists what is still to be asked, None what cannot be had; neither is a label.
	Open []Gap `json:"open,omitempty"`
	None []Gap `json:"none,omitempty"`
}

// Gap is why some steps lack a part, or the trajectory its reward (part "trajectory", no steps).
type Gap struct {
	Part   string `json:"part"`
	Steps  []int  `json:"steps,omitempty"`
	Reason string `json:"reason"`
}

// label makes the labels of one trajectory.
func (r *run) label(ctx context.Context, n int, t *data.Trajectory, c *Case) (*Row, error) {
	labelled := *t // the caller's is left as it was
	row := &Row{Trajectory: &labelled, Made: Made{Row: n, Parts: map[Part][]*float64{}, Fusion: r.Fusion, Use: r.Parts}}
	m := &row.Made
	everyStep := make([]int, len(c.Thinking))
	for i := range everyStep {
		everyStep[i] = i
	}
	missing := func(gaps *[]Gap, part string, reason string) {
		if reason != "" {
			*gaps = append(*gaps, Gap{part, everyStep, reason})
		}
	}
	if r.Encoder != nil && len(c.Thinking) > 0 {
		g, open, err := r.geometry(ctx, c)
		if err != nil {
			return nil, fmt.Errorf("trajectory %q: %w", c.ID, err)
		}
		m.Encoder, m.Pairing = r.Encoder.ID(), r.Pairing
		if open != "" {
			missing(&m.Open, string(Align), open)
			missing(&m.Open, string(Coherent), open)
		} else {
			m.To = g.To
			m.Parts[Align], m.Parts[Coherent] = pointers(g.Align, len(c.Thinking)), pointers(g.Coherence, len(c.Thinking))
			missing(&m.None, string(Align), g.NoAlign)
			missing(&m.None, string(Coherent), g.NoCoherence)
		}
	}
	if r.Judge != nil && len(c.Thinking) > 0 {
		o, err := r.quality(ctx, r.Judge, c)
		if err != nil {
			return nil, fmt.Errorf("trajectory %q: %w", c.ID, err)
		}
		m.Judge, m.Sees, m.Verdicts = r.Judge.ID(), r.Judge.Sees(), o.verdicts
		quality := make([]*float64, len(c.Thinking))
		for i, v := range o.verdicts {
			switch {
			case v == nil:
				addGap(&m.Open, string(Quality), o.open[i], i)
			case v.Unchecked != "":
				addGap(&m.None, string(Quality), v.Unchecked, i)
			default:
				quality[i] = data.Float(v.Score)
			}
		}
		m.Parts[Quality] = quality
	}
	labels := data.Labels{Steps: make([]*float64, len(c.Thinking)+len(c.Response)), Extra: maps.Clone(t.Labels.Extra)}
	m.Weights = make([][]float64, len(c.Thinking))
	for i := range c.Thinking {
		raw := map[Part]float64{}
		for part, values := range m.Parts {
			if values[i] != nil {
				raw[part] = *values[i]
			}
		}
		if reward, weights, ok := r.Fusion.Fuse(raw, r.Parts); ok {
			labels.Steps[i], m.Weights[i] = &reward, weights
		}
	}
	if r.Final.Kind != NoFinal {
		f, err := r.final(ctx, c)
		if err != nil {
			return nil, fmt.Errorf("trajectory %q: %w", c.ID, err)
		}
		m.Trajectory, labels.Trajectory = f, f.Reward
		if f.Open != "" {
			m.Open = append(m.Open, Gap{Part: partTrajectory, Reason: f.Open})
		}
		if f.None != "" {
			m.None = append(m.None, Gap{Part: partTrajectory, Reason: f.None})
		}
	}
	return row, row.attach(c, labels)
}

const partTrajectory = "trajectory"

// attach puts the labels into the trajectory, with its steps as they were cut, so that no other splitter can move the labels.
// Labels that it had are kept as labels.given.
func (row *Row) attach(c *Case, labels data.Labels) error {
	if labels.Extra == nil {
		labels.Extra = map[string]json.RawMessage{}
	}
	if old := row.Labels; len(old.Steps) > 0 || old.Trajectory != nil {
		given, err := json.Marshal(struct {
			Steps      []*float64 `json:"steps,omitempty"`
			Trajectory *float64   `json:"trajectory,omitempty"`
		}{old.Steps, old.Trajectory})
		if err != nil {
			return err
		}
		labels.Extra["given"] = given
	}
	var made bytes.Buffer
	e := json.NewEncoder(&made)
	e.SetEscapeHTML(false)
	if err := e.Encode(row.Made); err != nil {
		return fmt.Errorf("trajectory %q: %w", row.ID, err)
	}
	labels.Extra["made"] = bytes.TrimSpace(made.Bytes())
	labels.Weights, labels.TrajectoryWeight = row.Labels.Weights, row.Labels.TrajectoryWeight
	row.Steps, row.ResponseSteps, row.Labels = c.Thinking, c.Response, labels
	return nil
}

func addGap(gaps *[]Gap, part, reason string, step int) {
	i := slices.IndexFunc(*gaps, func(g Gap) bool { return g.Part == part && g.Reason == reason })
	if i < 0 {
		i = len(*gaps)
		*gaps = append(*gaps, Gap{Part: part, Reason: reason})
	}
	(*gaps)[i].Steps = append((*gaps)[i].Steps, step)
}

// pointers are n values, or n times none.
func pointers(values []float64, n int) []*float64 {
	out := make([]*float64, n)
	for i := range values {
		out[i] = &values[i]
	}
	return out
}
