package ops

import (
	"github.com/goprm/goprm/internal/engine"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// LogProbState is how many numbers of a row LogProbBlock carries from block to block: the largest logit so far, Σ e^(logit−largest),
// and the label's own logit.
const LogProbState = 3

// LogProbBlock holds the first token of a block of the vocabulary.
type LogProbBlock struct{ From int }

// LogProbBlock folds the logits [R, N] of one block of the vocabulary into the state [R, LogProbState] of the blocks before it, nil
// for the first. labels i32 [R] are tokens of the whole vocabulary. Nothing is differentiable: it is for scoring.
func (b *Builder) LogProbBlock(logits, labels, state *gorgonia.Node, from int) *gorgonia.Node {
	if !b.hasShape("log_prob_block", "logits", logits, -1, -1) || !b.hasShape("log_prob_block", "labels", labels, logits.Shape()[0]) {
		return nil
	}
	in := gorgonia.Nodes{logits, labels}
	if state != nil {
		if !b.hasShape("log_prob_block", "state", state, logits.Shape()[0], LogProbState) {
			return nil
		}
		in = append(in, state)
	}
	op := &engine.Op{Kernel: "log_prob_block", Attr: LogProbBlock{from}, Rows: engine.Reads, Differentiable: make([]bool, len(in))}
	return b.apply(op, logits.Dtype(), tensor.Shape{logits.Shape()[0], LogProbState}, in...)
}

// LogProb is the log-probability of each row's label, after the last block: [R, 1].
func (b *Builder) LogProb(state *gorgonia.Node) *gorgonia.Node {
	if !b.hasShape("log_prob", "state", state, -1, LogProbState) {
		return nil
	}
	op := &engine.Op{Kernel: "log_prob", Rows: engine.Reads, Differentiable: []bool{false}}
	return b.apply(op, state.Dtype(), tensor.Shape{state.Shape()[0], 1}, state)
}
