package prm

import (
	"context"
	"fmt"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/formats"
	"github.com/goprm/goprm/internal/hfmodel"
	"github.com/goprm/goprm/internal/modelfolder"
	"github.com/goprm/goprm/internal/nnet"
)

// openReference opens the language model that an implicit reward is relative to.
func (m *Model) openReference(dir string, spec nnet.Spec) (err error) {
	implicit := m.public != nil && m.public.Implicit != 0
	switch {
	case implicit && dir == "":
		return fmt.Errorf("%s: format %s scores relative to a reference model (Qwen2.5-Math-7B-Instruct for the published ones); name its folder",
			m.folder.Dir, m.format)
	case !implicit && dir != "":
		return fmt.Errorf("%s: a reference model is of no use to the format %s", m.folder.Dir, m.format)
	case !implicit:
		return nil
	}
	if m.referenceFolder == nil { // else that of the first device
		if m.referenceFolder, err = modelfolder.Open(dir, ""); err != nil {
			return err
		}
	}
	config := m.referenceFolder.Config
	if config.VocabSize != m.folder.Config.VocabSize {
		return fmt.Errorf("%s: a vocabulary of %d, but %d of %s: it is not its reference model", dir, config.VocabSize, m.folder.Config.VocabSize,
			m.folder.Dir)
	}
	if err := hfmodel.CheckUsed(m.referenceFolder.Root, m.referenceFolder.Extra, nil); err != nil {
		return err
	}
	tensors, err := formats.VocabularyTensors(config, m.referenceFolder.Root)
	if err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	spec.Config = config
	backend := m.backend
	if r, ok := backend.(*releasing); ok {
		backend = releasingFor(r.Backend, m.referenceFolder.Root)
	}
	m.reference, err = nnet.New(spec, backend, nnet.Weights{tensors, m.referenceFolder.Trunk})
	return err
}

// scoreBatch runs one batch; of implicit rewards it returns the log-ratios.
func (m *Model) scoreBatch(ctx context.Context, micro nnet.MicroBatch, list []*data.Example) (nnet.Scores, error) {
	if batch := micro.Batch; m.reference != nil {
		micro.Labels = make([]int32, len(batch.Reads))
		for i, at := range batch.Trajectory {
			e := list[at]
			micro.Labels[i] = e.Tokens[e.Reads[batch.Read[i]].Pos+1]
		}
	}
	s, err := m.network.Score(ctx, micro)
	if err != nil || m.reference == nil {
		return s, err
	}
	reference, err := m.reference.Score(ctx, micro)
	if err != nil {
		return s, err
	}
	for i, v := range reference.Values {
		s.Values[i] -= v
	}
	return s, nil
}
