package prm

import (
	"fmt"
	"io"
	"path/filepath"

	"github.com/goprm/goprm/internal/checkpoint"
	"github.com/goprm/goprm/internal/modelfolder"
	"github.com/goprm/goprm/internal/runlog"
	"github.com/goprm/goprm/internal/safetensors"
)

// save writes a checkpoint of the present step, unless there is one.
func (t *trainer) save() error {
	if t.meta.Step == t.saved || t.meta.Step == 0 {
		return nil
	}
	// Lines of steps that the checkpoint holds must not be lost to a power failure that it survives.
	path := filepath.Join(t.c.Out, metricsName)
	if err := t.metrics.Close(); err != nil {
		return err
	}
	var err error
	if t.metrics, err = runlog.OpenMetrics(path, false); err != nil {
		return err
	}
	tensors, updates, err := t.network.State()
	if err != nil {
		return err
	}
	t.meta.Updates = updates
	card, err := t.card(modelfolder.StoresCheckpoint).Encode()
	if err != nil {
		return err
	}
	files := []checkpoint.File{
		{Name: modelfolder.StateName, Write: func(w io.Writer) error { return safetensors.Write(w, tensors, nil) }},
		{Name: modelfolder.CardName, Write: writeBytes(card)},
	}
	keep := checkpoint.Keep{Newest: *t.c.Checkpoint.Keep}
	if t.meta.Best != nil {
		keep.Protect = []int{t.meta.Best.Step}
	}
	if err := checkpoint.Save(filepath.Join(t.c.Out, checkpointsName), t.meta.Step, t.meta, files, keep); err != nil {
		return fmt.Errorf("checkpoint of step %d: %w; earlier checkpoints are intact", t.meta.Step, err)
	}
	t.saved = t.meta.Step
	return nil
}
