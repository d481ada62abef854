package parquetfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/goprm/goprm/internal/rowfile"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// Magic begins and ends a parquet file.
var Magic = rowfile.Magic

const (
	tail      = 8 // the footer's length and the magic
	maxFooter = 64 << 20
	// A value may take less than a bit (all null, or all the same), yet what is made of it takes some ten bytes. A file may hold
	// fewValues, and valuesPerByte for each of its bytes: a real row has texts.
	fewValues     = 1 << 16
	valuesPerByte = 16
)

// File is an open parquet file whose metadata was checked.
type File struct {
	in      io.ReaderAt
	meta    format.FileMetaData
	root    *node
	leaves  []*node
	decoder *parquet.File // the schema with one empty row group, for decoding pages
	most    int64         // values that a column chunk may hold
	zstd    *zstd.Decoder
}

// Open reads and checks the metadata of the file of the given size.
func Open(in io.ReaderAt, size int64) (f *File, err error) {
	defer rescue(&err)
	footer, err := readFooter(in, size)
	if err != nil {
		return nil, err
	}
	f = &File{in: in, most: fewValues + valuesPerByte*size}
	if err := decode(footer, true, &f.meta); err != nil {
		return nil, fmt.Errorf("footer of %d bytes at offset %d: %w", len(footer), size-tail-int64(len(footer)), err)
	}
	if err := f.setSchema(); err != nil {
		return nil, err
	}
	if err := f.checkRowGroups(size - tail - int64(len(footer))); err != nil {
		return nil, err
	}
	if f.zstd, err = newZstd(); err != nil {
		return nil, err
	}
	return f, f.openDecoder()
}

// rescue makes a panic an error. parquet-go panics on some damaged pages that none of the checks here can know of.
func rescue(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("damaged file: %v", p)
	}
}

func readFooter(in io.ReaderAt, size int64) ([]byte, error) {
	if size < int64(len(Magic))+tail {
		return nil, fmt.Errorf("%d bytes are too few for a parquet file (cut off while written or copied?)", size)
	}
	head, end := make([]byte, len(Magic)), make([]byte, tail)
	if err := readAt(in, head, 0); err != nil {
		return nil, err
	}
	if err := readAt(in, end, size-tail); err != nil {
		return nil, err
	}
	switch {
	case !bytes.Equal(head, Magic):
		return nil, fmt.Errorf("begins with %q, not with %q: no parquet file", head, Magic)
	case string(end[4:]) == "PARE":
		return nil, errors.New("encrypted parquet is not read")
	case !bytes.Equal(end[4:], Magic):
		return nil, fmt.Errorf("ends with %q, not with %q (cut off while written or copied?)", end[4:], Magic)
	}
	n := int64(binary.LittleEndian.Uint32(end))
	if n > min(size-tail-int64(len(Magic)), maxFooter) {
		return nil, fmt.Errorf("footer of %d bytes in a file of %d (at most %d are read)", n, size, maxFooter)
	}
	footer := make([]byte, n)
	return footer, readAt(in, footer, size-tail-n)
}

func readAt(in io.ReaderAt, b []byte, offset int64) error {
	if n, err := in.ReadAt(b, offset); n < len(b) {
		return fmt.Errorf("offset %d: %w", offset+int64(n), err)
	}
	return nil
}

// decode reads the one structure that b holds.
func decode(b []byte, chunks bool, into any) error {
	n, err := thriftLength(b, chunks)
	if err != nil {
		return err
	}
	if n != len(b) {
		return fmt.Errorf("%w: %d bytes after its end", errThrift, len(b)-n)
	}
	if err := thrift.Unmarshal(&thrift.CompactProtocol{}, b, into); err != nil {
		return fmt.Errorf("%w: %w", errThrift, err)
	}
	return nil
}

