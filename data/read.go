package data

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"path/filepath"
	"strings"

	"github.com/goprm/goprm/internal/rowfile"
)

// ReadOptions says how Read reads; the zero value reads whole files from disk.
type ReadOptions struct {
	// MaxLine is the longest line accepted, in bytes; 0 means 64 MiB. It bounds Read's memory.
	// Of a parquet file it is the longest row, as JSON.
	MaxLine int
	// Stdin is read for the path "-"; nil means os.Stdin.
	Stdin io.Reader
}

const defaultMaxLine = 64 << 20

// Validate refuses a negative limit.
func (o ReadOptions) Validate() error {
	if o.MaxLine < 0 {
		return fmt.Errorf("MaxLine %d is negative", o.MaxLine)
	}
	return nil
}

// RowError is a row that cannot be used. Reading goes on with the next row if the caller keeps ranging.
type RowError struct {
	File string
	Line int    // from 1; of a parquet file, the row
	ID   string // the row's id, if it got that far
	Err  error  // a *FieldError where one field is to blame
}

func (e *RowError) Error() string {
	id := ""
	if e.ID != "" {
		id = fmt.Sprintf(" (id %q)", e.ID)
	}
	return fmt.Sprintf("%s:%d%s: %v", e.File, e.Line, id, e.Err)
}
func (e *RowError) Unwrap() error { return e.Err }

// Read yields the trajectories of the paths one by one, holding one row in memory (of parquet, a page of each column). A path
// is a file, a folder (its data files in the order of their names, see Files) or "-". Files hold JSON lines, which may be compressed with
// gzip or Zstandard, or parquet, in a program that imports _ "github.com/goprm/goprm/data/parquet"; their first bytes tell. The kind of a
// file's rows is decided by the fields of its first row. In a program that imports _ "github.com/goprm/goprm/data/s3" a path may be an
// address s3://bucket/key too, whose object is copied to the user's cache while the program runs.
//
// A row without an id gets "file-stem:line"; where a row holds several trajectories each has its name appended after a slash.
// Ids need not be unique. Blank lines are passed over.
//
// With each error the trajectory is nil. A *RowError concerns one row; after any other error the sequence ends.
func Read(paths []string, opt ReadOptions) iter.Seq2[*Trajectory, error] {
	return func(yield func(*Trajectory, error) bool) {
		if err := opt.Validate(); err != nil {
			yield(nil, err)
			return
		}
		files, err := Files(paths)
		if err != nil {
			yield(nil, err)
			return
		}
		for _, file := range files {
			if !readFile(file, opt, yield) {
				return
			}
		}
	}
}

// readFile reports whether the next file should be read.
func readFile(file string, opt ReadOptions, yield func(*Trajectory, error) bool) bool {
	kind := rowKind{}
	return readLines(file, opt, func(line Line, err error) bool {
		if err != nil {
			return yield(nil, err)
		}
		row, err := parseObject(line.Text)
		if err == nil && kind.read == nil {
			if kind, err = detect(row); err != nil {
				// No RowError: a caller that skips bad rows must not skip a whole file.
				yield(nil, fmt.Errorf("%s:%d: %w", line.File, line.Number, err))
				return false
			}
		}
		if err != nil {
			return yield(nil, &RowError{File: line.File, Line: line.Number, Err: err})
		}
		parts, err := readRow(row, kind, line)
		if err != nil {
			return yield(nil, err)
		}
		for _, p := range parts {
			if !yield(p.Trajectory, nil) {
				return false
			}
		}
		return true
	})
}

// readRow reads all trajectories of a row, or none: its error is a *RowError.
func readRow(r row, kind rowKind, line Line) ([]part, error) {
	fail := func(id string, err error) ([]part, error) {
		return nil, &RowError{File: line.File, Line: line.Number, ID: id, Err: err}
	}
	parts, err := kind.read(r)
	if err != nil {
		id := ""
		if json.Unmarshal(r["id"], &id) != nil {
			id = ""
		}
		return fail(id, err)
	}
	for _, p := range parts {
		if p.ID == "" {
			p.ID = fmt.Sprintf("%s:%d", stem(line.File), line.Number)
		}
		if p.name != "" {
			p.ID += "/" + p.name
		}
		p.Where = fmt.Sprintf("%s:%d", line.File, line.Number)
		if err := p.Validate(); err != nil {
			return fail(p.ID, err)
		}
	}
	return parts, nil
}

