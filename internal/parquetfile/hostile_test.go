package parquetfile

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"io"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
	"github.com/stretchr/testify/require"
)

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	b, err := thrift.Marshal(&thrift.CompactProtocol{}, v)
	require.NoError(t, err)
	return b
}

func withFooter(body, footer []byte) []byte {
	b := append(append([]byte{}, body...), footer...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(footer)))
	return append(b, Magic...)
}

// handmade is a file of one column, of values that are not null, in one page. Tests make it lie.
type handmade struct {
	element format.SchemaElement
	chunk   format.ColumnChunk
	meta    format.FileMetaData
	dict    *format.PageHeader
	dictRaw []byte
	page    format.PageHeader
	raw     []byte
}

// texts is a file that holds the texts.
func texts(list ...string) *handmade {
	h := &handmade{element: format.SchemaElement{Type: thrift.New(format.ByteArray), RepetitionType: thrift.New(format.Required), Name: "s"}}
	for _, s := range list {
		h.raw = append(binary.LittleEndian.AppendUint32(h.raw, uint32(len(s))), s...)
	}
	n := int32(len(list))
	h.page = format.PageHeader{Type: format.DataPage, DataPageHeader: thrift.New(format.DataPageHeader{NumValues: n, Encoding: format.Plain,
		DefinitionLevelEncoding: format.RLE, RepetitionLevelEncoding: format.RLE})}
	h.chunk.MetaData = format.ColumnMetaData{Type: format.ByteArray, PathInSchema: []string{"s"}, NumValues: int64(n)}
	h.meta = format.FileMetaData{Version: 2, NumRows: int64(n)}
	return h
}

// file puts the parts together; sizes that are not set are made true.
func (h *handmade) file(t testing.TB) []byte {
	body := append([]byte{}, Magic...)
	for _, p := range []struct {
		header *format.PageHeader
		raw    []byte
	}{{h.dict, h.dictRaw}, {&h.page, h.raw}} {
		if p.header == nil {
			continue
		}
		if p.header.CompressedPageSize == 0 {
			p.header.CompressedPageSize = int32(len(p.raw))
		}
		if p.header.UncompressedPageSize == 0 {
			p.header.UncompressedPageSize = int32(len(p.raw))
		}
		body = append(append(body, marshal(t, p.header)...), p.raw...)
	}
	m := &h.chunk.MetaData
	m.DataPageOffset = int64(len(Magic))
	if m.TotalCompressedSize == 0 {
		m.TotalCompressedSize = int64(len(body) - len(Magic))
	}
	h.meta.Schema = []format.SchemaElement{{Name: "schema", NumChildren: thrift.New[int32](1)}, h.element}
	if h.meta.RowGroups == nil {
		h.meta.RowGroups = []format.RowGroup{{Columns: []format.ColumnChunk{h.chunk}, NumRows: h.meta.NumRows}}
	}
	return withFooter(body, marshal(t, &h.meta))
}

func uvarint(v uint64) []byte { return binary.AppendUvarint(nil, v) }

