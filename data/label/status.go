package label

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/goprm/goprm/data/label/store"
	"github.com/goprm/goprm/internal/atomicfile"
)

// Status is what an output folder's store holds, by stage, and what its last whole output was.
type Status struct {
	Stages []StageStatus `json:"stages"`
	Spend  store.Spend   `json:"spend"`
	Labels *Summary      `json:"labels"` // nil: no output is whole yet
	// AsOf is when the run that holds the store wrote this; nil: nobody holds it, and this is how things are.
	AsOf *time.Time `json:"as_of,omitempty"`
}

// StageStatus counts a stage's items: those that are stored, those that are open, and the latter by their reason.
type StageStatus struct {
	Stage   string         `json:"stage"`
	Stored  int            `json:"stored"`
	Open    int            `json:"open"`
	Reasons map[string]int `json:"reasons,omitempty"`
}

// statusFile is where a run tells how far it is, since its store can be read by nobody else.
const statusFile = "status.json"

// statusEvery is how often it does.
const statusEvery = 30 * time.Second

// KeepStatus writes for ReadStatus how far the run is that holds the store, now and then until stop is called. What goes wrong is
// logged.
func KeepStatus(dir string, s *store.Store, logger *slog.Logger) (stop func()) {
	path, ended, done := filepath.Join(dir, statusFile), make(chan struct{}), make(chan struct{})
	write := func() {
		st, err := statusOf(dir, s)
		if err == nil {
			st.AsOf = new(time.Now().UTC().Truncate(time.Second))
			err = atomicfile.WriteFile(path, func(w io.Writer) error { return json.NewEncoder(w).Encode(st) })
		}
		if err != nil {
			logger.Warn("the status is not told", "error", err)
		}
	}
	write()
	go func() {
		defer close(done)
		tick := time.NewTicker(statusEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				write()
			case <-ended:
				return
			}
		}
	}()
	return func() {
		close(ended)
		<-done
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			logger.Warn("the status is not removed", "error", err)
		}
	}
}

// ReadStatus reads the status of an output folder. Where a run holds its store, it is what that run told last.
func ReadStatus(dir string) (st Status, err error) {
	s, err := store.Open(StorePath(dir), store.Options{ReadOnly: true})
	if errors.Is(err, store.ErrInUse) {
		if text, none := os.ReadFile(filepath.Join(dir, statusFile)); none == nil && json.Unmarshal(text, &st) == nil && st.AsOf != nil {
			return st, nil
		}
	}
	if err != nil {
		return st, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return statusOf(dir, s)
}

func statusOf(dir string, s *store.Store) (st Status, err error) {
	counts, err := s.Counts()
	if err != nil {
		return st, err
	}
	for _, c := range counts {
		stage := StageStatus{Stage: c.Stage, Stored: c.Values, Open: c.Open}
		if c.Open > 0 {
			if stage.Reasons, err = s.Reasons(c.Stage); err != nil {
				return st, err
			}
		}
		st.Stages = append(st.Stages, stage)
	}
	if st.Spend, err = s.Spend(); err != nil {
		return st, err
	}
	m, err := ReadManifest(dir)
	if errors.Is(err, os.ErrNotExist) {
		return st, nil
	}
	st.Labels = &m.Summary
	return st, err
}
