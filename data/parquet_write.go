package data

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"github.com/goprm/goprm/internal/parquetfile"
)

// rowGroupBytes is how much text a ParquetWriter holds before it writes a row group.
const rowGroupBytes = 16 << 20

type parquetLabels struct {
	Steps            []*float64 `parquet:"steps,optional,list"`
	Trajectory       *float64   `parquet:"trajectory,optional"`
	Weights          []*float64 `parquet:"weights,optional,list"`
	TrajectoryWeight *float64   `parquet:"trajectory_weight,optional"`
	Extra            string     `parquet:"extra,optional"`
}

type parquetRow struct {
	ID            string        `parquet:"id"`
	Problem       string        `parquet:"problem"`
	Thinking      string        `parquet:"thinking"`
	Response      string        `parquet:"response"`
	Steps         []string      `parquet:"steps,optional,list"`
	ResponseSteps []string      `parquet:"response_steps,optional,list"`
	Labels        parquetLabels `parquet:"labels"`
	Source        string        `parquet:"source"`
	Answer        string        `parquet:"answer"`
	Meta          string        `parquet:"meta,optional"`
}

// ParquetWriter writes trajectories as a parquet file that Read reads back equal. Its columns are the fields of the JSON form;
// meta, and labels.extra for the fields of labels that are not targets, hold a JSON object as text.
type ParquetWriter struct {
	w    *parquet.GenericWriter[parquetRow]
	held int // bytes of text since the last row group
}

// NewParquetWriter writes to w, from its beginning. Nothing is readable before Close.
func NewParquetWriter(w io.Writer) *ParquetWriter {
	options := []parquet.WriterOption{parquet.Compression(&zstd.Codec{}), parquet.DefaultEncodingFor(parquet.ByteArray, &parquet.Plain),
		parquet.DataPageStatistics(false),
		parquet.KeyValueMetadata(parquetfile.JSONKey, "meta"), parquet.KeyValueMetadata(parquetfile.InlineKey, "labels.extra")}
	for _, path := range parquet.SchemaOf(parquetRow{}).Columns() {
		options = append(options, parquet.SkipPageBounds(path...)) // else whole texts stand in the footer, as bounds
	}
	return &ParquetWriter{w: parquet.NewGenericWriter[parquetRow](w, options...)}
}

// Write adds a trajectory.
func (p *ParquetWriter) Write(t *Trajectory) error {
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
	row := parquetRow{ID: t.ID, Problem: t.Problem, Thinking: t.Thinking, Response: t.Response, Steps: t.Steps, ResponseSteps: t.ResponseSteps,
		Labels: parquetLabels{Steps: t.Labels.Steps, Trajectory: t.Labels.Trajectory, Weights: t.Labels.Weights,
			TrajectoryWeight: t.Labels.TrajectoryWeight},
		Source: t.Source, Answer: t.Answer}
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
	if _, err := p.w.Write([]parquetRow{row}); err != nil {
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
func (p *ParquetWriter) Close() error { return p.w.Close() }

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
