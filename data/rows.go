package data

import (
	"encoding/json"
	"fmt"
	"iter"
	"strings"
)

// Row is one JSON object of a file whose rows are not trajectories.
type Row struct {
	File   string
	Line   int // from 1
	id     string
	prefix string
	fields map[string]json.RawMessage
}

// Rows yields the rows of the paths one by one, as Read finds and opens them. With an error the row is nil; a *RowError
// concerns one row, after any other error the sequence ends.
func Rows(paths []string, opt ReadOptions) iter.Seq2[*Row, error] {
	return func(yield func(*Row, error) bool) {
		for line, err := range Lines(paths, opt) {
			var row *Row
			if err == nil {
				row, err = NewRow(line)
			}
			if !yield(row, err) {
				return
			}
		}
	}
}

// NewRow reads the JSON object of a line. Its errors are *RowError.
func NewRow(line Line) (*Row, error) {
	fields, err := parseObject(line.Text)
	if err != nil {
		return nil, &RowError{File: line.File, Line: line.Number, Err: err}
	}
	row := &Row{File: line.File, Line: line.Number, fields: fields}
	if row.TakeText("id", &row.id) != nil {
		row.id = ""
	}
	return row, nil
}

// Has tells whether the row has the field, with a value other than null.
func (r *Row) Has(name string) bool {
	raw, ok := r.fields[name]
	return ok && string(raw) != "null"
}

// Take decodes a field into what the pointer points to, which stays as it is where the field is missing or null.
// The error is a *RowError that names the field.
func (r *Row) Take(name string, into any) error {
	return r.Fail(take(r.fields, r.prefix, name, into))
}

// Need is Take for a field that must be there.
func (r *Row) Need(name string, into any) error {
	if !r.Has(name) {
		return r.FailField(name, "missing")
	}
	return r.Take(name, into)
}

// TakeText is Take for a string, or for a number, which is taken as it is written.
func (r *Row) TakeText(name string, into *string) error {
	if raw := r.fields[name]; len(raw) > 0 && (raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9') {
		*into = string(raw)
		return nil
	}
	return r.Take(name, into)
}

// Numbers are the numbers of a field that holds a list of them; null among them is refused, which encoding/json would turn into 0.
func (r *Row) Numbers(name string) ([]float64, error) {
	var list []*float64
	if err := r.Take(name, &list); err != nil {
		return nil, err
	}
	return r.numbers(name, list)
}

func (r *Row) numbers(name string, list []*float64) ([]float64, error) {
	var numbers []float64
	for i, v := range list {
		if v == nil {
			return nil, r.FailField(fmt.Sprintf("%s[%d]", name, i), "null where a number is expected")
		}
		numbers = append(numbers, *v)
	}
	return numbers, nil
}

// Objects are the objects of a field that holds a list of them.
func (r *Row) Objects(name string) ([]*Row, error) {
	var list []json.RawMessage
	if err := r.Take(name, &list); err != nil {
		return nil, err
	}
	rows := make([]*Row, len(list))
	for i, raw := range list {
		rows[i] = &Row{File: r.File, Line: r.Line, id: r.id, prefix: fmt.Sprintf("%s%s[%d].", r.prefix, name, i)}
		if err := json.Unmarshal(raw, &rows[i].fields); err != nil || rows[i].fields == nil {
			return nil, r.FailField(fmt.Sprintf("%s[%d]", name, i), "not an object")
		}
	}
	return rows, nil
}

// Fail puts the row's place to an error; nil stays nil.
func (r *Row) Fail(err error) error {
	if err == nil {
		return nil
	}
	return &RowError{File: r.File, Line: r.Line, ID: r.id, Err: err}
}

// FailField says what is wrong with a field of the row.
func (r *Row) FailField(name, format string, args ...any) error {
	return r.Fail(fieldErr(r.prefix+name, format, args...))
}

// first is the first of the names that the row has, "" if it has none.
func (r *Row) first(names ...string) string {
	for _, name := range names {
		if r.Has(name) {
			return name
		}
	}
	return ""
}

// DefaultID is the id of a row that has none: the file's name and the line.
func (r *Row) DefaultID() string { return fmt.Sprintf("%s:%d", stem(r.File), r.Line) }

// alternatives joins names for an error message.
func alternatives(names []string) string {
	last := len(names) - 1
	if last == 0 {
		return names[0]
	}
	return strings.Join(names[:last], ", ") + " or " + names[last]
}
