package prm

import (
	"context"
	"fmt"
	"math"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/mmap"
	"github.com/goprm/goprm/internal/nnet"
	"github.com/goprm/goprm/internal/prefix"
)

// readTexts reads texts together. Where that fails it reads each by itself, so that an error is that of its own text alone.
func (m *Model) readTexts(ctx context.Context, texts []*queued) {
	err := m.readTogether(ctx, texts)
	for i, t := range texts {
		if t.err = err; err == nil || len(texts) == 1 || m.lost() != nil {
			continue
		}
		if t.err = t.call.ctx.Err(); t.err == nil {
			t.err = m.readTogether(t.call.ctx, texts[i:i+1])
		}
	}
}

// readTogether runs the network over the texts. A panic is an error: it concerns these texts, and others may do without what broke. A
// weight file or a device that is lost concerns all texts.
func (m *Model) readTogether(ctx context.Context, texts []*queued) error {
	if err := m.lost(); err != nil {
		return err
	}
	err := m.tryTogether(ctx, texts)
	if other := m.folder.Verify(); other != nil { // whatever came of it
		m.queue.lose(other)
		return other
	}
	switch {
	case mmap.Lost(err):
		err = &LostError{err}
	case engine.DeviceLost(err):
		err = &DeviceLostError{m.device(), err}
	default:
		return err
	}
	m.queue.lose(err)
	return err
}

func (m *Model) tryTogether(ctx context.Context, texts []*queued) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("internal error: %v", r)
		}
	}()
	var list []*data.Example
	budget, session, uncached := texts[0].call.budget, false, false
	for _, t := range texts {
		list = append(list, t.examples...)
		budget, session, uncached = min(budget, t.call.budget), session || t.session, uncached || t.uncached
	}
	if session {
		if err := m.startCache(); err != nil {
			return err
		}
	}
	batches, err := packShared(list, budget, m.folder.Config)
	if err != nil {
		return err
	}
	values, reused := newReadScores(list), make([]int, len(list))
	for _, batch := range batches {
		s, err := m.readBatch(ctx, batch, list, reused, uncached)
		if err != nil {
			return err
		}
		values.put(batch, s, 0)
	}
	first := 0
	for _, t := range texts {
		next := first + len(t.examples)
		t.values, t.reused = values.values[first:next], 0
		if t.uncached {
			t.logits = values.logits[first:next]
		}
		for _, n := range reused[first:next] {
			t.reused += n
		}
		first = next
	}
	return nil
}

// readBatch returns the scores of a batch's read-outs, computing what no earlier text has brought, and adds to reused, by example, the
// tokens that were not computed. Uncached, all is computed, and nothing is kept.
func (m *Model) readBatch(ctx context.Context, batch *data.Batch, list []*data.Example, reused []int, uncached bool) (nnet.Scores, error) {
	if m.prefixes == nil || uncached {
		return m.compute(ctx, nnet.MicroBatch{Batch: batch}, list)
	}
	plan := m.prefixes.Plan(batch)
	defer plan.Drop() // also if the network panics
	var s nnet.Scores
	if len(plan.Tokens) > 0 {
		var err error
		if s, err = m.compute(ctx, plan.MicroBatch, list); err != nil {
			return s, err
		}
	}
	countReused(batch, plan, list, reused)
	return nnet.Scores{Values: plan.Done(s.Values)}, nil
}

// countReused counts what a plan spares each text: up to the segment of its last read-out.
func countReused(batch *data.Batch, plan *prefix.Plan, list []*data.Example, reused []int) {
	type text struct{ example, window int }
	longest := map[text]int{}
	for i, at := range batch.Trajectory {
		t := text{int(at), list[at].Reads[batch.Read[i]].Window}
		longest[t] = max(longest[t], int(plan.Reused[i]))
	}
	for t, n := range longest {
		reused[t.example] += n
	}
}

// checkFinite looks for what makes every score NaN.
func (m *Model) checkFinite() error {
	err := m.folder.CheckFinite(nil)
	if err == nil && m.referenceFolder != nil {
		err = m.referenceFolder.CheckFinite(nil)
	}
	return err
}

// compute runs the network over a batch.
func (m *Model) compute(ctx context.Context, micro nnet.MicroBatch, list []*data.Example) (nnet.Scores, error) {
	batch := micro.Batch
	s, err := m.scoreBatch(ctx, micro, list)
	if err != nil {
		return s, err
	}
	if m.public != nil && m.public.Score != nil {
		columns := len(s.Logits) / max(1, len(s.Values))
		for i := range s.Values {
			s.Values[i] = m.public.Score(s.Logits[i*columns : (i+1)*columns])
		}
	}
	for i, v := range s.Values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return s, &NonFiniteError{ID: list[batch.Trajectory[i]].ID, ReadOut: int(batch.Read[i]), Value: v, Err: m.badWeights()}
		}
	}
	return s, nil
}
