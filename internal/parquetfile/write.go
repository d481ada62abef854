package parquetfile

import (
	"io"

	"github.com/goprm/goprm/internal/rowfile"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"
)

func init() {
	rowfile.Register(rowfile.Format{
		Open:  func(in io.ReaderAt, size int64) (rowfile.Rows, error) { return Open(in, size) },
		Write: newWriter,
	})
}

func newWriter(w io.Writer) rowfile.Writer {
	options := []parquet.WriterOption{parquet.Compression(&zstd.Codec{}), parquet.DefaultEncodingFor(parquet.ByteArray, &parquet.Plain),
		parquet.DataPageStatistics(false), parquet.KeyValueMetadata(JSONKey, "meta"), parquet.KeyValueMetadata(InlineKey, "labels.extra")}
	for _, path := range parquet.SchemaOf(rowfile.Trajectory{}).Columns() {
		options = append(options, parquet.SkipPageBounds(path...)) // else whole texts stand in the footer, as bounds
	}
	return parquet.NewGenericWriter[rowfile.Trajectory](w, options...)
}
