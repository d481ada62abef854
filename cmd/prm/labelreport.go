package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/goprm/goprm/data/label"
	"github.com/goprm/goprm/data/label/store"
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
}

type labelStage struct {
	Stage   string         `json:"stage"`
	Stored  int            `json:"stored"`
	Open    int            `json:"open"`
	Reasons map[string]int `json:"reasons,omitempty"`
}

func readLabelStatus(dir string) (st labelStatus, err error) {
	s, err := store.Open(label.StorePath(dir), store.Options{ReadOnly: true})
	if err != nil {
		return st, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
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