// checkRowGroups checks counts, offsets and sizes of all column chunks; the pages end where the footer begins.
func (f *File) checkRowGroups(end int64) error {
	rows, bytes := int64(0), int64(0)
	for g := range f.meta.RowGroups {
		group := &f.meta.RowGroups[g]
		if group.NumRows < 0 || group.NumRows > f.most-rows {
			return fmt.Errorf("row group %d: %d rows in a file of this size", g, group.NumRows)
		}
		rows += group.NumRows
		if len(group.Columns) != len(f.leaves) {
			return fmt.Errorf("row group %d: %d columns, the schema has %d", g, len(group.Columns), len(f.leaves))
		}
		for i := range group.Columns {
			n, err := f.checkChunk(&group.Columns[i], f.leaves[i], group.NumRows, end)
			if err != nil {
				return fmt.Errorf("row group %d: column %s: %w", g, f.leaves[i].path, err)
			}
			if bytes += n; bytes > end {
				return fmt.Errorf("row group %d: column %s: column chunks overlap", g, f.leaves[i].path)
			}
		}
	}
	if rows != f.meta.NumRows {
		return fmt.Errorf("the footer says %d rows, its row groups %d", f.meta.NumRows, rows)
	}
	return nil
}

func (f *File) checkChunk(c *format.ColumnChunk, leaf *node, rows, end int64) (size int64, err error) {
	m := &c.MetaData
	start := chunkStart(m)
	switch {
	case c.FilePath != "":
		return 0, fmt.Errorf("its data is in another file (%q)", c.FilePath)
	case c.CryptoMetadata.Value != nil || len(c.EncryptedColumnMetadata) > 0:
		return 0, errors.New("encrypted columns are not read")
	case m.Type != leaf.kind:
		return 0, fmt.Errorf("type %s, the schema says %s", m.Type, leaf.kind)
	case m.NumValues < 0 || m.NumValues > f.most:
		return 0, fmt.Errorf("%d values in a file of this size", m.NumValues)
	case leaf.maxRep == 0 && m.NumValues != rows || m.NumValues < rows:
		return 0, fmt.Errorf("%d values for %d rows", m.NumValues, rows)
	case m.NumValues == 0:
		return 0, nil
	case m.TotalCompressedSize <= 0 || start < int64(len(Magic)) || start > end || m.TotalCompressedSize > end-start:
		return 0, fmt.Errorf("%d bytes at offset %d go beyond the data, which ends at %d", m.TotalCompressedSize, start, end)
	case !slices.Contains(codecs, m.Codec):
		return 0, fmt.Errorf("compression %s is not read (only UNCOMPRESSED, SNAPPY, GZIP and ZSTD are)", m.Codec)
	}
	return m.TotalCompressedSize, nil
}

// chunkStart is where the chunk's first page is: its dictionary, if that is told.
func chunkStart(m *format.ColumnMetaData) int64 {
	if d := m.DictionaryPageOffset; d > 0 && d < m.DataPageOffset {
		return d
	}
	return m.DataPageOffset
}

// openDecoder opens, for parquet-go, a file that has the schema and one row group without compression. The pages come from a pageStream.
func (f *File) openDecoder() error {
	meta := format.FileMetaData{Version: f.meta.Version, Schema: slices.Clone(f.meta.Schema)}
	group := format.RowGroup{}
	for _, leaf := range f.leaves {
		group.Columns = append(group.Columns, format.ColumnChunk{MetaData: format.ColumnMetaData{
			Type: leaf.kind, Codec: format.Uncompressed, PathInSchema: []string{leaf.path},
			DataPageOffset: int64(len(Magic)), TotalCompressedSize: math.MaxInt64 / 2,
		}})
	}
	meta.RowGroups = append(meta.RowGroups, group)
	footer, err := thrift.Marshal(&thrift.CompactProtocol{}, &meta)
	if err != nil {
		return err
	}
	b := append(slices.Clone(Magic), footer...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(footer)))
	b = append(b, Magic...)
	f.decoder, err = parquet.OpenFile(bytes.NewReader(b), int64(len(b)), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	return err
}

// Keys of the file's metadata that say what a column of texts holds, each followed by the column's path.
const (
	JSONKey   = "goprm.json"   // JSON: it is written as such, not as a string
	InlineKey = "goprm.inline" // JSON objects: their members stand in the object around the column, not under its name
)

// marked is the path of the column that a key names.
func (f *File) marked(key string) string {
	for _, kv := range f.meta.KeyValueMetadata {
		if kv.Key == key {
			return kv.Value
		}
	}
	return ""
}
