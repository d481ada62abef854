package nnet

import (
	"fmt"

	"github.com/goprm/goprm/internal/engine"
)

// gradientSum adds the gradients of micro-batches 0, 1, 2, ... in a chain, ((0+1)+2)+3 ...: the order is fixed, and there are two copies
// of the gradients, the sum and the newest micro-batch's, however many micro-batches there are.
type gradientSum struct {
	optim *optimizer
	sum   []*engine.Tensor // lies where it lay in the last step, so an update that was recorded stays good
	added int              // micro-batches in it
}

// add adds a micro-batch's gradients; grads is read, not kept.
func (s *gradientSum) add(grads []*engine.Tensor) error {
	if err := s.allocate(grads); err != nil {
		return err
	}
	for i, g := range grads {
		if !s.keeps(i) {
			continue
		}
		var err error
		if s.added == 0 {
			err = s.optim.launch("scale", engine.AddAttr{Scale: 1}, s.sum[i], g)
		} else {
			err = s.optim.launch(engine.AddKernel, engine.AddAttr{Scale: 1}, s.sum[i], s.sum[i], g)
		}
		if err != nil {
			return err
		}
	}
	s.added++
	return s.optim.net.backend.Sync()
}

// keeps reports whether this process sums a parameter's gradients: not if another rank owns it and ZeRO's stage is 2.
func (s *gradientSum) keeps(i int) bool {
	return s.optim.ranks == nil || s.optim.ranks.stage == 1 || s.optim.owns(i)
}

func (s *gradientSum) allocate(like []*engine.Tensor) error {
	for i := len(s.sum); i < len(like); i++ { // as far as an earlier try did not come
		if !s.keeps(i) {
			s.sum = append(s.sum, nil)
			continue
		}
		t := engine.NewTensor(nil, like[i].Dtype(), like[i].Shape(), nil)
		var err error
		if t.Ptr, err = s.optim.net.backend.Alloc(int(t.MemSize())); err != nil {
			return fmt.Errorf("the sum of the gradients of %s: %w", s.optim.names[i], err)
		}
		s.sum = append(s.sum, t)
	}
	return nil
}
