package data

import "fmt"

// Kind tells what a read-out is about.
type Kind uint8

const (
	Step  Kind = iota // one step
	Final             // the whole trajectory
)

func (k Kind) String() string {
	if k == Step {
		return "step"
	}
	return "final"
}

// Part tells which part of a trajectory a step belongs to.
type Part uint8

const (
	Thinking Part = iota
	Response
	Whole // of a Final read-out
)

func (p Part) String() string { return [...]string{"thinking", "response", "whole"}[min(p, Whole)] }

// ReadOut is a token at which the value head is evaluated; Pos indexes the tokens of its Example.
type ReadOut struct {
	Pos  int32
	Kind Kind
	Part Part
	// Index of the step, over the thinking steps, then the response steps, whatever their order in the text; -1 of a Final.
	Index     int
	Target    float64 // if HasTarget
	HasTarget bool
	Weight    float64 // of the label, 1 unless given
}

// Example is a trajectory as tokens with read-outs.
type Example struct {
	ID     string
	Tokens []int32
	// Reads are in the order of their positions, the Final one, if there is one, last.
	Reads   []ReadOut
	Problem ProblemKey
	Window  int // which part of a longer text it is, see Windows
}

// labelled counts the labelled steps and tells whether the trajectory has a label.
func (e *Example) labelled() (steps int, final bool) {
	for _, r := range e.Reads {
		switch {
		case !r.HasTarget:
		case r.Kind == Step:
			steps++
		default:
			final = true
		}
	}
	return steps, final
}

func (e *Example) check() error {
	for _, r := range e.Reads {
		if r.Pos < 0 || int(r.Pos) >= len(e.Tokens) {
			return fmt.Errorf("example %q: %s read-out %d at position %d of %d tokens", e.ID, r.Kind, r.Index, r.Pos, len(e.Tokens))
		}
	}
	return nil
}

// Dropped counts what did not make it from trajectories into examples.
type Dropped struct {
	Trajectories int // dropped whole
	Truncated    int // cut, and kept in part
	Steps        int // without a read-out: cut off, or of a trajectory dropped whole
	StepLabels   int // labels of these steps
	FinalLabels  int // trajectory labels of trajectories cut or dropped
}

// Add adds other to d.
func (d *Dropped) Add(other Dropped) {
	d.Trajectories += other.Trajectories
	d.Truncated += other.Truncated
	d.Steps += other.Steps
	d.StepLabels += other.StepLabels
	d.FinalLabels += other.FinalLabels
}

// Balanced is the lambda_final of "balanced": one over the share of the examples that have a trajectory label, or 0 if none has.
func Balanced(examples []*Example) float64 {
	n := 0
	for _, e := range examples {
		if _, final := e.labelled(); final {
			n++
		}
	}
	if n == 0 {
		return 0
	}
	return float64(len(examples)) / float64(n)
}
