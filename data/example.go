package data

import (
	"fmt"
	"slices"
)

// Kind tells what a read-out is about.
type Kind uint8

const (
	KindStep       Kind = iota // one step
	KindTrajectory             // the whole trajectory
)

func (k Kind) String() string {
	if k == KindStep {
		return "step"
	}
	return "final"
}

// Part tells which part of a trajectory a step belongs to.
type Part uint8

const (
	PartThinking Part = iota
	PartResponse
	PartTrajectory // of a read-out of KindTrajectory
)

func (p Part) String() string {
	return [...]string{"thinking", "response", "whole"}[min(p, PartTrajectory)]
}

// ReadOut is a token at which the value head is evaluated; Pos indexes the tokens of its Example.
type ReadOut struct {
	Pos  int32
	Kind Kind
	Part Part
	// Index of the step, over the thinking steps, then the response steps, whatever their order in the text; -1 for KindTrajectory.
	Index     int
	Target    float64 // if HasTarget
	HasTarget bool
	Weight    float64 // of the label, 1 unless given
	Window    int     // of a text that is too long: which part of it
}

// Weighs reports whether the read-out has a label that weighs something.
func (r ReadOut) Weighs() bool { return r.HasTarget && r.Weight > 0 }

// Example is a trajectory as tokens with read-outs.
type Example struct {
	ID     string
	Tokens []int32
	// Reads are in the order of their positions, that of the trajectory, if there is one, last.
	Reads   []ReadOut
	Problem ProblemKey
	// Windows is where each further window of a text that is too long begins in Tokens, see Windows; nil: it is one text.
	Windows []int32
	// Group, if not empty, names the examples that a loss needs in one batch, such as the two answers of a pair.
	Group string
}

// window is a stretch of an example that is a text of its own.
type window struct {
	from, to            int // tokens
	firstRead, lastRead int // read-outs [firstRead, lastRead)
}

// windows are the example's texts: it as a whole, if it is not too long.
func (e *Example) windows() []window {
	list := make([]window, 0, 1+len(e.Windows))
	read := 0
	for i := range 1 + len(e.Windows) {
		w := window{to: len(e.Tokens), firstRead: read}
		if i > 0 {
			w.from = int(e.Windows[i-1])
		}
		if i < len(e.Windows) {
			w.to = int(e.Windows[i])
		}
		for read < len(e.Reads) && int(e.Reads[read].Pos) < w.to {
			read++
		}
		w.lastRead = read
		list = append(list, w)
	}
	return list
}

// Longest is how many tokens its longest text has.
func (e *Example) Longest() int {
	longest := 0
	for _, w := range e.windows() {
		longest = max(longest, w.to-w.from)
	}
	return longest
}

// join makes one example of a trajectory's windows.
func join(list []*Example) *Example {
	whole := *list[0]
	whole.Tokens, whole.Reads = slices.Clone(whole.Tokens), slices.Clone(whole.Reads)
	for _, e := range list[1:] {
		begin := int32(len(whole.Tokens))
		whole.Windows = append(whole.Windows, begin)
		whole.Tokens = append(whole.Tokens, e.Tokens...)
		for _, r := range e.Reads {
			r.Pos += begin
			whole.Reads = append(whole.Reads, r)
		}
	}
	return &whole
}

// labelledSteps counts the labelled steps, whatever their weights.
func (e *Example) labelledSteps() int {
	steps := 0
	for _, r := range e.Reads {
		if r.HasTarget && r.Kind == KindStep {
			steps++
		}
	}
	return steps
}

func (e *Example) check() error {
	for _, r := range e.Reads {
		if r.Pos < 0 || int(r.Pos) >= len(e.Tokens) {
			return fmt.Errorf("example %q: %s read-out %d at position %d of %d tokens", e.ID, r.Kind, r.Index, r.Pos, len(e.Tokens))
		}
	}
	end := int32(0)
	for i, begin := range e.Windows {
		if begin <= end || int(begin) >= len(e.Tokens) {
			return fmt.Errorf("example %q: window %d begins at token %d of %d", e.ID, i+1, begin, len(e.Tokens))
		}
		end = begin
	}
	return nil
}

// Dropped counts what did not make it from trajectories into examples.
type Dropped struct {
	Trajectories     int // dropped whole
	Truncated        int // cut, and kept in part
	Steps            int // without a read-out: cut off, or of a trajectory dropped whole
	StepLabels       int // labels of these steps
	TrajectoryLabels int // trajectory labels of trajectories cut or dropped
}

// Add adds other to d.
func (d *Dropped) Add(other Dropped) {
	d.Trajectories += other.Trajectories
	d.Truncated += other.Truncated
	d.Steps += other.Steps
	d.StepLabels += other.StepLabels
	d.TrajectoryLabels += other.TrajectoryLabels
}

// Balanced is the lambda_final of "balanced": one over the share of the examples that have a trajectory label which weighs
// something, or 0 if none has.
func Balanced(examples []*Example) float64 {
	n := 0
	for _, e := range examples {
		for _, r := range e.Reads {
			if r.Kind == KindTrajectory && r.Weighs() {
				n++
				break
			}
		}
	}
	if n == 0 {
		return 0
	}
	return float64(len(examples)) / float64(n)
}
