package nn

import (
	"context"
	"errors"
	"fmt"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/nnet"
	"gorgonia.org/tensor"
)

// Batch is a packed micro-batch, see [data.Pack], with what an [Expr] reads by name beside it.
type Batch struct {
	*data.Batch
	// Inputs are tensors of float32 or float64, such as a pair matrix [P, R].
	Inputs map[string]*tensor.Dense
}

// Scores are a batch's read-outs, in its order.
type Scores struct {
	Values []float64 // [R] after the activation
	Logits []float64 // [R·C] before it: C is 1 for a scalar head, 2 for a two-class one
}

// Hidden computes the final hidden states of one text's tokens, [T, hidden], after the last norm.
func (n *Network) Hidden(ctx context.Context, ids []int32) (*tensor.Dense, error) {
	b := Batch{Batch: &data.Batch{
		Tokens: ids, Positions: make([]int32, len(ids)), CuSeqlens: []int32{0, int32(len(ids))}, Parents: []int32{-1},
	}}
	for i := range b.Positions {
		b.Positions[i] = int32(i)
	}
	done, err := n.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	if err := n.check(b); err != nil {
		return nil, err
	}
	hidden, err := n.trunk.Hidden(ctx, b.Batch)
	if err != nil {
		return nil, err
	}
	return n.dense(hidden, len(ids), n.folder.Config.HiddenSize)
}

// Features are the hidden states at the batch's read-outs, [R, hidden].
func (n *Network) Features(ctx context.Context, b Batch) (*tensor.Dense, error) {
	done, err := n.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	if err := n.check(b); err != nil {
		return nil, err
	}
	features, err := n.trunk.FeatureValues(ctx, b.Batch)
	if err != nil {
		return nil, err
	}
	return n.dense(features, len(b.Reads), n.folder.Config.HiddenSize)
}

// Score evaluates the head, or the expression's Values, at every read-out of the batch.
func (n *Network) Score(ctx context.Context, b Batch) (Scores, error) {
	done, err := n.begin(ctx)
	if err != nil {
		return Scores{}, err
	}
	defer done()
	micro, err := n.micro(ctx, b)
	if err != nil {
		return Scores{}, err
	}
	s, err := n.trainer.Score(ctx, micro)
	return Scores(s), err
}

// CheckExpr compares the gradients of Options.Expr on a batch with central differences of its loss, by features, logits, hidden
// states and parameters. It changes nothing.
func (n *Network) CheckExpr(ctx context.Context, b Batch) error {
	if n.options.Expr == nil {
		return errors.New("CheckExpr: the network has no Options.Expr")
	}
	done, err := n.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	micro, err := n.micro(ctx, b)
	if err != nil {
		return err
	}
	return n.trainer.InspectOuter(ctx, micro, func(outer *nnet.Outer) error { return compareExpr(custom(n.options.Expr), outer) })
}

// micro brings a batch into the form that the network runs; for Train Head the trunk computes the features.
func (n *Network) micro(ctx context.Context, b Batch) (nnet.MicroBatch, error) {
	m := nnet.MicroBatch{Batch: b.Batch, Inputs: b.Inputs}
	if err := n.check(b); err != nil {
		return m, err
	}
	if n.trunk == n.trainer {
		return m, nil
	}
	var err error
	m.Features, err = n.trunk.Features(ctx, b.Batch)
	return m, err
}

// dense makes a tensor in the dtype of parameters.
func (n *Network) dense(v []float64, shape ...int) (*tensor.Dense, error) {
	return toDense(tensor.New(tensor.WithShape(shape...), tensor.WithBacking(v)), n.trainer.Spec().Params())
}

// check refuses a batch that no network can run.
func (n *Network) check(b Batch) error {
	if b.Batch == nil {
		return errors.New("a batch is nil")
	}
	if err := b.Validate(); err != nil {
		return err
	}
	for i, id := range b.Tokens {
		if id < 0 || int(id) >= n.folder.Config.VocabSize {
			return fmt.Errorf("token %d: id %d is not in the vocabulary of %d", i, id, n.folder.Config.VocabSize)
		}
	}
	return nil
}
