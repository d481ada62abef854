package parquetfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"math/bits"
	"slices"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

const (
	shortHeader = 512
	maxHeader   = 32 << 20
	// maxPage is the largest page read. Writers make pages of 1 MiB, larger ones for larger values.
	maxPage = 256 << 20
	// A page may be maxRatio times as large as it is compressed (gzip cannot do better than 1032), small ones excepted.
	maxRatio  = 1100
	smallPage = 1 << 20
)

// plainDictionary is what older writers call the encodings of a dictionary (PLAIN) and of indices into one (RLE_DICTIONARY).
const plainDictionary format.Encoding = 2

var codecs = []format.CompressionCodec{format.Uncompressed, format.Snappy, format.Gzip, format.Zstd}

// pageStream reads a column chunk's pages one by one, checks and decompresses them, and hands them on, each with a header
// that says so, as if they lay uncompressed in a file from the end of the magic on.
type pageStream struct {
	f      *File
	leaf   *node
	codec  format.CompressionCodec
	at     int64 // the next page's place in the file
	end    int64
	left   int64 // values to come
	dict   bool  // a dictionary page was seen
	page   []byte
	offset int64 // of page in the stream
	head   []byte
	gzip   gzip.Reader
	err    error // why there is no next page, in our own words
}

func (f *File) pages(c *format.ColumnChunk, leaf *node) *pageStream {
	m := &c.MetaData
	start := chunkStart(m)
	return &pageStream{f: f, leaf: leaf, codec: m.Codec, at: start, end: start + m.TotalCompressedSize, left: m.NumValues,
		offset: int64(len(Magic))}
}

// ReadAt serves the stream's bytes, which are asked for in order.
func (s *pageStream) ReadAt(b []byte, offset int64) (int, error) {
	if offset < s.offset {
		return 0, errors.New("pages are read in order")
	}
	for offset >= s.offset+int64(len(s.page)) {
		s.offset += int64(len(s.page))
		s.page = nil // and stays so after a page without values, as pyarrow writes
		if s.left == 0 {
			return 0, io.EOF
		}
		at := s.at
		if err := s.next(); err != nil {
			s.err = fmt.Errorf("page at offset %d: %w", at, err)
			return 0, s.err
		}
	}
	return copy(b, s.page[offset-s.offset:]), nil // fewer bytes are not the end; the library's buffered reader asks again
}

// next reads the page at s.at into s.page.
func (s *pageStream) next() error {
	if s.at == s.end {
		return fmt.Errorf("the column chunk ends %d values too early", s.left)
	}
	var h format.PageHeader
	n, err := s.header(&h)
	if err != nil {
		return err
	}
	size, full := int64(h.CompressedPageSize), int64(h.UncompressedPageSize)
	switch left := s.end - s.at - int64(n); {
	case size < 0 || size > left:
		return fmt.Errorf("%d bytes where %d are left", size, left)
	case full < 0 || full > maxPage || full > smallPage+maxRatio*size:
		return fmt.Errorf("%d bytes that decompress to %d (at most %d are read)", size, full, min(maxPage, smallPage+maxRatio*max(size, 0)))
	}
	data := make([]byte, size)
	if err := readAt(s.f.in, data, s.at+int64(n)); err != nil {
		return err
	}
	if h.CRC != 0 && uint32(h.CRC) != crc32.ChecksumIEEE(data) {
		return errors.New("checksum does not fit: the page is damaged")
	}
	s.at += int64(n) + size
	switch h.Type {
	case format.DictionaryPage:
		return s.dictionary(&h, data)
	case format.DataPage:
		return s.dataV1(&h, data)
	case format.DataPageV2:
		return s.dataV2(&h, data)
	}
	return fmt.Errorf("unknown page type %d", h.Type)
}

// header reads the header at s.at and returns its length. Most are short; statistics of long texts make them long.
func (s *pageStream) header(h *format.PageHeader) (int, error) {
	left := s.end - s.at
	for size := int64(shortHeader); ; size *= 16 {
		size = min(size, left, maxHeader)
		if int64(len(s.head)) < size {
			s.head = make([]byte, size)
		}
		head := s.head[:size]
		if err := readAt(s.f.in, head, s.at); err != nil {
			return 0, err
		}
		n, err := thriftLength(head, false)
		if err == nil {
			return n, decode(head[:n], false, h)
		}
		if size == min(left, maxHeader) {
			return 0, err
		}
	}
}

