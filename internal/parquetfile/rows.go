package parquetfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/goprm/goprm/internal/rowfile"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"
)

// RowError is a row that cannot be read, while its neighbours can.
type RowError = rowfile.RowError

// maxList is how many values a column may hold in one row.
const maxList = 1 << 20

type value = parquet.Value

// Rows yields the rows as JSON objects, of at most limit bytes each, valid until the next row. A *RowError concerns one row; after any
// other error the sequence ends.
// It holds one page of each column.
func (f *File) Rows(limit int) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		number := 0
		w := newRowWriter(limit)
		for g := range f.meta.RowGroups {
			r := f.groupRows(g, limit)
			for range f.meta.RowGroups[g].NumRows {
				number++
				row, err := r.next(w, number)
				var bad *RowError
				ended := err != nil && !errors.As(err, &bad)
				if ended {
					err = fmt.Errorf("row %d: %w", number, err)
				}
				if !yield(row, err) || ended {
					return
				}
			}
			if err := r.atEnd(); err != nil {
				yield(nil, fmt.Errorf("after row %d: %w", number, err))
				return
			}
		}
	}
}

// groupReader reads the rows of one row group.
type groupReader struct {
	root    *node
	cursors []*cursor
	row     [][]value // of each leaf, the values of one row
}

func (f *File) groupRows(g, limit int) *groupReader {
	r := &groupReader{root: f.root, row: make([][]value, len(f.leaves))}
	chunks := f.decoder.RowGroups()[0].ColumnChunks()
	for i, leaf := range f.leaves {
		stream := f.pages(&f.meta.RowGroups[g].Columns[i], leaf)
		r.cursors = append(r.cursors, &cursor{leaf: leaf, limit: limit, stream: stream,
			pages: chunks[i].(*parquet.FileColumnChunk).PagesFrom(stream)})
	}
	return r
}

func (r *groupReader) next(w *rowWriter, number int) ([]byte, error) {
	var tooLong error
	for i, c := range r.cursors {
		var err error
		if r.row[i], err = c.row(r.row[i][:0]); errors.Is(err, errTooLong) {
			tooLong = err
		} else if err != nil {
			return nil, fmt.Errorf("column %s: %w", c.leaf.path, err)
		}
	}
	if tooLong != nil {
		return nil, &RowError{Row: number, Err: tooLong}
	}
	w.text.Reset()
	if err := w.group(r.root, r.row); err != nil {
		if errors.Is(err, errShape) {
			return nil, err
		}
		return nil, &RowError{Row: number, Err: err}
	}
	return w.text.Bytes(), nil
}

func (r *groupReader) atEnd() (err error) {
	defer rescue(&err)
	for _, c := range r.cursors {
		if _, err := c.peek(); err != io.EOF {
			return fmt.Errorf("column %s: more values than the row group has rows (%w)", c.leaf.path, err)
		}
	}
	return nil
}

var (
	errTooLong = errors.New("row too long")
	errShape   = errors.New("columns do not fit each other: the file is damaged")
)

// cursor reads one column chunk, row by row.
type cursor struct {
	leaf   *node
	limit  int // bytes of a row
	stream *pageStream
	pages  *parquet.FilePages
	values parquet.ValueReader
	loaded int // pages
	buf    [64]value
	at, n  int // the values of buf that are not yet taken
}

// peek returns the next value, or io.EOF after the last.
func (c *cursor) peek() (*value, error) {
	for c.at == c.n {
		if c.values == nil {
			page, err := c.pages.ReadPage()
			switch {
			case c.stream.err != nil:
				return nil, c.stream.err
			case err != nil:
				return nil, err
			}
			// The page is never released: that would return its memory to a pool while values of the row still point into it.
			c.values = page.Values()
			c.loaded++
		}
		n, err := c.values.ReadValues(c.buf[:])
		c.at, c.n = 0, n
		if err == io.EOF {
			c.values = nil
		} else if err != nil {
			return nil, err
		} else if n == 0 {
			return nil, io.ErrNoProgress
		}
	}
	return &c.buf[c.at], nil
}