// TestHostile has one file for each lie: refused by its own message, before memory is taken for it.
func TestHostile(t *testing.T) {
	got, bad, err := rows(texts("a", "b\"").file(t), 100)
	require.NoError(t, err)
	require.Zero(t, bad)
	require.Equal(t, []string{`{"s":"a"}`, `{"s":"b\""}`}, got)

	zeros := make([]byte, 64<<20)
	var gz bytes.Buffer
	z := gzip.NewWriter(&gz)
	_, err = z.Write(zeros)
	require.NoError(t, err)
	require.NoError(t, z.Close())
	enc, err := zstd.NewWriter(nil)
	require.NoError(t, err)
	zst := enc.EncodeAll(zeros, nil)

	compressed := func(codec format.CompressionCodec, raw []byte, size int32) *handmade {
		h := texts("a")
		h.chunk.MetaData.Codec, h.raw, h.page.UncompressedPageSize = codec, raw, size
		return h
	}
	change := func(f func(h *handmade)) *handmade { h := texts("a", "b"); f(h); return h }
	runs := func(levels []byte) *handmade {
		return change(func(h *handmade) {
			h.element.RepetitionType = thrift.New(format.Optional)
			h.raw = append(append(binary.LittleEndian.AppendUint32(nil, uint32(len(levels))), levels...), h.raw...)
		})
	}
	indices := func(raw []byte) *handmade {
		return change(func(h *handmade) {
			h.dict, h.dictRaw = &format.PageHeader{Type: format.DictionaryPage,
				DictionaryPageHeader: thrift.New(format.DictionaryPageHeader{NumValues: 2})}, h.raw
			h.page.DataPageHeader.V.Encoding, h.raw = format.RLEDictionary, raw
		})
	}
	v2 := func(f func(*format.DataPageHeaderV2)) *handmade {
		return change(func(h *handmade) {
			h.page.Type, h.page.DataPageHeader = format.DataPageV2, thrift.Null[format.DataPageHeader]{}
			h.page.DataPageHeaderV2 = thrift.New(format.DataPageHeaderV2{NumValues: 2, NumRows: 2})
			f(&h.page.DataPageHeaderV2.V)
		})
	}
	many := bytes.Repeat(append(uvarint(64<<1), 0, 0), 1000)
	for _, c := range []struct {
		file *handmade
		want string
	}{
		{change(func(h *handmade) { h.meta.NumRows = 3; h.chunk.MetaData.NumValues = 3 }),
			"row 2: column s: page at offset 35: the column chunk ends 1 values too early"},
		{change(func(h *handmade) { h.meta.NumRows = math.MaxInt64 }), "rows in a file of this size"},
		{change(func(h *handmade) { h.meta.NumRows = 1 << 40; h.chunk.MetaData.NumValues = 1 << 40 }), "rows in a file of this size"},
		{change(func(h *handmade) { h.chunk.MetaData.NumValues = -1 }), "-1 values"},
		{change(func(h *handmade) { h.chunk.MetaData.NumValues = 1 }), "1 values for 2 rows"},
		{change(func(h *handmade) {
			h.meta.RowGroups = []format.RowGroup{{Columns: []format.ColumnChunk{h.chunk}, NumRows: 1}}
		}), "2 values for 1 rows"},
		{change(func(h *handmade) { h.meta.NumRows = 1; h.meta.RowGroups = []format.RowGroup{} }), "footer says 1 rows, its row groups 0"},
		{change(func(h *handmade) { h.meta.RowGroups = []format.RowGroup{{NumRows: 2}} }), "0 columns, the schema has 1"},
		{change(func(h *handmade) { h.chunk.MetaData.TotalCompressedSize = 1 << 40 }), "go beyond the data"},
		{change(func(h *handmade) { h.chunk.MetaData.TotalCompressedSize = math.MaxInt64 }), "go beyond the data"},
		{change(func(h *handmade) { h.chunk.MetaData.TotalCompressedSize = -5 }), "go beyond the data"},
		{change(func(h *handmade) { h.chunk.MetaData.TotalCompressedSize = 8 }), "page at offset 4: damaged metadata"},
		{change(func(h *handmade) { h.chunk.MetaData.Type = format.Int32 }), "type INT32, the schema says BYTE_ARRAY"},
		{change(func(h *handmade) { h.chunk.MetaData.Codec = format.Lz4Raw }), "compression LZ4_RAW is not read"},
		{change(func(h *handmade) { h.chunk.MetaData.Codec = 77 }), "is not read"},
		{change(func(h *handmade) { h.chunk.FilePath = "x" }), "another file"},
		{change(func(h *handmade) { h.chunk.EncryptedColumnMetadata = []byte("x") }), "encrypted"},
		{change(func(h *handmade) { h.page.CompressedPageSize = math.MaxInt32 }), "2147483647 bytes where"},
		{change(func(h *handmade) { h.page.CompressedPageSize = -1 }), "-1 bytes where"},
		{change(func(h *handmade) { h.page.UncompressedPageSize = -1 }), "decompress to -1"},
		{change(func(h *handmade) { h.page.UncompressedPageSize = math.MaxInt32 }), "decompress to 2147483647"},
		{change(func(h *handmade) { h.page.UncompressedPageSize = 7 }), "UNCOMPRESSED data of 10 bytes, the page's header says 7"},
		{change(func(h *handmade) { h.page.CRC = 5 }), "checksum does not fit"},
		{change(func(h *handmade) { h.page.Type = 99 }), "unknown page type 99"},
		{change(func(h *handmade) { h.page.DataPageHeader.V.NumValues = 3 }), "3 values where 2 are left"},
		{change(func(h *handmade) { h.page.DataPageHeader.V.NumValues = -3 }), "-3 values"},
		{change(func(h *handmade) { h.page.DataPageHeader.V.NumValues = 0 }), "ends 2 values too early"},
		{change(func(h *handmade) { h.page.DataPageHeader = thrift.Null[format.DataPageHeader]{} }), "damaged metadata"},
		{change(func(h *handmade) { h.page.DataPageHeader.V.Encoding = format.DeltaByteArray }), "DELTA_BYTE_ARRAY are not read"},
		{change(func(h *handmade) { h.page.DataPageHeader.V.Encoding = format.RLE }), "RLE are not read"},
		{change(func(h *handmade) { h.page.DataPageHeader.V.Encoding = format.RLEDictionary }), "without its dictionary"},
		{change(func(h *handmade) {
			h.page.DataPageHeader.V.Encoding = format.DeltaLengthByteArray
			h.raw = append(append(uvarint(128), uvarint(4)...), uvarint(1<<40)...)
		}), "2147483647 values in a page of 2"},
		{change(func(h *handmade) { binary.LittleEndian.PutUint32(h.raw, 1<<31) }), "row 1: column s: "},
		{compressed(format.Snappy, append(uvarint(1<<31), 0), 5), "SNAPPY data is damaged"},
		{compressed(format.Snappy, append(uvarint(5), 1, 2, 3), 5), "SNAPPY data is damaged"},
		{compressed(format.Gzip, gz.Bytes(), 5), "GZIP data is damaged: more than 5 bytes"},
		{compressed(format.Gzip, []byte("no gzip"), 5), "GZIP data is damaged"},
		{compressed(format.Zstd, zst, 5), "ZSTD data is damaged"},
		{compressed(format.Zstd, []byte("no zstd"), 5), "ZSTD data is damaged"},
		{compressed(format.Zstd, []byte{0x28, 0xb5, 0x2f, 0xfd, 0, 0xff}, 5), "ZSTD data is damaged"},
		{runs(append(uvarint(1<<41), 1)), "a run of"},
		{runs(many), "runs of more than"},
		{runs(uvarint(2<<1 | 1)), "runs of more than"},
		{runs([]byte{0x80}), "a run without its length"},
		{runs(nil), "row 1: column s: "},
		{indices(append([]byte{33}, uvarint(2<<1)...)), "indices of 33 bits"},
		{indices(append([]byte{8}, many...)), "runs of more than"},
		{indices(append([]byte{8}, append(uvarint(2<<1), 200)...)), "row 1: column s: damaged file"},
		{v2(func(d *format.DataPageHeaderV2) { d.NumNulls = 3 }), "counts go beyond"},
		{v2(func(d *format.DataPageHeaderV2) { d.NumNulls = -1 }), "counts go beyond"},
		{v2(func(d *format.DataPageHeaderV2) { d.DefinitionLevelsByteLength = 1 << 30 }), "levels or counts go beyond"},
		{v2(func(d *format.DataPageHeaderV2) { d.RepetitionLevelsByteLength = -1 }), "levels or counts go beyond"},
		{v2(func(d *format.DataPageHeaderV2) { d.RepetitionLevelsByteLength = 1 }), "levels of a column that has none"},
	} {
		b := c.file.file(t)
		before := allocated()
		_, _, err := rows(b, 1<<20)
		require.ErrorContains(t, err, c.want)
		require.Less(t, allocated()-before, uint64(8<<20), c.want)
	}
}