// put makes page the stream's next.
func (s *pageStream) put(h *format.PageHeader, data []byte) error {
	h.CompressedPageSize, h.UncompressedPageSize, h.CRC = int32(len(data)), int32(len(data)), 0
	head, err := thrift.Marshal(&thrift.CompactProtocol{}, h)
	s.page = append(head, data...)
	return err
}

func (s *pageStream) dictionary(h *format.PageHeader, data []byte) error {
	d := h.DictionaryPageHeader
	if !d.Valid || s.dict || s.leaf.kind == format.Boolean {
		return errors.New("a dictionary page that should not be")
	}
	if e := d.V.Encoding; e != format.Plain && e != plainDictionary {
		return fmt.Errorf("a dictionary in the encoding %s", e)
	}
	data, err := s.decompress(s.codec, data, int(h.UncompressedPageSize))
	if err != nil {
		return err
	}
	if d.V.NumValues < 0 || int(d.V.NumValues) > len(data) {
		return fmt.Errorf("a dictionary of %d values in %d bytes", d.V.NumValues, len(data))
	}
	s.dict = true
	return s.put(h, data)
}

func (s *pageStream) count(values int32) error {
	if values < 0 || int64(values) > s.left {
		return fmt.Errorf("%d values where %d are left", values, s.left)
	}
	s.left -= int64(values)
	return nil
}

func (s *pageStream) dataV1(h *format.PageHeader, data []byte) error {
	d := &h.DataPageHeader
	if !d.Valid {
		return errThrift
	}
	if err := s.count(d.V.NumValues); err != nil || d.V.NumValues == 0 {
		return err
	}
	data, err := s.decompress(s.codec, data, int(h.UncompressedPageSize))
	if err != nil {
		return err
	}
	rest, full := data, int(d.V.NumValues)
	for _, level := range []struct {
		max      int
		encoding format.Encoding
		full     *int
	}{{s.leaf.maxRep, d.V.RepetitionLevelEncoding, new(int)}, {s.leaf.maxDef, d.V.DefinitionLevelEncoding, &full}} {
		if level.max == 0 {
			continue
		}
		if level.encoding != format.RLE {
			return fmt.Errorf("levels in the encoding %s", level.encoding)
		}
		if len(rest) < 4 || int64(binary.LittleEndian.Uint32(rest)) > int64(len(rest)-4) {
			return errors.New("levels go beyond the page")
		}
		n := int(binary.LittleEndian.Uint32(rest))
		if *level.full, err = checkLevels(rest[4:4+n], level.max, int(d.V.NumValues)); err != nil {
			return fmt.Errorf("levels: %w", err)
		}
		rest = rest[4+n:]
	}
	if err := s.checkValues(d.V.Encoding, rest, full); err != nil {
		return err
	}
	if d.V.Encoding == format.RLE {
		data = append(data[:len(data)-len(rest)], plainBooleans(rest)...)
		d.V.Encoding = format.Plain
	}
	d.V.Statistics = format.Statistics{}
	return s.put(h, data)
}