// row appends the next row's values to into. A row too long is read to its end, and errTooLong returned.
func (c *cursor) row(into []value) (row []value, err error) {
	defer rescue(&err)
	size, copied, loaded := 0, 0, c.loaded
	for first := true; ; first = false {
		v, err := c.peek()
		switch {
		case err == io.EOF && first:
			return nil, errors.New("fewer values than the row group has rows")
		case err == io.EOF:
		case err != nil:
			return nil, err
		case first && v.RepetitionLevel() != 0:
			return nil, errShape
		}
		if err == io.EOF || !first && v.RepetitionLevel() == 0 {
			if size > c.limit || len(into) > maxList {
				return into[:0], fmt.Errorf("%w: column %s alone has more than the %d bytes or %d values that are read", errTooLong, c.leaf.path,
					c.limit, maxList)
			}
			return into, nil
		}
		if c.loaded != loaded {
			// A row over many pages must not hold them all.
			for ; copied < len(into); copied++ {
				into[copied] = into[copied].Clone()
			}
			loaded = c.loaded
		}
		c.at++
		if v.Kind() == parquet.ByteArray {
			size += len(v.ByteArray())
		}
		if size <= c.limit && len(into) <= maxList {
			into = append(into, *v)
		}
	}
}

// rowWriter writes a row as JSON.
type rowWriter struct {
	text  bytes.Buffer
	json  *json.Encoder // into text, for strings
	limit int
}

func newRowWriter(limit int) *rowWriter {
	w := &rowWriter{limit: limit}
	w.json = json.NewEncoder(&w.text)
	w.json.SetEscapeHTML(false)
	return w
}

// group writes the node's children as an object; of each of its leaves, values holds those of this one object.
func (w *rowWriter) group(n *node, values [][]value) error {
	w.text.WriteByte('{')
	for _, child := range n.children {
		of := values[child.first-n.first : child.end-n.first]
		if child.inline {
			if err := w.members(child, of); err != nil {
				return err
			}
			continue
		}
		w.comma('{')
		if err := w.string(child.name); err != nil {
			return fmt.Errorf("column %q: its name is %w", child.path, err)
		}
		w.text.WriteByte(':')
		if err := w.node(child, of); err != nil {
			return err
		}
	}
	w.text.WriteByte('}')
	return nil
}

// comma goes before a member or element, except the first.
func (w *rowWriter) comma(open byte) {
	if b := w.text.Bytes(); b[len(b)-1] != open {
		w.text.WriteByte(',')
	}
}

// members writes what stands between the braces of an object in an inlined column.
func (w *rowWriter) members(n *node, values [][]value) error {
	if len(values[0]) != 1 {
		return errShape
	}
	if values[0][0].IsNull() {
		return nil
	}
	text, begins := bytes.CutPrefix(bytes.TrimSpace(values[0][0].ByteArray()), []byte("{"))
	text, ends := bytes.CutSuffix(text, []byte("}"))
	if text = bytes.TrimSpace(text); begins && ends && len(text) > 0 {
		w.comma('{')
	}
	if !begins || !ends || !json.Valid(values[0][0].ByteArray()) {
		return fmt.Errorf("column %s: its text is not a JSON object", n.path)
	}
	return w.raw(text)
}

// node writes null, an array or what else the node holds.
func (w *rowWriter) node(n *node, values [][]value) error {
	if len(values[0]) == 0 {
		return errShape
	}
	if n.optional && values[0][0].DefinitionLevel() < n.maxDef {
		w.text.WriteString("null")
		return nil
	}
	switch {
	case n.repeated:
		return w.array(n, nil, values)
	case n.list:
		repeated := n.children[0]
		return w.array(repeated, repeated.element(n.name), values)
	}
	return w.one(n, values)
}

// array writes the instances of the repeated node n, or of its only child where that is the element.
func (w *rowWriter) array(n, element *node, values [][]value) error {
	w.text.WriteByte('[')
	if values[0][0].DefinitionLevel() >= n.maxDef {
		rest := make([][]value, len(values))
		copy(rest, values)
		instance := make([][]value, len(values))
		for len(rest[0]) > 0 {
			for leaf, vs := range rest {
				if len(vs) == 0 {
					return errShape
				}
				end := 1
				for end < len(vs) && vs[end].RepetitionLevel() > n.maxRep {
					end++
				}
				instance[leaf], rest[leaf] = vs[:end], vs[end:]
			}
			w.comma('[')
			var err error
			if element != nil {
				err = w.node(element, instance)
			} else {
				err = w.one(n, instance)
			}
			if err != nil {
				return err
			}
		}
		for _, vs := range rest {
			if len(vs) > 0 {
				return errShape
			}
		}
	}
	w.text.WriteByte(']')
	return nil
}

// one writes a single object or value.
func (w *rowWriter) one(n *node, values [][]value) error {
	if n.write == nil {
		return w.group(n, values)
	}
	if len(values[0]) != 1 || values[0][0].IsNull() {
		return errShape
	}
	if err := n.write(w, values[0][0]); err != nil {
		return fmt.Errorf("column %s: %w", n.path, err)
	}
	if w.text.Len() > w.limit {
		return fmt.Errorf("%w: more than the %d bytes that are read", errTooLong, w.limit)
	}
	return nil
}

