package main

import (
	"bufio"
	"encoding/json"
	"io"

	"github.com/goprm/goprm/internal/atomicfile"
)

// output writes results to a file, which appears when it is whole, or to stdout for "" and "-".
func (p *program) output(path string, write func(io.Writer) error) error {
	if path != "" && path != "-" {
		return atomicfile.WriteFile(path, write)
	}
	w := bufio.NewWriter(p.stdout)
	if err := write(w); err != nil {
		return err
	}
	return w.Flush()
}

// printJSON writes v indented.
func (p *program) printJSON(v any) error {
	e := json.NewEncoder(p.stdout)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// jsonLines writes values one a line.
func jsonLines(w io.Writer) *json.Encoder {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e
}
