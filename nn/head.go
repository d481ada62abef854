package nn

import (
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/nnet"
	"github.com/goprm/goprm/loss"
	"gorgonia.org/gorgonia"
)

// head adds the value head: logits and values of each read-out.
func (g *network) head() {
	if g.Err() != nil {
		return
	}
	switch spec := g.Spec.Head; spec.Kind {
	case nnet.Scalar:
		if spec.Final == "own" {
			g.Logits = g.Pick(g.headLinear(g.Features, "score", 2), g.Column) // [R, 1]
		} else {
			g.Logits = g.headLinear(g.Features, "score", 1) // [R, 1]
		}
		g.Values = g.Logits
		if spec.Activation == "sigmoid" {
			g.Values = g.Sigmoid(g.Logits) // [R, 1]
		}
	case nnet.LinearTwoClass:
		g.Logits = g.headLinear(g.Features, "score", 2) // [R, 2]
		g.Values = g.PositiveProb(g.Logits)             // [R, 1]
	case nnet.TwoClassMLP:
		inner := g.ReLU(g.headLinear(g.Features, "score.0", g.Spec.Config.HiddenSize)) // [R, D]
		g.Logits = g.headLinear(inner, "score.2", 2)                                   // [R, 2]
		g.Values = g.PositiveProb(g.Logits)                                            // [R, 1]
	case nnet.TokenLogProb:
		g.Logits = g.logProb() // [R, 1]
		g.Values = g.Logits
	}
}

func (g *network) headLinear(x *gorgonia.Node, name string, out int) *gorgonia.Node {
	train := g.Spec.Train != nnet.TrainNothing
	w := g.Parameter(name+".weight", train, true, out, g.Spec.Config.HiddenSize)
	return g.Linear(engine.Reads, x, w, g.Parameter(name+".bias", train, true, out), train, train)
}

// logProb reads the log-probability of each read-out's label under the language model's own head, a block of tokens at a time.
func (g *network) logProb() *gorgonia.Node {
	var state *gorgonia.Node
	for _, b := range nnet.VocabularyBlocks(g.Spec.Config.VocabSize) {
		w := g.Matrix(b.Name, b.To-b.From, g.Spec.Config.HiddenSize)
		state = g.LogProbBlock(g.Linear(engine.Reads, g.Features, w, nil, false, false), g.Column, state, b.From) // [R, 3]
		if g.Err() != nil {
			return nil
		}
	}
	return g.LogProb(state) // [R, 1]
}

// objective adds the loss over all read-outs.
func (g *network) objective() {
	switch g.Spec.Loss {
	case loss.BCE:
		g.Loss = g.BCE(g.Logits, g.Target, g.Weight)
	case loss.CE:
		g.Loss = g.CE(g.Logits, g.Target, g.Weight)
	default:
		g.Loss = g.SquaredError(g.Values, g.Target, g.Weight)
	}
}