// TestHostileFooter has lies about the metadata itself.
func TestHostileFooter(t *testing.T) {
	good := texts("a").file(t)
	long := bytes.Clone(good)
	binary.LittleEndian.PutUint32(long[len(long)-8:], uint32(len(long)))
	list := func(size uint64) []byte { // field 2, a list of structures
		return append([]byte{2<<4 | thriftList, 0xf0 | thriftStruct}, uvarint(size)...)
	}
	deep := bytes.Repeat([]byte{1<<4 | thriftStruct}, 1000)
	schema := func(e ...format.SchemaElement) []byte { return marshal(t, &format.FileMetaData{Schema: e}) }
	group := func(children int32) format.SchemaElement {
		return format.SchemaElement{Name: "g", NumChildren: thrift.New(children)}
	}
	leaf := func(kind format.Type) format.SchemaElement {
		return format.SchemaElement{Name: "x", Type: thrift.New(kind)}
	}
	typed := leaf(format.Int32)
	typed.NumChildren = thrift.New[int32](1)
	decimal := leaf(format.Int64)
	decimal.ConvertedType = thrift.New(deprecated.Decimal)
	nested := []format.SchemaElement{}
	for range 100 {
		nested = append(nested, group(1))
	}
	for _, c := range []struct {
		b    []byte
		want string
	}{
		{nil, "too few"},
		{[]byte("PAR1PAR1"), "too few"},
		{[]byte("PAR1....PAR1"), "footer of 774778414 bytes in a file of 12"},
		{long, "footer of"},
		{append(bytes.Clone(good[:len(good)-1]), 'E'), "encrypted"},
		{withFooter(Magic, list(1<<31)), "damaged metadata"},
		{withFooter(Magic, append(list(1000), make([]byte, 1000)...)), "damaged metadata"}, // structures of one byte
		{withFooter(Magic, deep), "damaged metadata"},
		{withFooter(Magic, nil), "damaged metadata"},
		{withFooter(Magic, []byte{0}), "damaged metadata"},
		{withFooter(Magic, append(schema(group(1), leaf(format.ByteArray)), 0)), "1 bytes after its end"},
		{withFooter(Magic, schema()), "schema: damaged metadata"},
		{withFooter(Magic, schema(group(0))), "has no columns"},
		{withFooter(Magic, schema(group(-1))), "has no columns"},
		{withFooter(Magic, schema(group(math.MaxInt32), leaf(format.ByteArray))), "schema: damaged metadata"},
		{withFooter(Magic, schema(group(1), leaf(format.ByteArray), leaf(format.ByteArray))), "schema: damaged metadata"},
		{withFooter(Magic, schema(nested...)), "schema: damaged metadata"},
		{withFooter(Magic, schema(group(2), leaf(format.ByteArray), leaf(format.Int64))), "schema: two columns x"},
		{withFooter(Magic, schema(group(1), typed, leaf(format.ByteArray))), "has a type and children"},
		{withFooter(Magic, schema(leaf(format.ByteArray))), "schema: damaged metadata"},
		{withFooter(Magic, schema(group(1), leaf(format.Int96))), "column x: values of the type INT96 are not read"},
		{withFooter(Magic, schema(group(1), leaf(format.FixedLenByteArray))), "column x: values of the type FIXED_LEN_BYTE_ARRAY are not read"},
		{withFooter(Magic, schema(group(1), decimal)), "column x: values of the type INT64 (converted type 5) are not read"},
	} {
		before := allocated()
		_, _, err := rows(c.b, 1<<20)
		require.ErrorContains(t, err, c.want)
		require.Less(t, allocated()-before, uint64(1<<20), c.want)
	}
	overlap := texts("a")
	overlap.file(t)
	overlap.meta.RowGroups = append(overlap.meta.RowGroups, overlap.meta.RowGroups[0])
	overlap.meta.NumRows = 2
	_, _, err := rows(overlap.file(t), 1<<20)
	require.ErrorContains(t, err, "column chunks overlap")
}

