// Package inputs reads what goprm's commands wrote (run folders, score files, results of best-of-N and benchmarks) and lays it out as a
// page. It knows the files by their JSON alone: the records here hold what a page shows, and nothing that only a run needs.
package inputs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/report"
)

// Options say what a report shows; Inputs are needed, everything else has a default.
type Options struct {
	// Inputs are run folders, files of scores and results of best-of-N or of a benchmark; what each of them is, it says itself.
	Inputs []string
	// Data are the labelled trajectories that the scores are of, in the order of the scores.
	Data      []string
	Split     string    // cuts trajectories that are not in steps; "": "\n\n"
	Threshold *float64  // a step that scores below it counts as wrong; nil: 0.5
	Worst     int       // how many of the steps with the largest |score − label| are shown, one a problem; 0: 20, below 0: none
	Title     string    // "": "goprm report"
	Stdin     io.Reader // read for the path "-"; nil: os.Stdin
}

// Validate reports the first option that cannot be used.
func (o Options) Validate() error {
	stdin := 0
	for _, path := range slices.Concat(o.Inputs, o.Data) {
		if path == "-" {
			stdin++
		}
	}
	switch {
	case len(o.Inputs) == 0:
		return errors.New("inputs: none")
	case stdin > 1:
		return errors.New("inputs: - stands for stdin, which can be read once")
	case o.Threshold != nil && (math.IsNaN(*o.Threshold) || math.IsInf(*o.Threshold, 0)):
		return fmt.Errorf("threshold: %v is not a finite number", *o.Threshold)
	case o.Worst > mostWorst:
		return fmt.Errorf("worst: %d is more than %d", o.Worst, mostWorst)
	}
	return nil
}

const (
	defaultWorst = 20
	mostWorst    = 10_000
)

// Page makes a page of what runs, scores and results say, and lists what was left out, and why. Files are read once and not held: memory
// does not grow with the number of trajectories.
func Page(ctx context.Context, opt Options) (page report.Page, warnings []string, err error) {
	if err := opt.Validate(); err != nil {
		return page, nil, err
	}
	if opt.Split == "" {
		opt.Split = "\n\n"
	}
	if opt.Threshold == nil {
		opt.Threshold = data.Float(0.5)
	}
	if opt.Worst == 0 {
		opt.Worst = defaultWorst
	}
	if opt.Title == "" {
		opt.Title = "goprm report"
	}
	r := &reporting{ctx: ctx, opt: opt}
	defer r.close()
	for _, path := range opt.Inputs {
		if err := r.input(path); err != nil {
			return page, nil, err
		}
	}
	if len(opt.Data) > 0 && !r.scored {
		return page, nil, errors.New("labelled data are given, but no scores of them among the inputs")
	}
	return report.Page{Title: opt.Title, Lead: strings.Join(opt.Inputs, ", "), Sections: r.finished()}, r.warnings, nil
}

// Runs are the sections of run folders, as Page has them, and why some of the folders cannot be read, such as one without metrics yet:
// these are left out and do not hide the others.
func Runs(ctx context.Context, folders []string) (sections []report.Section, refused []string, err error) {
	r := &reporting{ctx: ctx}
	for _, folder := range folders {
		warned := len(r.warnings)
		if err := r.run(folder); err != nil {
			refused, r.warnings = append(refused, err.Error()), r.warnings[:warned]
		}
	}
	return r.finished(), refused, ctx.Err()
}

// reporting is a report in the making.
type reporting struct {
	ctx      context.Context
	opt      Options
	sections []report.Section
	warnings []string
	runs     []*runCurves
	scored   bool     // a file of scores was among the inputs
	open     []func() // ends what is being read
}

// finished are the sections, with what is said of all inputs together.
func (r *reporting) finished() []report.Section {
	r.compareRuns()
	if len(r.warnings) > 0 {
		r.sections = append(r.sections, report.Section{Title: "Warnings", Text: strings.Join(r.warnings, " · ")})
	}
	return r.sections
}

func (r *reporting) close() {
	for _, end := range r.open {
		end()
	}
}

func (r *reporting) warnf(format string, args ...any) {
	r.warnings = append(r.warnings, fmt.Sprintf(format, args...))
}

// shown writes a number of a table; a dash if it is not defined.
func shown[F ~float64](v F) string {
	if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
		return "-"
	}
	return fmt.Sprintf("%.3f", float64(v))
}

// percent writes a share; a dash if it is not defined.
func percent[F ~float64](v F) string {
	if math.IsNaN(float64(v)) {
		return "-"
	}
	return fmt.Sprintf("%.1f %%", 100*float64(v))
}
