package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/goprm/goprm/data/label"
	"github.com/goprm/goprm/data/label/store"
	"github.com/goprm/goprm/internal/labelreport"
	"github.com/goprm/goprm/internal/remote"
)

type labelStatusCommand struct {
	Dir  string `arg:"" help:"Output folder of prm label."`
	JSON bool   `help:"Print JSON."`
}

func (c labelStatusCommand) Run(p *program) error {
	dir, err := remote.Folder(c.Dir)
	if err != nil {
		return err
	}
	st, err := label.ReadStatus(dir)
	if errors.Is(err, store.ErrDamaged) {
		err = fmt.Errorf("%w; prm label repair --out %s keeps what can be read", err, c.Dir)
	}
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
	dir, err := remote.Folder(c.Dir)
	if err != nil {
		return err
	}
	st, err := label.ReadStatus(dir)
	if err != nil {
		return err
	}
	in := labelreport.Input{Dir: dir, Spend: st.Spend}
	for _, s := range st.Stages {
		in.Stages = append(in.Stages, labelreport.Stage(s))
	}
	out := c.Out
	if out == "" {
		out = filepath.Join(c.Dir, "report.html")
		if remote.Is(c.Dir) {
			out = strings.TrimSuffix(c.Dir, "/") + "/report.html"
		}
	}
	if err := p.output(out, []string{filepath.Join(dir, label.LabelsFile)},
		func(w io.Writer) error { return labelreport.Write(w, in) }); err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.stdout, "report: %s\n", out)
	return err
}