// Line is one line of a text file, or one row of a parquet file as a JSON object.
type Line struct {
	File   string
	Number int    // from 1
	Text   []byte // without its newline, valid until the next line
}

// Lines yields the lines of the paths one by one, as Read finds and opens them. Blank lines are passed over. A *RowError
// is a line that is too long; after any other error the sequence ends.
func Lines(paths []string, opt ReadOptions) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		if err := opt.Validate(); err != nil {
			yield(Line{}, err)
			return
		}
		files, err := Files(paths)
		if err != nil {
			yield(Line{}, err)
			return
		}
		for _, file := range files {
			if !readLines(file, opt, yield) {
				return
			}
		}
	}
}

// readLines reports whether the next file should be read.
func readLines(file string, opt ReadOptions, yield func(Line, error) bool) bool {
	limit := opt.MaxLine
	if limit == 0 {
		limit = defaultMaxLine
	}
	if isParquet(file) {
		return readParquet(file, limit, yield)
	}
	name, in, err := open(file, opt)
	if err != nil {
		yield(Line{}, err)
		return false
	}
	defer func() { _ = in.Close() }() // nothing was written
	lines := lineReader{in: bufio.NewReaderSize(in, 64<<10), limit: limit}
	switch head, err := lines.in.Peek(len(rowfile.Magic)); {
	case err != nil && err != io.EOF:
		yield(Line{}, fmt.Errorf("%s: %w", name, readReason(err)))
		return false
	case bytes.Equal(head, rowfile.Magic):
		yield(Line{}, fmt.Errorf("%s: parquet cannot be read from a stream or compressed as a whole: give the path of the plain file", name))
		return false
	}
	for rows := 0; ; {
		text, err := lines.next()
		line := Line{File: name, Number: lines.number, Text: text}
		switch {
		case err == io.EOF && rows == 0:
			yield(Line{}, fmt.Errorf("%s: no rows", name))
			return false
		case err == io.EOF:
			return true
		case errors.Is(err, errLongLine):
			err = &RowError{File: name, Line: lines.number, Err: err}
		case err != nil:
			yield(Line{}, fmt.Errorf("%s: after line %d: %w", name, lines.number, readReason(err)))
			return false
		case len(bytes.TrimSpace(text)) == 0:
			continue
		}
		rows++
		if !yield(line, err) {
			return false
		}
	}
}

// stem is the file's name without folder and without the endings that only say how it is written.
func stem(file string) string {
	name := filepath.Base(file)
	for _, end := range []string{".gz", ".zst", ".jsonl", ".ndjson", ".json", ".parquet"} {
		name = strings.TrimSuffix(name, end)
	}
	return name
}

var errLongLine = errors.New("line too long")

// lineReader cuts a stream into lines of bounded length.
type lineReader struct {
	in     *bufio.Reader
	limit  int
	number int // of the line returned last, from 1
	buf    []byte
}

// maxSkipped is how many bytes of a line that is too long are read to find its end, besides four times the limit.
const maxSkipped = 256 << 20

// next returns a line without its newline, valid until the next call. A line longer than the limit is read to its end,
// without keeping it, and reported as errLongLine.
func (l *lineReader) next() ([]byte, error) {
	l.buf = l.buf[:0]
	length := 0
	for {
		if length > 4*l.limit+maxSkipped {
			return nil, fmt.Errorf("line %d has more than %d bytes and no end yet: is this a file of lines?", l.number, length)
		}
		chunk, err := l.in.ReadSlice('\n')
		if length == 0 && len(chunk) > 0 {
			l.number++
		}
		length += len(chunk)
		if length <= l.limit+1 {
			l.buf = append(l.buf, chunk...)
		}
		switch {
		case err == bufio.ErrBufferFull:
			continue
		case err == io.EOF && length == 0:
			return nil, io.EOF
		case err != nil && err != io.EOF:
			return nil, err
		}
		content := length
		if err == nil {
			content-- // the newline
		}
		if content > l.limit {
			return nil, fmt.Errorf("%w: %d bytes, at most %d are read", errLongLine, content, l.limit)
		}
		return bytes.TrimSuffix(l.buf, []byte("\n")), nil
	}
}
