package data

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/goprm/goprm/internal/remote"
	"github.com/goprm/goprm/internal/rowfile"
)

// isParquet tells whether the path is a file that is named .parquet or begins as one. What is not a regular file can be read
// but once, from its beginning, and a parquet file is read from its end.
func isParquet(file string) bool {
	local, err := remote.Path(file)
	if err != nil {
		return false // opening it says why
	}
	if info, err := os.Stat(local); file == "-" || err != nil || !info.Mode().IsRegular() {
		return false
	}
	if strings.HasSuffix(file, ".parquet") {
		return true
	}
	f, err := os.Open(local)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }() // nothing was written
	head := make([]byte, len(rowfile.Magic))
	_, err = f.ReadAt(head, 0)
	return err == nil && bytes.Equal(head, rowfile.Magic)
}

// readParquet yields the rows as lines of JSON, and reports whether the next file should be read.
func readParquet(file string, limit int, yield func(Line, error) bool) bool {
	fail := func(err error) bool {
		yield(Line{}, err)
		return false
	}
	local, err := remote.Path(file)
	if err != nil {
		return fail(err)
	}
	in, err := os.Open(local)
	if err != nil {
		return fail(err)
	}
	defer func() { _ = in.Close() }() // nothing was written
	info, err := in.Stat()
	if err != nil {
		return fail(err)
	}
	format, err := rowfile.Parquet()
	if err != nil {
		return fail(fmt.Errorf("%s: %w", file, err))
	}
	f, err := format.Open(in, info.Size())
	if err != nil {
		return fail(fmt.Errorf("%s: %w", file, err))
	}
	number := 0
	for text, err := range f.Rows(limit) {
		number++
		var bad *rowfile.RowError
		switch {
		case errors.As(err, &bad):
			err = &RowError{File: file, Line: number, Err: bad.Err}
		case err != nil:
			return fail(fmt.Errorf("%s: %w", file, err))
		}
		if !yield(Line{File: file, Number: number, Text: text}, err) {
			return false
		}
	}
	if number == 0 {
		return fail(fmt.Errorf("%s: no rows", file))
	}
	return true
}