func (w *rowWriter) string(s string) error {
	if !utf8.ValidString(s) {
		return errors.New("not valid UTF-8")
	}
	if err := w.json.Encode(s); err != nil {
		return err
	}
	w.text.Truncate(w.text.Len() - 1) // the newline
	return nil
}

// writerOf returns how values of the column are written, nil if they are not read.
func writerOf(e *format.SchemaElement) func(*rowWriter, value) error {
	logical, converted := e.LogicalType.Value, deprecated.ConvertedType(-1)
	if e.ConvertedType.Valid {
		converted = e.ConvertedType.V
	}
	if _, decimal := logical.(*format.DecimalType); decimal || converted == deprecated.Decimal {
		return nil
	}
	switch e.Type.V {
	case format.Boolean:
		return func(w *rowWriter, v value) error { return w.raw(strconv.AppendBool(nil, v.Boolean())) }
	case format.Int32, format.Int64:
		return integerWriter(e.Type.V == format.Int32, logical, converted)
	case format.Float:
		return func(w *rowWriter, v value) error { return w.float(float64(v.Float()), 32) }
	case format.Double:
		return func(w *rowWriter, v value) error { return w.float(v.Double(), 64) }
	case format.ByteArray:
		switch logical.(type) {
		case nil, *format.StringType, *format.EnumType, *format.JsonType:
		default:
			return nil
		}
		switch {
		case isJSON(e):
			return (*rowWriter).document
		case converted == deprecated.Bson:
			return nil
		}
		return func(w *rowWriter, v value) error { return w.string(string(v.ByteArray())) }
	}
	return nil
}

func integerWriter(short bool, logical format.LogicalTypeValue, converted deprecated.ConvertedType) func(*rowWriter, value) error {
	signed := func(v value) int64 {
		if short {
			return int64(v.Int32())
		}
		return v.Int64()
	}
	timestamp := func(unit time.Duration, layout string) func(*rowWriter, value) error {
		return func(w *rowWriter, v value) error {
			n, perSecond := signed(v), int64(time.Second/unit)
			return w.string(time.Unix(n/perSecond, n%perSecond*int64(unit)).UTC().Format(layout))
		}
	}
	date := func(w *rowWriter, v value) error {
		return w.string(time.Unix(signed(v)*24*60*60, 0).UTC().Format(time.DateOnly))
	}
	unsigned := converted >= deprecated.Uint8 && converted <= deprecated.Uint64
	switch t := logical.(type) {
	case *format.TimestampType:
		layout := "2006-01-02T15:04:05.999999999"
		if t.IsAdjustedToUTC {
			layout += "Z"
		}
		if t.Unit.Value == nil {
			return nil
		}
		return timestamp(t.Unit.Value.Duration(), layout)
	case *format.DateType:
		return date
	case *format.TimeType:
		return nil
	case *format.IntType:
		unsigned = !t.IsSigned
	}
	switch converted {
	case deprecated.TimestampMillis:
		return timestamp(time.Millisecond, time.RFC3339Nano)
	case deprecated.TimestampMicros:
		return timestamp(time.Microsecond, time.RFC3339Nano)
	case deprecated.Date:
		return date
	case deprecated.TimeMillis, deprecated.TimeMicros:
		return nil
	}
	switch {
	case unsigned && short:
		return func(w *rowWriter, v value) error { return w.raw(strconv.AppendUint(nil, uint64(v.Uint32()), 10)) }
	case unsigned:
		return func(w *rowWriter, v value) error { return w.raw(strconv.AppendUint(nil, v.Uint64(), 10)) }
	}
	return func(w *rowWriter, v value) error { return w.raw(strconv.AppendInt(nil, signed(v), 10)) }
}

func (w *rowWriter) raw(b []byte) error {
	_, err := w.text.Write(b)
	return err
}

func (w *rowWriter) float(v float64, bits int) error {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return fmt.Errorf("%v is not a finite number", v)
	}
	return w.raw(strconv.AppendFloat(nil, v, 'g', -1, bits))
}

// document writes a JSON value that the column holds as text.
func (w *rowWriter) document(v value) error {
	b := v.ByteArray()
	if !json.Valid(b) {
		return errors.New("its text is not JSON")
	}
	if bytes.ContainsAny(b, "\n\r") {
		return json.Compact(&w.text, b)
	}
	return w.raw(b)
}
