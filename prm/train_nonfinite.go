package prm

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/goprm/goprm/internal/checkpoint"
	"github.com/goprm/goprm/internal/nnet"
)

// passOver does what on_nonfinite says of a step that was not applied: an error ends the run.
func (t *trainer) passOver(step int, bad *nnet.NonFiniteError, micros []nnet.MicroBatch) error {
	policy, budget := t.c.OnNonFinite, *t.c.NonFiniteBudget
	if policy == "stop" {
		return fmt.Errorf("step %d: %w; %s", step, &NonFiniteStepError{bad.Tensor}, t.wayOut(step, micros))
	}
	if t.meta.NonFinite >= budget {
		return fmt.Errorf("step %d: %w; nonfinite_budget: %d steps were passed over already; %s", step, &NonFiniteStepError{bad.Tensor}, budget,
			t.wayOut(step, micros))
	}
	t.meta.NonFinite++
	how := "its batch is passed over"
	if policy == "rollback" {
		from, err := t.newestWhole()
		if err != nil {
			return fmt.Errorf("step %d: %w; on_nonfinite: rollback: %w", step, &NonFiniteStepError{bad.Tensor}, err)
		}
		var meta checkpointMeta
		if err := from.Meta(&meta); err != nil {
			return err
		}
		if err := t.restoreWeights(from, meta.Updates); err != nil {
			return err
		}
		how = fmt.Sprintf("the run goes on with the weights of step %d and the next batch", from.Step())
	}
	t.log.warnf("step %d: NaN or Inf in %s: %s (%d of nonfinite_budget: %d)", step, bad.Tensor, how, t.meta.NonFinite, budget)
	return nil
}

func (t *trainer) newestWhole() (*checkpoint.Checkpoint, error) {
	from, err := checkpoint.Newest(filepath.Join(t.c.Out, checkpointsName), func(string, string) {})
	if errors.Is(err, checkpoint.ErrNone) {
		return nil, errors.New("there is no checkpoint to go back to yet")
	}
	return from, err
}

// wayOut says what can be done about a step that cannot be taken. A resumption is advised only where the checkpoint's weights can take
// it: the order of batches is fixed, so from others it would end there again. It leaves the network with a checkpoint's weights.
func (t *trainer) wayOut(step int, micros []nnet.MicroBatch) string {
	const smaller = "a smaller optim.lr, optim.head_lr or optim.clip"
	from, err := t.newestWhole()
	switch {
	case step == 1:
		return "no update was made yet, so no learning rate helps: the model's numbers are too large for " + t.c.DType + ", or a label is"
	case err != nil:
		return "there is no checkpoint yet: begin anew with " + smaller
	}
	intact := fmt.Sprintf("the checkpoint of step %d is intact", from.Step())
	if t.restoreWeights(from, 0) == nil {
		if _, _, err := t.network.Gradients(context.Background(), micros); err == nil {
			return fmt.Sprintf("%s: resume from it with %s", intact, smaller)
		}
	}
	return fmt.Sprintf("%s, but its weights cannot take this step either: begin a new run with %s", intact, smaller)
}
