// Package runlog writes what a run says about itself: metrics.jsonl, TensorBoard event files, and progress on stderr.
package runlog

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/goprm/goprm/internal/atomicfile"
	"github.com/goprm/goprm/internal/metrics"
)

// Step is the line of one optimizer step in metrics.jsonl.
type Step struct {
	Step         int           `json:"step"` // optimizer steps done, this one included
	Tokens       int           `json:"tokens"`
	Trajectories int           `json:"trajectories"`
	NStep        int           `json:"n_step"`
	NFinal       int           `json:"n_final"`
	Loss         metrics.Float `json:"loss"`
	LossStep     metrics.Float `json:"loss_step"`  // with its λ
	LossFinal    metrics.Float `json:"loss_final"` // with its λ
	GradNorm     metrics.Float `json:"grad_norm"`  // before clipping
	LR           float64       `json:"lr"`
	NonFinite    string        `json:"nonfinite,omitempty"` // the tensor for which the step was passed over
	TokensPerS   float64       `json:"tokens_per_s"`
	Time         string        `json:"time"` // RFC 3339
}

// Eval is the line of one evaluation: the numbers under "eval" are the caller's.
type Eval struct {
	Step int `json:"step"`
	Eval any `json:"eval"`
}

// Metrics appends lines to a metrics.jsonl file. It is not safe for concurrent use.
type Metrics struct {
	file *atomicfile.Append
	sync bool
}

// OpenMetrics opens path for appending and makes it when it is not there. With sync every line is flushed to the disk
// before Write returns. A file whose last line is torn is refused: see [CutAfter].
func OpenMetrics(path string, sync bool) (*Metrics, error) {
	file, err := atomicfile.OpenAppend(path, 0o666)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && info.Size() > 0 {
		last := []byte{0}
		if _, err = file.ReadAt(last, info.Size()-1); err == nil && last[0] != '\n' {
			err = fmt.Errorf("%s: its last line is torn: cut the file to the last checkpoint first", path)
		}
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &Metrics{file: file, sync: sync}, nil
}

// Write appends one line: [Step], [Eval] or anything else whose JSON is an object with "step".
func (m *Metrics) Write(line any) error {
	b, err := json.Marshal(line)
	if err != nil {
		return fmt.Errorf("%s: %w", m.file.Name(), err)
	}
	if _, err := m.file.Write(append(b, '\n')); err != nil {
		return err
	}
	if m.file.Missing() {
		return fmt.Errorf("%s: was removed or replaced while it was written", m.file.Name())
	}
	if m.sync {
		return m.file.Sync()
	}
	return nil
}

// Close flushes the file to the disk and closes it.
func (m *Metrics) Close() error {
	return errors.Join(m.file.Sync(), m.file.Close())
}

// Cut says what [CutAfter] did.
type Cut struct {
	Kept, Dropped int
	Torn          bool // the file ended in half a line, which is gone
}

// CutAfter removes from a metrics.jsonl file every line whose step lies past step, and a torn last line, so that a run
// resumed from the checkpoint of that step goes on as if it had never been further. The file is replaced as a whole or
// not at all. A file that is not there has nothing to cut. Half a line anywhere but at the end is an error.
func CutAfter(path string, step int) (Cut, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Cut{}, nil
	}
	if err != nil {
		return Cut{}, err
	}
	defer func() { _ = file.Close() }() // it was only read
	var cut Cut
	err = atomicfile.WriteFile(path, func(out io.Writer) error {
		cut, err = keepUpTo(file, out, step)
		return err
	})
	if err != nil {
		return Cut{}, fmt.Errorf("%s: %w", path, err)
	}
	return cut, nil
}

func keepUpTo(in io.Reader, out io.Writer, step int) (Cut, error) {
	var cut Cut
	reader, writer := bufio.NewReader(in), bufio.NewWriter(out)
	for number := 1; ; number++ {
		line, err := reader.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return cut, err
		}
		if len(line) == 0 {
			return cut, writer.Flush()
		}
		last := err != nil // no newline: nothing follows
		at, ok := stepOf(line)
		switch {
		case !ok && last:
			cut.Torn = true
		case !ok:
			return cut, fmt.Errorf("line %d is no metrics line", number)
		case at > step:
			cut.Dropped++
		default:
			cut.Kept++
			if _, err := writer.Write(append(bytes.TrimSuffix(line, []byte{'\n'}), '\n')); err != nil {
				return cut, err
			}
		}
	}
}

func stepOf(line []byte) (step int, ok bool) {
	var head struct {
		Step *int `json:"step"`
	}
	if json.Unmarshal(line, &head) != nil || head.Step == nil {
		return 0, false
	}
	return *head.Step, true
}
