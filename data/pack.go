package data

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/goprm/goprm/loss"
)

// Batch is a packed micro-batch: segments laid end to end.
type Batch struct {
	Tokens    []int32 // [T] token ids
	Positions []int32 // [T] from 0 at the beginning of each trajectory
	CuSeqlens []int32 // [B+1] where each segment begins; the last entry is T
	// Parents [B] is each segment's parent segment, always an earlier one, or -1. A token attends to its own segment up to
	// itself and to all of its segment's ancestors.
	Parents []int32

	Reads      []int32   // [R] indices into Tokens; in a prefix tree several read-outs may share one
	Target     []float64 // [R] 0 where nobody labelled it
	Weight     []float64 // [R] factor of the squared error in the loss of the optimizer step; 0 where there is no target
	Kind       []Kind    // [R]
	Trajectory []int32   // [R] index of the example in the list that was packed
	Read       []int32   // [R] index of the read-out in that example's Reads
}

// PackOptions are the sizes and weights of an optimizer step.
type PackOptions struct {
	Tokens      int     // most tokens in a batch (memory only); a longer example is a batch of its own; 0: no limit
	N           int     // trajectories of a full optimizer step (batch.trajectories), also when fewer are left
	LambdaStep  float64 // of the step objective
	LambdaFinal float64 // of the trajectory objective
	Tree        bool    // a beginning that several examples share is stored once, as PackTree does
}

// Validate checks ranges: Tokens >= 0, N >= 1, finite factors of at least 0.
func (o PackOptions) Validate() error {
	switch {
	case o.Tokens < 0:
		return fmt.Errorf("tokens of a batch: %d is negative", o.Tokens)
	case o.N < 1:
		return fmt.Errorf("trajectories of an optimizer step: %d is less than 1", o.N)
	case !(o.LambdaStep >= 0) || math.IsInf(o.LambdaStep, 0):
		return fmt.Errorf("lambda_step: %v is not a finite number of at least 0", o.LambdaStep)
	case !(o.LambdaFinal >= 0) || math.IsInf(o.LambdaFinal, 0):
		return fmt.Errorf("lambda_final: %v is not a finite number of at least 0", o.LambdaFinal)
	}
	return nil
}

// Pack lays the examples of one optimizer step into batches for training. A labelled step of an example with T_b
// labelled steps weighs LambdaStep/(N*T_b), a trajectory's read-out LambdaFinal/N, each times its label's weight.
// Read-outs without a label are left out, and so are examples without any label: they add nothing to the loss.
// Each example goes into the first batch with room, in order, so the result depends on nothing but the arguments. Examples
// of one Group share a batch, which a group of more than opt.Tokens has to itself. With opt.Tree the order is that of PackTree, and
// examples of a Group are refused.
func Pack(examples []*Example, opt PackOptions) ([]*Batch, error) {
	if err := opt.Validate(); err != nil {
		return nil, err
	}
	if len(examples) > opt.N {
		return nil, fmt.Errorf("%d examples for an optimizer step of %d trajectories", len(examples), opt.N)
	}
	weights := loss.WeightOptions{Trajectories: opt.N, LambdaStep: opt.LambdaStep, LambdaFinal: opt.LambdaFinal}
	pack := firstFit
	if opt.Tree {
		if i := slices.IndexFunc(examples, func(e *Example) bool { return e.Group != "" }); i >= 0 {
			return nil, fmt.Errorf("example %q of group %q: a prefix tree keeps no groups together", examples[i].ID, examples[i].Group)
		}
		pack = packTree
	}
	return pack(examples, opt.Tokens, func(e *Example) []float64 { return e.LossWeights(weights) })
}

// PackAll lays the examples into batches for scoring: every read-out is kept, with weight 0.
func PackAll(examples []*Example, tokens int) ([]*Batch, error) {
	if tokens < 0 {
		return nil, fmt.Errorf("tokens of a batch: %d is negative", tokens)
	}
	return firstFit(examples, tokens, func(*Example) []float64 { return nil })
}

