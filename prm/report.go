package prm

import (
	"context"
	"io"

	"github.com/goprm/goprm/internal/report"
	"github.com/goprm/goprm/internal/report/inputs"
)

// ReportOptions say what a report shows; Inputs are needed, everything else has a default.
type ReportOptions struct {
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
func (o ReportOptions) Validate() error { return inputs.Options(o).Validate() }

// ReportPage is a report, ready to be written.
type ReportPage struct {
	Warnings []string // what was left out, and why; they stand on the page too
	page     report.Page
}

// WriteHTML writes the report as one self-contained page.
func (r *ReportPage) WriteHTML(w io.Writer) error { return report.Write(w, r.page) }

// Page is the page's content, of which prm report makes figures; its type is internal.
func (r *ReportPage) Page() any { return r.page }

// Report makes a page of what runs, scores and results say. Files are read once and not held: memory does not grow with
// the number of trajectories.
func Report(ctx context.Context, opt ReportOptions) (*ReportPage, error) {
	page, warnings, err := inputs.Page(ctx, inputs.Options(opt))
	if err != nil {
		return nil, err
	}
	return &ReportPage{Warnings: warnings, page: page}, nil
}
