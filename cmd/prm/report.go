package main

import (
	"fmt"
	"slices"

	"github.com/goprm/goprm/internal/report"
	"github.com/goprm/goprm/internal/report/figures"
	"github.com/goprm/goprm/prm"
)

type reportCommand struct {
	Inputs    []string `arg:"" help:"Run folders, files of prm score, results of prm bestofn --json and prm eval; - for stdin."`
	Data      []string `sep:"none" help:"Labelled trajectories of the scores, in the same order: for calibration and disagreements."`
	Out       string   `default:"report.html" help:"File for the page; - for stdout."`
	Figures   string   `help:"Folder for every figure as PNG and SVG."`
	Threshold float64  `default:"0.5" help:"A step that scores below it counts as wrong."`
	Worst     int      `default:"20" help:"How many of the steps with the largest distance between score and label are shown; 0: none."`
	Split     string   `default:"\n\n" help:"Cuts trajectories of --data that are not in steps, as it did when they were scored."`
	Title     string   `help:"Title of the page."`
}

func (reportCommand) Help() string {
	return "One self-contained page: training curves of run folders, distribution and calibration of scores, accuracy by position, " +
		"best-of-N curves, tables, and the steps on which scores and labels disagree most. " +
		"Each input says itself what it is; memory does not grow with a file of scores. Example:\n\n" +
		"  prm report runs/one scores.jsonl bestofn.json --data labelled.jsonl --out report.html --figures figures"
}

func (reportCommand) watchesContext() {}

func (c reportCommand) Run(p *program) error {
	opt := prm.ReportOptions{Inputs: c.Inputs, Data: c.Data, Split: c.Split, Threshold: &c.Threshold, Worst: c.Worst, Title: c.Title,
		Stdin: p.stdin}
	if c.Worst == 0 {
		opt.Worst = -1
	}
	if err := opt.Validate(); err != nil {
		return usageError(err.Error())
	}
	result, err := prm.Report(p.ctx, opt)
	if err != nil {
		return err
	}
	for _, w := range result.Warnings {
		p.console.Warnf("%s", w)
	}
	if c.Figures != "" {
		names, err := figures.Write(c.Figures, result.Page().(report.Page))
		if err != nil {
			return err
		}
		p.console.Infof("%d figures in %s", len(names), c.Figures)
	}
	if err := p.output(c.Out, slices.Concat(c.Inputs, c.Data), result.WriteHTML); err != nil || c.Out == "-" {
		return err
	}
	_, err = fmt.Fprintln(p.stdout, "report:", c.Out)
	return err
}
