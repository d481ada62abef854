package prm

import (
	"log/slog"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/nnet"
)

// chooseStreaming lets the layers' weights be brought to the device for each batch where they do not fit in its memory beside a batch of
// the longest text, or of defaultScoreTokens if that is longer. It is said, since it is slow.
func (m *Model) chooseStreaming(spec *nnet.Spec, implicit bool) error {
	device, reports := m.backend.(engine.ReportsMemory)
	if _, can := m.backend.(engine.StreamsWeights); !can || !reports {
		return nil
	}
	free, err := device.FreeMemory()
	if err != nil {
		return err
	}
	need := func(spec nnet.Spec) (nnet.Memory, error) {
		tokens := defaultScoreTokens
		if limit := m.card.Text.MaxTokens; limit > 0 {
			tokens = min(tokens, limit)
		}
		memory, _, err := measure(spec, sharing{1, 1}, tokens, 1, "")
		if implicit { // and the model that rewards are relative to
			memory.Weights, memory.Activations = 2*memory.Weights, 2*memory.Activations
		}
		return memory, err
	}
	resident, err := need(*spec)
	if err != nil || resident.Total() <= usable(free) {
		return err
	}
	spec.Streamed = true
	streamed, err := need(*spec)
	if err == nil {
		slog.Warn("the model does not fit in the device's memory: its layers are brought there for each batch, which is slow",
			"model", m.folder.Dir, "device", m.backend.Name(), "needs", bytesText(resident.Total()), "free", bytesText(free),
			"streamed", bytesText(streamed.Streamed), "takes", bytesText(streamed.Total()))
	}
	return err
}