// TestRowErrors has rows that cannot be JSON, among others that can.
func TestRowErrors(t *testing.T) {
	check := func(h *handmade, limit int, want []string, messages ...string) {
		t.Helper()
		b := h.file(t)
		f, err := Open(bytes.NewReader(b), int64(len(b)))
		require.NoError(t, err)
		var got, errs []string
		for text, err := range f.Rows(limit) {
			if err != nil {
				var row *RowError
				require.ErrorAs(t, err, &row)
				errs = append(errs, err.Error())
				continue
			}
			got = append(got, string(text))
		}
		require.Equal(t, want, got)
		require.Equal(t, messages, errs)
	}
	check(texts("a", "\xff", "b"), 100, []string{`{"s":"a"}`, `{"s":"b"}`}, "row 2: column s: not valid UTF-8")
	long := "row too long: column s alone has more than the 40 bytes or 1048576 values that are read"
	check(texts("a", strings.Repeat("x", 41), "b", strings.Repeat("\n", 40)), 40, []string{`{"s":"a"}`, `{"s":"b"}`},
		"row 2: "+long, "row 4: row too long: more than the 40 bytes that are read")

	numbers := texts("", "")
	numbers.element.Type, numbers.chunk.MetaData.Type = thrift.New(format.Double), format.Double
	numbers.raw = binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, math.Float64bits(math.NaN())), math.Float64bits(0.1))
	check(numbers, 100, []string{`{"s":0.1}`}, "row 1: column s: NaN is not a finite number")

	documents := texts(`{"a": [1]}`, "no", "", "[\n1\r]")
	documents.element.ConvertedType = thrift.New(deprecated.Json)
	check(documents, 100, []string{`{"s":{"a": [1]}}`, `{"s":[1]}`}, "row 2: column s: its text is not JSON",
		"row 3: column s: its text is not JSON")

	inlined := texts(`{"a":1}`, " { } ", "[1]", `{"a":1},{"b":2}`)
	inlined.meta.KeyValueMetadata = []format.KeyValue{{Key: InlineKey, Value: "s"}}
	check(inlined, 100, []string{`{"a":1}`, `{}`}, "row 3: column s: its text is not a JSON object",
		"row 4: column s: its text is not a JSON object")
}

