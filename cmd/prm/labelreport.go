package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/goprm/goprm/data/label"
	"github.com/goprm/goprm/data/label/store"
	"github.com/goprm/goprm/internal/atomicfile"
	"github.com/goprm/goprm/internal/labelreport"
)

type labelStatusCommand struct {
	Dir  string `arg:"" help:"Output folder of prm label."`
	JSON bool   `help:"Print JSON."`
}

// labelStatus is what a folder's store holds, by stage, and what its last whole output was.
type labelStatus struct {
	Stages []labelStage   `json:"stages"`
	Spend  store.Spend    `json:"spend"`
	Labels *label.Summary `json:"labels"` // null: no output is whole yet
	// AsOf is when the run that holds the store wrote this; nil: nobody holds it, and this is how things are.
	AsOf *time.Time `json:"as_of,omitempty"`
}

// statusFile is where a run tells how far it is, since its store can be read by nobody else.
const statusFile = "status.json"

// statusEvery is how often it does.
const statusEvery = 30 * time.Second

type labelStage struct {
	Stage   string         `json:"stage"`
	Stored  int            `json:"stored"`
	Open    int            `json:"open"`
	Reasons map[string]int `json:"reasons,omitempty"`
}

// keepLabelStatus writes the status file now and then until stop is called, which removes it.
func keepLabelStatus(dir string, s *store.Store, warn func(format string, args ...any)) (stop func()) {
	path, ended, done := filepath.Join(dir, statusFile), make(chan struct{}), make(chan struct{})
	write := func() {
		st, err := labelStatusOf(dir, s)
		if err == nil {
			st.AsOf = new(time.Now().UTC().Truncate(time.Second))
			err = atomicfile.WriteFile(path, func(w io.Writer) error { return json.NewEncoder(w).Encode(st) })
		}
		if err != nil {
			warn("the status is not told: %v", err)
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
			warn("%v", err)
		}
	}
}

func readLabelStatus(dir string) (st labelStatus, err error) {
	s, err := store.Open(label.StorePath(dir), store.Options{ReadOnly: true})
	if errors.Is(err, store.ErrInUse) {
		if text, none := os.ReadFile(filepath.Join(dir, statusFile)); none == nil && json.Unmarshal(text, &st) == nil && st.AsOf != nil {
			return st, nil
		}
	}
	if err != nil {
		return st, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return labelStatusOf(dir, s)
}

func labelStatusOf(dir string, s *store.Store) (st labelStatus, err error) {
	counts, err := s.Counts()
	if err != nil {
		return st, err
	}
	for _, c := range counts {
		stage := labelStage{Stage: c.Stage, Stored: c.Values, Open: c.Open}
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
	m, err := label.ReadManifest(dir)
	if errors.Is(err, os.ErrNotExist) {
		return st, nil
	}
	st.Labels = &m.Summary
	return st, err
}

func (c labelStatusCommand) Run(p *program) error {
	st, err := readLabelStatus(c.Dir)
	if err != nil {
		return err
	}
	if c.JSON {
		return p.printJSON(st)
	}
	var b strings.Builder
	if st.AsOf != nil {
		fmt.Fprintf(&b, "a run is under way; this is what it told at %s\n", st.AsOf.Format(time.RFC3339))
	}
	for _, s := range st.Stages {
		fmt.Fprintf(&b, "%s: %d stored, %d open\n", s.Stage, s.Stored, s.Open)
		for _, reason := range sortedKeys(s.Reasons) {
			fmt.Fprintf(&b, "  %d: %s\n", s.Reasons[reason], reason)
		}
	}
	fmt.Fprintf(&b, "spent: %v in %d calls\n", st.Spend.Total(), st.Spend.Calls+st.Spend.LostCalls)
	if s := st.Labels; s == nil {
		fmt.Fprintf(&b, "no output is whole yet\n")
	} else {
		fmt.Fprintf(&b, "output: %d trajectories, %d of %d thinking steps labelled, %d trajectory labels, %d items open\n",
			s.Trajectories, s.StepLabels, s.Steps, s.TrajectoryLabels, s.OpenItems())
	}
	_, err = io.WriteString(p.stdout, b.String())
	return err
}

type labelReportCommand struct {
	Dir string `arg:"" help:"Output folder of prm label."`
	Out string `help:"HTML file; DIR/report.html by default."`
}

func (c labelReportCommand) Run(p *program) error {
	st, err := readLabelStatus(c.Dir)
	if err != nil {
		return err
	}
	in := labelreport.Input{Dir: c.Dir, Spend: st.Spend}
	for _, s := range st.Stages {
		in.Stages = append(in.Stages, labelreport.Stage(s))
	}
	out := c.Out
	if out == "" {
		out = filepath.Join(c.Dir, "report.html")
	}
	if err := p.output(out, []string{filepath.Join(c.Dir, label.LabelsFile)}, func(w io.Writer) error { return labelreport.Write(w, in) }); err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.stdout, "report: %s\n", out)
	return err
}
