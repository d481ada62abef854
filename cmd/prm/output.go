package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/atomicfile"
	"github.com/goprm/goprm/internal/remote"
)

// output writes results to a file, which appears when it is whole, or to stdout for "" and "-".
func (p *program) output(path string, inputs []string, write func(io.Writer) error) error {
	if path != "" && path != "-" {
		target, err := outputTarget(path, inputs)
		if err != nil {
			return err
		}
		return writeTarget(target, write)
	}
	w := bufio.NewWriter(p.stdout)
	return flush(w, write(w))
}

// side is a file beside a command's output.
type side struct {
	path  string // "": none
	write func(io.Writer) error
}

// outputs is output with files beside it: all appear, or none does where the disk is full.
func (p *program) outputs(path string, inputs []string, write func(io.Writer) error, sides ...side) (err error) {
	files := atomicfile.NewBatch()
	defer func() { err = errors.Join(err, files.Abort()) }()
	uploads := []upload{}
	if path == "" || path == "-" {
		if err := p.output(path, inputs, write); err != nil {
			return err
		}
	} else {
		sides = append([]side{{path, write}}, sides...)
	}
	for _, f := range sides {
		if f.path == "" {
			continue
		}
		if _, err := outputTarget(f.path, inputs); err != nil {
			return err
		}
		local := f.path
		if remote.Is(f.path) {
			if local, err = scratchFile(f.path); err != nil {
				return err
			}
			uploads = append(uploads, upload{f.path, local})
		}
		if err := files.WriteFile(local, f.write); err != nil {
			return err
		}
	}
	if err := files.Commit(); err != nil {
		return err
	}
	for _, u := range uploads {
		if err := remote.Put(u.url, u.local, false); err != nil {
			return err
		}
	}
	return nil
}

// flush writes what w still holds and joins what goes wrong to err, once: a writer that has failed keeps its error.
func flush(w *bufio.Writer, err error) error {
	if flushed := w.Flush(); flushed != nil && !errors.Is(err, flushed) {
		return errors.Join(err, flushed)
	}
	return err
}

// outputTarget is the file that path stands for, links followed. It refuses what a rename must not replace: an input, and
// what is no regular file.
func outputTarget(path string, inputs []string) (string, error) {
	if path == "" || path == "-" {
		return path, nil
	}
	if remote.Is(path) {
		return path, notAnInput(path, inputs)
	}
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return path, nil
	}
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s: exists and is not a regular file; it is not replaced", path)
	}
	files, err := data.Files(inputs)
	if err != nil {
		return "", err
	}
	for _, file := range files {
		if in, err := os.Stat(file); err == nil && !remote.Is(file) && os.SameFile(in, info) {
			return "", fmt.Errorf("%s: is an input too; it is not replaced", path)
		}
	}
	return filepath.EvalSymlinks(path)
}

// printJSON writes v indented.
func (p *program) printJSON(v any) error { return indentedJSON(p.stdout).Encode(v) }

func indentedJSON(w io.Writer) *json.Encoder {
	e := jsonLines(w)
	e.SetIndent("", "  ")
	return e
}

// jsonLines writes values one a line.
func jsonLines(w io.Writer) *json.Encoder {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e
}
