package inputs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/goprm/goprm/data"
)

// reported is one input, taken line by line.
type reported interface {
	take(line data.Line) error
	finish() error
}

// input reads a run folder, a file, or the files of a folder.
func (r *reporting) input(path string) error {
	if path == "-" {
		return r.file(path)
	}
	for _, name := range []string{metricsName, recordName} {
		if _, err := os.Stat(filepath.Join(path, name)); err == nil {
			return r.run(path)
		}
	}
	files, err := data.Files([]string{path})
	if err != nil {
		return err
	}
	for _, file := range files {
		if err := r.file(file); err != nil {
			return err
		}
	}
	return nil
}

// file reads one file; its first line tells what it holds.
func (r *reporting) file(path string) error {
	var in reported
	for line, err := range data.Lines([]string{path}, data.ReadOptions{Stdin: r.opt.Stdin}) {
		if err == nil {
			err = r.ctx.Err()
		}
		if err == nil && in == nil {
			in, err = r.recognise(line)
		}
		if err == nil {
			err = in.take(line)
		}
		if err != nil {
			return err
		}
	}
	if in == nil {
		return fmt.Errorf("%s: no rows", path)
	}
	return in.finish()
}

func (r *reporting) recognise(line data.Line) (reported, error) {
	if text := bytes.TrimSpace(line.Text); len(text) == 1 && text[0] == '{' {
		return &resultFile{r: r, name: line.File}, nil // written over several lines
	}
	row, err := data.NewRow(line)
	if err != nil {
		return nil, err
	}
	switch _, texts := row.Objects("steps"); {
	case row.Has("results") || row.Has("bench"):
		return &resultFile{r: r, name: line.File}, nil
	case row.Has("step"):
		return &runCurves{r: r, name: line.File, path: line.File}, nil
	case row.Has("id") && (row.Has("scores") || row.Has("steps") && texts == nil):
		return newScoreTally(r, line.File), nil
	case row.Has("problem"):
		return nil, row.Fail(errors.New("a row without scores: labelled trajectories are the data that scores are of, not an input"))
	}
	return nil, row.Fail(errors.New("neither a line of prm score, nor of a run's metrics.jsonl, " +
		"nor a result of prm bestofn --json or prm eval"))
}
