// Package rowfile is where the parquet format registers itself, so that a program which reads JSON lines alone holds no parquet. Package
// internal/parquetfile is the format.
package rowfile

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"sync/atomic"
)

// Magic begins and ends a parquet file.
var Magic = []byte("PAR1")

// ErrNoParquet says what a program without the format lacks.
var ErrNoParquet = errors.New(`this program has no parquet: import _ "github.com/goprm/goprm/data/parquet"`)

// RowError is a row that cannot be read, while its neighbours can.
type RowError struct {
	Row int // from 1
	Err error
}

func (e *RowError) Error() string { return fmt.Sprintf("row %d: %v", e.Row, e.Err) }
func (e *RowError) Unwrap() error { return e.Err }

// Rows is an open file.
type Rows interface {
	// Rows yields the rows as JSON objects, of at most limit bytes each, valid until the next row. A *RowError concerns one row; after any
	// other error the sequence ends.
	Rows(limit int) iter.Seq2[[]byte, error]
}

// Labels and Trajectory are the columns of trajectories.
type (
	Labels struct {
		Steps            []*float64 `parquet:"steps,optional,list"`
		Trajectory       *float64   `parquet:"trajectory,optional"`
		Weights          []*float64 `parquet:"weights,optional,list"`
		TrajectoryWeight *float64   `parquet:"trajectory_weight,optional"`
		Extra            string     `parquet:"extra,optional"`
	}
	Trajectory struct {
		ID            string   `parquet:"id"`
		Problem       string   `parquet:"problem"`
		Thinking      string   `parquet:"thinking"`
		Response      string   `parquet:"response"`
		Steps         []string `parquet:"steps,optional,list"`
		ResponseSteps []string `parquet:"response_steps,optional,list"`
		Labels        Labels   `parquet:"labels"`
		Source        string   `parquet:"source"`
		Answer        string   `parquet:"answer"`
		Meta          string   `parquet:"meta,optional"`
	}
)

// Writer writes trajectories. Meta and Labels.Extra hold a JSON object as text. Nothing is readable before Close.
type Writer interface {
	Write(rows []Trajectory) (int, error)
	Flush() error // ends a row group
	Close() error
}

// Format reads and writes parquet files.
type Format struct {
	Open  func(in io.ReaderAt, size int64) (Rows, error)
	Write func(w io.Writer) Writer
}

var parquet atomic.Pointer[Format]

// Register makes the format available.
func Register(f Format) { parquet.Store(&f) }

// Parquet is the format if it is in the program, else ErrNoParquet.
func Parquet() (*Format, error) {
	if f := parquet.Load(); f != nil {
		return f, nil
	}
	return nil, ErrNoParquet
}
