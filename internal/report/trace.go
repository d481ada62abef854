package report

import (
	"fmt"
	"hash/fnv"
	"html/template"
	"math"
	"strconv"
	"strings"

	"github.com/goprm/goprm/internal/richtext"
)

// Traces is a browser of trajectories: one or two of them at a time, to search, to order by score and to jump through.
type Traces struct {
	Title string
	List  []Steps
}

// Steps shows one trajectory, each step's text on a colour that follows its score, or its label if the trajectory has no scores.
type Steps struct {
	Title   string
	Problem string // shown first; may be empty. Trajectories of one problem are offered to be compared
	Note    string // a line under the title
	First   int    // number of the first step; 0: 1
	Focus   int    // number of the step that the title speaks of; 0: none
	Scale   Scale
	Steps   []Step
}

// Scale says what scores mean; the zero value is that of probabilities, from 0 to 1 with the threshold 0.5.
type Scale struct{ Low, Threshold, High float64 }

// Step is one step of a trajectory.
type Step struct {
	Part  string // such as "thinking"; shown where it changes
	Text  string // Markdown with LaTeX
	Score float64
	Label float64 // what the step was labelled; NaN: nothing
}

func (s Scale) filled() Scale {
	if !(s.Low < s.High) {
		return Scale{0, 0.5, 1}
	}
	return s
}

// levels is how many shades there are on either side of the threshold.
const levels = 3

// shade is the class of a value: lo1 to lo3 below the threshold, hi1 to hi3 from it on, none for NaN.
func (s Scale) shade(v float64) string {
	if math.IsNaN(v) {
		return "none"
	}
	name, share := "hi", (v-s.Threshold)/(s.High-s.Threshold)
	if v < s.Threshold {
		name, share = "lo", (s.Threshold-v)/(s.Threshold-s.Low)
	}
	return name + strconv.Itoa(1+int(math.Max(0, math.Min(levels-1, math.Floor(share*levels)))))
}

type stepView struct {
	Number       int
	Part         string // its own
	Heading      string // the part, only where it differs from the step before
	Body         template.HTML
	Shade        string
	Value        string // of the data attributes; "" if there is none
	Gap          string // |score − label|
	Mark         string // ▲ or ▼
	Score, Label string
	Wrong        bool // below the threshold
	Differs      bool // score and label lie on different sides of their thresholds
}

type traceView struct {
	ID, Title, Note, Facts string
	Focus                  int
	Group                  string // the same for trajectories of the same problem; "": none is given
	Open                   bool
	Problem                template.HTML
	Labels                 bool // values are labels
	Labelled               bool // some step has one
	Curve                  curveView
	Threshold              string
	Steps                  []stepView
}

type tracesView struct {
	ID, Title string
	List      []traceView
	Many      bool
	Called    string // what one of many is called where it is chosen
	Both      bool   // scores and labels
	Labels    bool
	Threshold string
}

func (s Steps) view() (string, any) { return Traces{List: []Steps{s}}.view() }

func (t Traces) view() (string, any) {
	v := tracesView{Title: t.Title, Many: len(t.List) > 1, Called: "Trajectory"}
	for i, s := range t.List {
		one := s.trace()
		one.Open = i == 0
		v.Labels, v.Threshold = one.Labels, one.Threshold
		for _, step := range s.Steps {
			v.Both = v.Both || !math.IsNaN(step.Score) && !math.IsNaN(step.Label)
		}
		v.List = append(v.List, one)
	}
	return "traces", v
}

func (s Steps) trace() traceView {
	scale, labels := s.Scale.filled(), s.labelsOnly()
	if labels {
		scale = Scale{}.filled()
	}
	facts := s.facts(scale, labels)
	v := traceView{Title: s.Title, Note: s.Note, Facts: facts, Focus: s.Focus, Group: groupOf(s.Problem), Labels: labels,
		Threshold: number(scale.Threshold), Curve: s.curve(scale, labels, facts)}
	if s.Problem != "" {
		v.Problem = template.HTML(richtext.HTML(s.Problem))
	}
	part := ""
	for i, step := range s.Steps {
		view := step.view(scale, labels)
		v.Labelled = v.Labelled || !math.IsNaN(step.Label)
		view.Number = max(1, s.First) + i
		if step.Part != part {
			part = step.Part
			view.Heading = part
		}
		v.Steps = append(v.Steps, view)
	}
	return v
}

func groupOf(problem string) string {
	if problem == "" {
		return ""
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(problem))
	return strconv.FormatUint(h.Sum64(), 36)
}

// labelsOnly tells whether the trajectory has labels and no scores.
func (s Steps) labelsOnly() bool {
	labelled := false
	for _, step := range s.Steps {
		if !math.IsNaN(step.Score) {
			return false
		}
		labelled = labelled || !math.IsNaN(step.Label)
	}
	return labelled
}

// value is what colours and orders a step.
func (s Step) value(labels bool) float64 {
	if labels {
		return s.Label
	}
	return s.Score
}

func (s Step) view(scale Scale, labels bool) stepView {
	v := stepView{Part: s.Part, Body: template.HTML(richtext.HTML(s.Text))}
	value := s.value(labels)
	v.Shade = scale.shade(value)
	if !math.IsNaN(value) {
		v.Value, v.Mark, v.Wrong = precise(value), "▲", value < scale.Threshold
		if v.Wrong {
			v.Mark = "▼"
		}
	}
	switch {
	case labels && math.IsNaN(s.Label):
		v.Label = "no label"
	case labels:
		v.Score, v.Label = precise(s.Label), "label"
	case math.IsNaN(s.Score):
		v.Label = "no score"
	default:
		v.Score = precise(s.Score)
	}
	if !labels && !math.IsNaN(s.Label) {
		v.Label = "label " + number(s.Label)
		if !math.IsNaN(s.Score) {
			v.Gap = precise(math.Abs(s.Score - s.Label))
			v.Differs = (s.Score >= scale.Threshold) != (s.Label >= 0.5)
		}
	}
	return v
}

// precise writes a score with as many places as any other, number a label or a threshold with as many as it needs.
func precise(v float64) string { return strconv.FormatFloat(v, 'f', 3, 64) }

func number(v float64) string {
	return strings.TrimSuffix(strings.TrimRight(precise(v), "0"), ".")
}

// facts is the line beside a trajectory's title.
func (s Steps) facts(scale Scale, labels bool) string {
	lowest, at, below, known := math.Inf(1), 0, 0, 0
	for i, step := range s.Steps {
		v := step.value(labels)
		if math.IsNaN(v) {
			continue
		}
		known++
		if v < lowest {
			lowest, at = v, max(1, s.First)+i
		}
		if v < scale.Threshold {
			below++
		}
	}
	text := fmt.Sprintf("%d steps", len(s.Steps))
	if len(s.Steps) == 1 {
		text = "1 step"
	}
	if known > 0 {
		text += fmt.Sprintf(" · lowest %s at step %d · %d below %s", precise(lowest), at, below, number(scale.Threshold))
	}
	if known < len(s.Steps) && labels {
		text += fmt.Sprintf(" · %d without a label", len(s.Steps)-known)
	}
	return text
}