func (s *pageStream) dataV2(h *format.PageHeader, data []byte) error {
	d := &h.DataPageHeaderV2
	if !d.Valid {
		return errThrift
	}
	if err := s.count(d.V.NumValues); err != nil || d.V.NumValues == 0 {
		return err
	}
	rep, def := int64(d.V.RepetitionLevelsByteLength), int64(d.V.DefinitionLevelsByteLength)
	if rep < 0 || def < 0 || rep+def > int64(len(data)) || rep+def > int64(h.UncompressedPageSize) ||
		d.V.NumNulls < 0 || d.V.NumNulls > d.V.NumValues || d.V.NumRows < 0 || d.V.NumRows > d.V.NumValues {
		return errors.New("levels or counts go beyond the page")
	}
	if (rep > 0) != (s.leaf.maxRep > 0) || (def > 0) != (s.leaf.maxDef > 0) {
		return errors.New("levels of a column that has none, or none of one that has")
	}
	full := int(d.V.NumValues)
	for _, l := range []struct {
		b    []byte
		max  int
		full *int
	}{{data[:rep], s.leaf.maxRep, new(int)}, {data[rep : rep+def], s.leaf.maxDef, &full}} {
		if l.max == 0 {
			continue
		}
		var err error
		if *l.full, err = checkLevels(l.b, l.max, int(d.V.NumValues)); err != nil {
			return fmt.Errorf("levels: %w", err)
		}
	}
	if full != int(d.V.NumValues-d.V.NumNulls) {
		return fmt.Errorf("%d values of %d are not null, the page's header says %d", full, d.V.NumValues, d.V.NumValues-d.V.NumNulls)
	}
	levels, values := data[:rep+def], data[rep+def:]
	codec := s.codec
	if d.V.IsCompressed.Valid && !d.V.IsCompressed.V {
		codec = format.Uncompressed
	}
	values, err := s.decompress(codec, values, int(h.UncompressedPageSize)-len(levels))
	if err != nil {
		return err
	}
	if err := s.checkValues(d.V.Encoding, values, full); err != nil {
		return err
	}
	if d.V.Encoding == format.RLE {
		values = plainBooleans(values)
		d.V.Encoding = format.Plain
	}
	d.V.Statistics = format.Statistics{}
	return s.put(h, append(slices.Clip(levels), values...))
}

// checkValues checks that data holds the given number of values, so far as their encoding counts them.
func (s *pageStream) checkValues(e format.Encoding, data []byte, values int) error {
	total := 0
	var err error
	switch e {
	case format.Plain, format.ByteStreamSplit:
		total, err = s.countPlain(data, values)
	case plainDictionary, format.RLEDictionary:
		switch {
		case !s.dict:
			return errors.New("a page without its dictionary")
		case len(data) == 0:
		case data[0] > 32:
			return fmt.Errorf("dictionary indices of %d bits", data[0])
		default:
			total, err = countRuns(data[1:], int(data[0]), values)
		}
	case format.RLE:
		if s.leaf.kind != format.Boolean {
			return s.unread(e)
		}
		if len(data) < 4 || int64(binary.LittleEndian.Uint32(data)) != int64(len(data)-4) {
			return errors.New("runs that do not fill the page")
		}
		total, err = countRuns(data[4:], 1, values)
	case format.DeltaBinaryPacked, format.DeltaLengthByteArray:
		// The block's size, the number of its miniblocks, the number of values.
		for range 3 {
			v, n := binary.Uvarint(data)
			if n <= 0 {
				return errors.New("no header of the encoding " + e.String())
			}
			total, data = int(min(v, math.MaxInt32)), data[n:]
		}
		if total != values {
			err = fmt.Errorf("%d values in a page of %d", total, values)
		}
	default:
		return s.unread(e)
	}
	if err == nil && total < values {
		err = fmt.Errorf("%d values in a page of %d", total, values)
	}
	return err
}

func (s *pageStream) unread(e format.Encoding) error {
	return fmt.Errorf("values of the type %s in the encoding %s are not read: write them plain or with a dictionary", s.leaf.kind, e)
}

// countPlain counts plain values, which must fill data.
func (s *pageStream) countPlain(data []byte, values int) (int, error) {
	size := map[format.Type]int{format.Int32: 4, format.Float: 4, format.Int64: 8, format.Double: 8}[s.leaf.kind]
	switch {
	case s.leaf.kind == format.Boolean && len(data) == (values+7)/8, size > 0 && len(data) == size*values:
		return values, nil
	case s.leaf.kind != format.ByteArray:
		return 0, fmt.Errorf("%d bytes for %d values of the type %s", len(data), values, s.leaf.kind)
	}
	n := 0
	for ; len(data) >= 4; n++ {
		length := int64(binary.LittleEndian.Uint32(data))
		if length > int64(len(data)-4) {
			return 0, fmt.Errorf("value %d of %d bytes where %d are left", n, length, len(data)-4)
		}
		data = data[4+length:]
	}
	if len(data) > 0 || n > values {
		return 0, fmt.Errorf("more than the page's %d values", values)
	}
	return n, nil
}

