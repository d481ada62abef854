package nnet

import (
	"context"
	"fmt"

	"github.com/goprm/goprm/internal/engine"
)

// gradientSum adds the gradients of micro-batches 0, 1, 2, ... in a chain, ((0+1)+2)+3 ...: the order is fixed. Each gradient is added as
// it comes, and its memory is used for something else then. With ZeRO's stage 2, where gradients are exchanged first, and with custom heads
// there are two copies: the sum and the newest micro-batch's.
type gradientSum struct {
	optim  *optimizer
	sum    []*engine.Tensor // lies where it lay in the last step, so an update that was recorded stays good
	added  int              // micro-batches in it
	brief  bool             // this step's gradients are added as they come
	passes map[passKey]*engine.Sequence
}

// passKey tells backward passes apart that end in the sum: of the first micro-batch, which begins it, and of later ones.
type passKey struct {
	machine *engine.Machine
	first   bool
}

// begin begins a step of so many micro-batches. Once there is a sum a single one's gradients are added too, so that their memory is not
// taken besides.
func (s *gradientSum) begin(microBatches int) {
	r := s.optim.ranks
	s.added, s.brief = 0, (r == nil || r.stage == 1) && s.optim.net.custom == nil && (microBatches > 1 || s.sum != nil)
}

// reserve compiles the machine of a step's backward passes for the largest of the batches.
func (s *gradientSum) reserve(batches []MicroBatch) (*engine.Machine, error) {
	n, need := s.optim.net, Capacity{}
	for _, b := range batches {
		need = need.Union(n.need(b))
	}
	if !s.brief {
		return n.machine(outGradients, need)
	}
	if n.machines[outGradients] != nil { // whose gradients' memory the sum takes
		if err := n.compile(n.capacity); err != nil {
			return nil, err
		}
	}
	var like []*engine.Tensor
	for _, g := range n.graph.Grads {
		like = append(like, engine.NewTensor(nil, g.Dtype(), g.Shape(), nil))
	}
	if err := s.allocate(like); err != nil {
		return nil, err
	}
	return n.machine(outSums, need)
}

// run runs a machine of outSums and adds its gradients.
func (s *gradientSum) run(ctx context.Context, m *engine.Machine) error {
	key := passKey{m, s.added == 0}
	if s.passes[key] == nil {
		adds, err := s.adds(m)
		if err != nil {
			return err
		}
		pass, err := m.Interleave(adds)
		if err != nil {
			return err
		}
		if s.passes == nil {
			s.passes = map[passKey]*engine.Sequence{}
		}
		s.passes[key] = pass
	}
	if err := m.RunInterleaved(ctx, s.passes[key]); err != nil {
		return err
	}
	s.added++
	return nil
}

// adds are the launches that begin the sum with a machine's gradients, or add them to it.
func (s *gradientSum) adds(m *engine.Machine) (adds []engine.Insert, err error) {
	for i, node := range s.optim.net.graph.Grads {
		op, in := engine.AddKernel, []*engine.Tensor{s.sum[i], m.Output(node)}
		if s.added == 0 {
			op, in = "scale", in[1:]
		}
		add, err := s.optim.compile(op, engine.AddAttr{Scale: 1}, s.sum[i], in...)
		if err != nil {
			return nil, err
		}
		adds = append(adds, engine.Insert{After: m.Ready(node), Launch: add})
	}
	return adds, nil
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