// TestRowOverPages has a list whose values lie one in each of many pages, which are large only once they are decompressed:
// the row holds its values, not the pages.
func TestRowOverPages(t *testing.T) {
	const pages, size = 24, 1 << 20
	enc, err := zstd.NewWriter(nil)
	require.NoError(t, err)
	h := texts("x")
	h.element.RepetitionType = thrift.New(format.Repeated)
	h.chunk.MetaData.Codec, h.chunk.MetaData.NumValues = format.Zstd, pages
	body := append([]byte{}, Magic...)
	for i := range pages {
		raw := []byte{2, 0, 0, 0, 1 << 1, byte(min(i, 1))}             // repetition: 0 begins the row
		definition := append([]byte{1 << 1, 1}, make([]byte, size)...) // there is a value; then runs of nothing
		raw = append(append(binary.LittleEndian.AppendUint32(raw, uint32(len(definition))), definition...), 4, 0, 0, 0, 'f', 'o', 'u', 'r')
		z := enc.EncodeAll(raw, nil)
		h.page.CompressedPageSize, h.page.UncompressedPageSize = int32(len(z)), int32(len(raw))
		body = append(append(body, marshal(t, &h.page)...), z...)
	}
	h.chunk.MetaData.DataPageOffset, h.chunk.MetaData.TotalCompressedSize = int64(len(Magic)), int64(len(body)-len(Magic))
	h.meta.Schema = []format.SchemaElement{{Name: "schema", NumChildren: thrift.New[int32](1)}, h.element}
	h.meta.RowGroups = []format.RowGroup{{Columns: []format.ColumnChunk{h.chunk}, NumRows: 1}}
	b := withFooter(body, marshal(t, &h.meta))
	f, err := Open(bytes.NewReader(b), int64(len(b)))
	require.NoError(t, err)
	r := f.groupRows(0, 1<<20)
	text, err := r.next(newRowWriter(1<<20), 1)
	require.NoError(t, err)
	require.Equal(t, pages, bytes.Count(text, []byte(`"`))/2-1)
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	require.Less(t, m.HeapAlloc, uint64(pages*size/4))
	runtime.KeepAlive(r)
}

// TestReadError has a file that cannot be read further.
func TestReadError(t *testing.T) {
	b := texts("a").file(t)
	f, err := Open(bytes.NewReader(b), int64(len(b)))
	require.NoError(t, err)
	f.in = bytes.NewReader(b[:10])
	for _, err := range f.Rows(100) {
		require.ErrorIs(t, err, io.EOF)
		require.ErrorContains(t, err, "row 1: column s: page at offset 4: offset 10")
	}
}