// LossWeights returns the weight of each of the example's read-outs in the loss, NaN where there is no label.
func (e *Example) LossWeights(o loss.WeightOptions) []float64 {
	steps := e.labelledSteps()
	weights := make([]float64, len(e.Reads))
	for i, r := range e.Reads {
		switch {
		case !r.HasTarget:
			weights[i] = math.NaN()
		case r.Kind == KindStep:
			weights[i] = o.Of(loss.Step, steps, r.Weight)
		default:
			weights[i] = o.Of(loss.Final, steps, r.Weight)
		}
	}
	return weights
}

// firstFit packs in order. weights returns a weight for each read-out of an example, NaN to leave it out; nil keeps all with weight 0.
func firstFit(examples []*Example, tokens int, weights func(*Example) []float64) ([]*Batch, error) {
	if tokens == 0 {
		tokens = math.MaxInt32
	}
	f := fit{tokens: tokens, groups: map[string]*Batch{}}
	together := map[string]int{}
	for _, e := range examples {
		if e.Group != "" {
			together[e.Group] += len(e.Tokens)
		}
	}
	for i, e := range examples {
		if len(e.Tokens) == 0 {
			return nil, fmt.Errorf("example %q has no tokens", e.ID)
		}
		if err := e.check(); err != nil {
			return nil, err
		}
		w := weights(e)
		for _, part := range e.windows() {
			if w != nil && allNaN(w[part.firstRead:part.lastRead]) {
				continue
			}
			into := f.groups[e.Group]
			if e.Group == "" || into == nil {
				into = f.room(max(part.to-part.from, together[e.Group]))
			}
			if e.Group != "" {
				f.groups[e.Group] = into
			}
			if len(into.Tokens)+part.to-part.from > math.MaxInt32 {
				return nil, errors.New("a batch of more than 2^31 tokens")
			}
			into.addWindow(int32(i), e, part, w)
			f.reserved[into] = max(f.reserved[into], len(into.Tokens))
		}
	}
	return f.batches, nil
}

// fit is the state of firstFit.
type fit struct {
	tokens   int
	batches  []*Batch
	reserved map[*Batch]int // tokens that are in a batch or will be, of groups that have begun
	groups   map[string]*Batch
}

// room returns the first batch that has room for so many tokens, or a new one, and reserves the room.
func (f *fit) room(size int) *Batch {
	for _, b := range f.batches {
		if f.reserved[b]+size <= f.tokens {
			f.reserved[b] += size
			return b
		}
	}
	b := &Batch{CuSeqlens: []int32{0}}
	f.batches = append(f.batches, b)
	if f.reserved == nil {
		f.reserved = map[*Batch]int{}
	}
	f.reserved[b] = size
	return b
}

func allNaN(w []float64) bool {
	for _, v := range w {
		if !math.IsNaN(v) {
			return false
		}
	}
	return true
}

func (b *Batch) addWindow(index int32, e *Example, part window, weights []float64) {
	start := int32(len(b.Tokens) - part.from)
	b.addSegment(-1, 0, e.Tokens[part.from:part.to])
	for i := part.firstRead; i < part.lastRead; i++ {
		w := 0.0
		if weights != nil {
			w = weights[i]
		}
		if !math.IsNaN(w) {
			b.addRead(start+e.Reads[i].Pos, w, index, int32(i), e.Reads[i])
		}
	}
}

// addSegment appends tokens whose first one has the given position, and returns the segment's number.
func (b *Batch) addSegment(parent, position int32, tokens []int32) int32 {
	for i := range tokens {
		b.Positions = append(b.Positions, position+int32(i))
	}
	b.Tokens = append(b.Tokens, tokens...)
	b.CuSeqlens = append(b.CuSeqlens, int32(len(b.Tokens)))
	b.Parents = append(b.Parents, parent)
	return int32(len(b.Parents) - 1)
}

func (b *Batch) addRead(at int32, weight float64, trajectory, read int32, r ReadOut) {
	b.Reads = append(b.Reads, at)
	b.Target = append(b.Target, r.Target)
	b.Weight = append(b.Weight, weight)
	b.Kind = append(b.Kind, r.Kind)
	b.Trajectory = append(b.Trajectory, trajectory)
	b.Read = append(b.Read, read)
}
