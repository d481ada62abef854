package data

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/goprm/goprm/internal/rowfile"
)

// rowGroupBytes is how much text a ParquetWriter holds before it writes a row group.
const rowGroupBytes = 16 << 20

// ParquetWriter writes trajectories as a parquet file that Read reads back equal. Its columns are the fields of the JSON form;
// meta, and labels.extra for the fields of labels that are not targets, hold a JSON object as text. Package data/parquet must be imported.
type ParquetWriter struct {
	w    rowfile.Writer // nil: missing says why
	held int            // bytes of text since the last row group

	missing error
}

// NewParquetWriter writes to w, from its beginning. Nothing is readable before Close. Every method returns an error in a program that does
// not import package data/parquet.
func NewParquetWriter(w io.Writer) *ParquetWriter {
	format, err := rowfile.Parquet()
	if err != nil {
		return &ParquetWriter{missing: err}
	}
	return &ParquetWriter{w: format.Write(w)}
}

// HasParquet tells whether parquet files can be read and written in this program.
func HasParquet() bool {
	_, err := rowfile.Parquet()
	return err == nil
}

// Write adds a trajectory.
func (p *ParquetWriter) Write(t *Trajectory) error {
	if p.missing != nil {
		return p.missing
	}
	if err := t.Validate(); err != nil {
		return fmt.Errorf("trajectory %q: %w", t.ID, err)
	}
	extra := map[string]json.RawMessage{}
	for k, v := range t.Labels.Extra {
		switch k {
		case "steps", "trajectory", "weights", "trajectory_weight": // the targets win, as in the JSON form
		default:
			extra[k] = v
		}
	}
	row := rowfile.Trajectory{
		ID: t.ID, Problem: t.Problem, Thinking: t.Thinking, Response: t.Response, Steps: t.Steps, ResponseSteps: t.ResponseSteps,
		Labels: rowfile.Labels{
			Steps: t.Labels.Steps, Trajectory: t.Labels.Trajectory, Weights: t.Labels.Weights, TrajectoryWeight: t.Labels.TrajectoryWeight,
		},
		Source: t.Source, Answer: t.Answer,
	}
	for _, f := range []struct {
		object map[string]json.RawMessage
		into   *string
	}{{extra, &row.Labels.Extra}, {t.Meta, &row.Meta}} {
		text, err := objectText(f.object)
		if err != nil {
			return fmt.Errorf("trajectory %q: %w", t.ID, err)
		}
		*f.into = text
	}
	if _, err := p.w.Write([]rowfile.Trajectory{row}); err != nil {
		return err
	}
	for _, text := range append(append([]string{t.Problem, t.Thinking, t.Response, row.Meta, row.Labels.Extra}, t.Steps...),
		t.ResponseSteps...) {
		p.held += len(text)
	}
	if p.held < rowGroupBytes {
		return nil
	}
	p.held = 0
	return p.w.Flush()
}

// Close writes what is held and the file's footer. It does not close the underlying writer.
func (p *ParquetWriter) Close() error {
	if p.missing != nil {
		return p.missing
	}
	return p.w.Close()
}

func objectText(object map[string]json.RawMessage) (string, error) {
	if len(object) == 0 {
		return "", nil // null in the file
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(object)
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\n"))), err
}