// countRuns counts the values of a hybrid of run lengths and bit packing, which must lie in b and be no more than most
// (and the padding of a last bit-packed run).
func countRuns(b []byte, width, most int) (total int, err error) {
	const padding = 64
	for len(b) > 0 {
		head, n := binary.Uvarint(b)
		if n <= 0 {
			return 0, errors.New("a run without its length")
		}
		b = b[n:]
		if head>>1 > uint64(most+padding) {
			return 0, fmt.Errorf("a run of %d in a page of %d values", head>>1, most)
		}
		count, size := int(head>>1), (width+7)/8
		if head&1 == 1 {
			size = count * width
			count *= 8
		}
		if total += count; total > most+padding || size > len(b) {
			return 0, fmt.Errorf("runs of more than the page's %d values or %d bytes", most, len(b))
		}
		b = b[size:]
	}
	return total, nil
}

// checkLevels checks runs of levels, one for each value, none above max, and returns how many are max.
func checkLevels(b []byte, max, values int) (full int, err error) {
	width := bits.Len(uint(max))
	total, err := countRuns(b, width, values)
	if err == nil && total < values {
		err = fmt.Errorf("%d in a page of %d values", total, values)
	}
	if err != nil {
		return 0, err
	}
	put := func(level, times int) {
		times = min(times, values)
		if values -= times; level == max {
			full += times
		} else if level > max && times > 0 {
			err = fmt.Errorf("%d where at most %d can be", level, max)
		}
	}
	for len(b) > 0 {
		head, n := binary.Uvarint(b)
		b = b[n:]
		if head&1 == 0 {
			put(int(b[0]), int(head>>1))
			b = b[1:]
			continue
		}
		size := int(head>>1) * width
		for i := range int(head>>1) * 8 {
			at := i * width
			level := int(b[at/8]) >> (at % 8)
			if at%8+width > 8 {
				level |= int(b[at/8+1]) << (8 - at%8)
			}
			put(level&(1<<width-1), 1)
		}
		b = b[size:]
	}
	return full, err
}

// plainBooleans writes checked runs of booleans as plain ones: a bit each, from the lowest. parquet-go 0.32.0 takes a run of
// true for one true in eight.
func plainBooleans(data []byte) []byte {
	var out []byte
	n := 0
	put := func(bit byte) {
		if n%8 == 0 {
			out = append(out, 0)
		}
		out[n/8] |= bit << (n % 8)
		n++
	}
	for b := data[4:]; len(b) > 0; {
		head, size := binary.Uvarint(b)
		b = b[size:]
		if head&1 == 0 {
			for range head >> 1 {
				put(b[0] & 1)
			}
			b = b[1:]
			continue
		}
		for _, bits := range b[:head>>1] {
			for i := range 8 {
				put(bits >> i & 1)
			}
		}
		b = b[head>>1:]
	}
	return out
}

// newZstd makes a decoder that never writes beyond the buffer it is given.
func newZstd() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecodeAllCapLimit(true))
}

// decompress returns exactly size bytes, or an error; it never holds more.
func (s *pageStream) decompress(codec format.CompressionCodec, data []byte, size int) ([]byte, error) {
	out, err := s.decompressed(codec, data, size)
	if err != nil {
		return nil, fmt.Errorf("%s data is damaged: %w", codec, err)
	}
	if len(out) != size {
		return nil, fmt.Errorf("%s data of %d bytes, the page's header says %d", codec, len(out), size)
	}
	return out, nil
}

func (s *pageStream) decompressed(codec format.CompressionCodec, data []byte, size int) ([]byte, error) {
	if size == 0 && len(data) == 0 {
		return nil, nil
	}
	switch codec {
	case format.Snappy:
		if n, err := snappy.DecodedLen(data); err != nil || n != size {
			return nil, fmt.Errorf("%d bytes where %d are expected (%w)", n, size, err)
		}
		return snappy.Decode(nil, data)
	case format.Zstd:
		return s.f.zstd.DecodeAll(data, make([]byte, 0, size))
	case format.Gzip:
		if err := s.gzip.Reset(bytes.NewReader(data)); err != nil {
			return nil, err
		}
		out := make([]byte, size)
		if _, err := io.ReadFull(&s.gzip, out); err != nil {
			return nil, err
		}
		if n, err := io.Copy(io.Discard, io.LimitReader(&s.gzip, 1)); n > 0 || err != nil {
			return nil, fmt.Errorf("more than %d bytes (%w)", size, err)
		}
		return out, nil
	}
	return data, nil
}
