package prm

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/goprm/goprm/internal/checkpoint"
	"github.com/goprm/goprm/internal/dist"
	"github.com/goprm/goprm/internal/modelfolder"
	"github.com/goprm/goprm/internal/runlog"
	"github.com/goprm/goprm/internal/safetensors"
)

// save writes a checkpoint of the present step, unless there is one.
func (t *trainer) save() error {
	if t.meta.Step == t.saved || t.meta.Step == 0 {
		return nil
	}
	tensors, updates, err := t.network.State()
	if err != nil {
		return err
	}
	t.meta.Updates = updates
	if t.c.ranks.IsFirst() {
		err = t.saveWhole(tensors)
	} else {
		err = t.savePart(tensors)
	}
	if err := t.c.ranks.Agree(err); err != nil {
		return fmt.Errorf("checkpoint of step %d: %w; earlier checkpoints are intact", t.meta.Step, err)
	}
	t.saved = t.meta.Step
	return nil
}

// saveWhole makes the checkpoint, with this rank's tensors and what the other ranks add.
func (t *trainer) saveWhole(tensors []safetensors.Tensor) error {
	// Lines of steps that the checkpoint holds must not be lost to a power failure that it survives.
	err := t.metrics.Close()
	if err == nil {
		t.metrics, err = runlog.OpenMetrics(filepath.Join(t.c.Out, metricsName), false)
	}
	if err != nil {
		return errors.Join(err, t.callOff())
	}
	card, err := t.card(modelfolder.StoresCheckpoint).Encode()
	if err != nil {
		return errors.Join(err, t.callOff())
	}
	files := []checkpoint.File{
		{Name: modelfolder.StateName, Write: func(w io.Writer) error { return safetensors.Write(w, tensors, nil) }},
		{Name: modelfolder.CardName, Write: writeBytes(card)},
	}
	keep := checkpoint.Keep{Newest: *t.c.Checkpoint.Keep}
	if t.meta.Best != nil {
		keep.Protect = []int{t.meta.Best.Step}
	}
	root := filepath.Join(t.c.Out, checkpointsName)
	if t.c.ranks == nil {
		return checkpoint.Save(root, t.meta.Step, t.meta, files, keep)
	}
	called := false
	together := func(dir string, own func() error) (map[string]checkpoint.Entry, error) {
		called = true
		return t.gatherParts(filepath.Base(dir), own)
	}
	err = checkpoint.SaveTogether(root, t.meta.Step, t.meta, files, keep, together)
	if !called {
		err = errors.Join(err, t.callOff())
	}
	return err
}

// writtenPart is what another rank has added to a checkpoint in the making.
type writtenPart struct {
	Name string
	checkpoint.Entry
}

// gatherParts tells the other ranks where the checkpoint is made, writes this rank's files, and waits for theirs.
func (t *trainer) gatherParts(dir string, own func() error) (map[string]checkpoint.Entry, error) {
	g := t.c.ranks
	if _, err := dist.Told(g, dir); err != nil {
		return nil, err
	}
	if err := g.Agree(own()); err != nil {
		return nil, err
	}
	parts, err := g.Gather(nil)
	entries := map[string]checkpoint.Entry{}
	for _, text := range parts[min(1, len(parts)):] {
		var p writtenPart
		err = errors.Join(err, json.Unmarshal(text, &p))
		entries[p.Name] = p.Entry
	}
	return entries, err
}

// callOff tells the other ranks that there will be no checkpoint.
func (t *trainer) callOff() error {
	if t.c.ranks == nil {
		return nil
	}
	_, err := dist.Told(t.c.ranks, "")
	return err
}

// savePart adds this rank's tensors to the checkpoint that rank 0 makes.
func (t *trainer) savePart(tensors []safetensors.Tensor) error {
	g := t.c.ranks
	dir, err := dist.Told(g, "")
	if err != nil || dir == "" {
		return err
	}
	p := writtenPart{Name: fmt.Sprintf("state-%05d-of-%05d.safetensors", g.Rank, g.World)}
	p.Entry, err = checkpoint.WriteFile(filepath.Join(t.c.Out, checkpointsName, dir), checkpoint.File{Name: p.Name,
		Write: func(w io.Writer) error { return safetensors.Write(w, tensors, nil) }})
	if err := g.Agree(err); err != nil {
		return err
	}
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	_, err = g.Gather(text)
	return err
}
