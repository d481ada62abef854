package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/goprm/goprm/internal/shareddata"
	"github.com/stretchr/testify/require"
)

// sample is a small file with an empty tensor, a scalar, metadata, and a byte tensor that leaves what follows unaligned.
func sample(t testing.TB) []byte {
	t.Helper()
	var file bytes.Buffer
	require.NoError(t, Write(&file, []Tensor{
		{Name: "b", DType: U8, Shape: []int{3}, Data: []byte{1, 2, 3}},
		{Name: "a.weight", DType: F32, Shape: []int{2, 2}, Data: []byte("0123456789abcdef")},
		{Name: "scalar", DType: BF16, Data: []byte{0x80, 0x3f}},
		{Name: "none", DType: F16, Shape: []int{4, 0}},
	}, map[string]string{"format": "pt", "note": "grüße"}))
	return file.Bytes()
}

// raw puts the length before a header and the data after it.
func raw(header, data string) []byte {
	return append(append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...), data...)
}

func store(t testing.TB, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "weights.safetensors")
	require.NoError(t, os.WriteFile(path, content, 0o644))
	return path
}

func mustOpen(t testing.TB, path string) *File {
	t.Helper()
	file, err := Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, file.Close()) })
	return file
}

func TestSharedVerdicts(t *testing.T) {
	folder := filepath.Join(shareddata.Dir(t), "data", "badinput")
	text, err := os.ReadFile(filepath.Join(folder, "safetensors_cases.json"))
	require.NoError(t, err)
	var cases []struct{ File, Expect string }
	require.NoError(t, json.Unmarshal(text, &cases))
	require.NotEmpty(t, cases)
	for _, c := range cases {
		file, err := Open(filepath.Join(folder, "safetensors", c.File))
		if strings.HasPrefix(c.Expect, "ok") {
			require.NoError(t, err, c.File)
			require.NoError(t, file.Close())
			continue
		}
		var format *FormatError
		require.ErrorAs(t, err, &format, c.File)
		require.Contains(t, err.Error(), c.File+": ")
		if c.Expect != "error" {
			require.EqualValues(t, c.Expect, format.Verdict, c.File)
		}
		t.Logf("%v", err)
	}
}

// TestRewritingReferenceFiles takes files that the reference library wrote, with nothing but their tensors and metadata to go by, and
// has to arrive at the same bytes.
func TestRewritingReferenceFiles(t *testing.T) {
	var count int
	root := filepath.Join(shareddata.Dir(t), "data", "goldens")
	require.NoError(t, filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".safetensors" {
			return err
		}
		count++
		file := mustOpen(t, path)
		var tensors []Tensor
		for _, info := range file.Tensors() {
			tensors = append(tensors, Tensor{Name: info.Name, DType: info.DType, Shape: info.Shape, Data: file.Bytes(info.Name)})
		}
		slices.Reverse(tensors)
		var rewritten bytes.Buffer
		require.NoError(t, Write(&rewritten, tensors, file.Metadata()))
		want, err := os.ReadFile(path)
		require.NoError(t, err)
		require.True(t, bytes.Equal(want, rewritten.Bytes()), path)
		return nil
	}))
	require.Greater(t, count, 10)
}

func TestReadsWhatWasWritten(t *testing.T) {
	path := store(t, sample(t))
	file := mustOpen(t, path)
	require.Equal(t, map[string]string{"format": "pt", "note": "grüße"}, file.Metadata())
	var order []string
	for _, info := range file.Tensors() {
		order = append(order, fmt.Sprint(info.Name, " ", info.DType, " ", info.Shape, " ", info.Bytes()))
	}
	require.Equal(t, []string{"a.weight F32 [2 2] 16", "scalar BF16 [] 2", "none F16 [4 0] 0", "b U8 [3] 3"}, order)
	require.Equal(t, []byte("0123456789abcdef"), file.Bytes("a.weight"))
	require.Equal(t, []byte{1, 2, 3}, file.Bytes("b"))
	require.Empty(t, file.Bytes("none"))
	require.Nil(t, file.Bytes("absent"))
	info, ok := file.Info("a.weight")
	require.True(t, ok)
	require.Zero(t, info.Begin%8, "data begin unaligned")
	_, ok = file.Info("absent")
	require.False(t, ok)
	require.Equal(t, path, file.Path())
	require.EqualValues(t, len(sample(t)), file.Size())
	require.NoError(t, file.Close())
	require.Nil(t, file.Bytes("b"))
}

func TestRefusals(t *testing.T) {
	f4 := func(name, offsets string) string {
		return fmt.Sprintf(`%q:{"dtype":"F32","shape":[1],"data_offsets":[%s]}`, name, offsets)
	}
	entry := func(dtype, shape, offsets string) string {
		return fmt.Sprintf(`{"a":{"dtype":%s,"shape":%s,"data_offsets":%s}}`, dtype, shape, offsets)
	}
	cases := []struct {
		name, header, data string
		verdict            Verdict
		message            string
	}{
		{"beyond the end", "{" + f4("model.norm.weight", "0,4") + "}", "12", MetadataIncompleteBuffer,
			`tensor "model.norm.weight": offset 82 beyond end of file (80)`},
		{"trailing bytes", "{" + f4("a", "0,4") + "}", "12345", MetadataIncompleteBuffer, "1 bytes at offset 66 belong to no tensor"},
		{"data without tensors", "{}", "x", MetadataIncompleteBuffer, "belong to no tensor"},
		{"gap before", "{" + f4("a", "4,8") + "}", "12345678", InvalidOffset, "leave a gap after the header, which ends at 62"},
		{"gap between", "{" + f4("a", "0,4") + "," + f4("b", "8,12") + "}", "123456789012", InvalidOffset,
			`tensor "b": data at offset 124 leave a gap after "a", which ends at 120`},
		{"overlap", "{" + f4("a", "0,4") + "," + f4("b", "2,6") + "}", "123456", InvalidOffset, `"b": data at offset 117 overlap "a"`},
		{"empty tensor inside another", "{" + f4("a", "0,4") + `,"e":{"dtype":"F32","shape":[0],"data_offsets":[2,2]}}`, "1234", InvalidOffset,
			`"e": data at offset`},
		{"tensor twice", "{" + f4("a", "0,4") + "," + f4("a", "4,8") + "}", "12345678", InvalidHeaderDeserialization, `key "a" appears twice`},
		{"tensor twice, spelled differently", "{" + f4("a", "0,4") + `,"\u0061":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, "12345678",
			InvalidHeaderDeserialization, `key "a" appears twice`},
		{"dtype twice", `{"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, "1234", InvalidHeaderDeserialization,
			`"dtype" appears twice`},
		{"metadata twice", `{"__metadata__":{},"__metadata__":{}}`, "", InvalidHeaderDeserialization, "appears twice"},
		{"metadata key twice", `{"__metadata__":{"k":"1","k":"2"}}`, "", InvalidHeaderDeserialization, `key "k" appears twice in __metadata__`},
		{"metadata number", `{"__metadata__":{"k":1}}`, "", InvalidHeaderDeserialization, "1 is not a string"},
		{"metadata nested", `{"__metadata__":{"k":{}}}`, "", InvalidHeaderDeserialization, "not a string"},
		{"metadata null", `{"__metadata__":null}`, "", InvalidHeaderDeserialization, "not an object"},
		{"half a surrogate pair", `{"__metadata__":{"k":"\ud800"}}`, "", InvalidHeaderDeserialization, "surrogate"},
		{"leading blank", ` {}`, "", InvalidHeaderStart, "does not begin with"},
		{"no header", ``, "", InvalidHeaderStart, "does not begin with"},
		{"padded with zero bytes", "{}\x00\x00", "", InvalidHeaderDeserialization, "not JSON"},
		{"two documents", "{}{}", "", InvalidHeaderDeserialization, "not JSON"},
		{"comma at the end", "{" + f4("a", "0,4") + ",}", "1234", InvalidHeaderDeserialization, "not JSON"},
		{"not UTF-8", "{\"\xff\":1}", "", InvalidHeader, "not UTF-8"},
		{"entry is a list", `{"a":[]}`, "", InvalidHeaderDeserialization, "entry is not an object"},
		{"no shape", `{"a":{"dtype":"F32","data_offsets":[0,4]}}`, "1234", InvalidHeaderDeserialization, "needs dtype, shape"},
		{"unknown key", `{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":[[[[]]]]}}`, "1234", InvalidHeaderDeserialization,
			`unknown key "x"`},
		{"dtype number", entry(`4`, "[1]", "[0,4]"), "1234", InvalidHeaderDeserialization, "not a string"},
		{"dtype lower case", entry(`"f32"`, "[1]", "[0,4]"), "1234", InvalidHeaderDeserialization, `unknown dtype "f32"`},
		{"dtype empty", entry(`""`, "[1]", "[0,4]"), "1234", InvalidHeaderDeserialization, `unknown dtype ""`},
		{"shape negative", entry(`"F32"`, "[-1]", "[0,4]"), "1234", InvalidHeaderDeserialization, "holds -1"},
		{"shape fraction", entry(`"F32"`, "[1.0]", "[0,4]"), "1234", InvalidHeaderDeserialization, "holds 1.0"},
		{"shape exponent", entry(`"F32"`, "[1e0]", "[0,4]"), "1234", InvalidHeaderDeserialization, "holds 1e0"},
		{"shape text", entry(`"F32"`, `["1"]`, "[0,4]"), "1234", InvalidHeaderDeserialization, "not a number"},
		{"shape number", entry(`"F32"`, `1`, "[0,4]"), "1234", InvalidHeaderDeserialization, "shape is not a list"},
		{"shape null", entry(`"F32"`, `null`, "[0,4]"), "1234", InvalidHeaderDeserialization, "shape is not a list"},
		{"shape huge", entry(`"F32"`, `[18446744073709551616]`, "[0,4]"), "1234", InvalidHeaderDeserialization, "not a whole number"},
		{"shape of many dimensions", entry(`"F32"`, "["+strings.Repeat("1,", 64)+"1]", "[0,4]"), "1234", InvalidHeaderDeserialization,
			"more than 64"},
		{"product overflows to the right size", entry(`"F32"`, "[4611686018427387905,4]", "[0,16]"), "0123456789abcdef", ValidationOverflow,
			"overflow"},
		{"product of 2^63", entry(`"F32"`, "[2305843009213693952]", "[0,0]"), "", ValidationOverflow, "overflow"},
		{"product overflows beside a zero", entry(`"F32"`, "[0,4611686018427387905,4]", "[0,0]"), "", ValidationOverflow, "overflow"},
		{"wrong size", entry(`"F32"`, "[2]", "[0,4]"), "1234", TensorInvalidInfo, "F32 of shape [2] needs 8 bytes, data_offsets [0, 4] give 4"},
		{"one offset", entry(`"F32"`, "[1]", "[0]"), "1234", InvalidHeaderDeserialization, "two data_offsets"},
		{"three offsets", entry(`"F32"`, "[1]", "[0,4,4]"), "1234", InvalidHeaderDeserialization, "more than 2"},
		{"offsets backwards", entry(`"F32"`, "[1]", "[4,0]"), "1234", InvalidOffset, "backwards"},
		{"offset near 2^64", entry(`"U8"`, "[0]", "[18446744073709551615,18446744073709551615]"), "", ValidationOverflow, "out of range"},
		{"offset near 2^63", entry(`"U8"`, "[0]", "[9223372036854775807,9223372036854775807]"), "", ValidationOverflow, "overflow"},
	}
	for _, c := range cases {
		path := store(t, raw(c.header, c.data))
		_, err := Open(path)
		var format *FormatError
		require.ErrorAs(t, err, &format, c.name)
		require.Equal(t, c.verdict, format.Verdict, "%s: %v", c.name, err)
		require.ErrorContains(t, err, c.message, c.name)
		require.Equal(t, path, format.File)
	}
}

func TestOpenRefusesWhatIsNoFile(t *testing.T) {
	folder := t.TempDir()
	_, err := Open(filepath.Join(folder, "absent"))
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = Open(folder)
	require.ErrorContains(t, err, "not a regular file")
	_, err = Open(store(t, nil))
	require.ErrorContains(t, err, "the file is empty")
	_, err = Open(store(t, []byte("1234567")))
	require.ErrorContains(t, err, "too few")
}

func TestEveryTruncationIsRefused(t *testing.T) {
	whole := sample(t)
	for length := range whole {
		_, err := readHeader(bytes.NewReader(whole[:length]), int64(length))
		var format *FormatError
		require.ErrorAs(t, err, &format, "first %d of %d bytes", length, len(whole))
	}
	_, err := readHeader(bytes.NewReader(append(whole, 0)), int64(len(whole))+1)
	require.ErrorContains(t, err, "belong to no tensor")
}

// TestFlippedBytes changes every byte in turn: what is still accepted must satisfy the slow reader's rules.
func TestFlippedBytes(t *testing.T) {
	whole := sample(t)
	accepted := 0
	for place := range whole {
		for _, flip := range []byte{1, 2, 4, 8, 16, 32, 64, 128, 255} {
			changed := slices.Clone(whole)
			changed[place] ^= flip
			if checkAgainstSlowReader(t, changed) {
				accepted++
			}
		}
	}
	// The data's own 21 bytes may hold anything, and so may letters of names and metadata.
	require.GreaterOrEqual(t, accepted, 21*9)
}

// checkAgainstSlowReader reports whether content is accepted, and fails the test if it should not have been.
func checkAgainstSlowReader(t *testing.T, content []byte) bool {
	t.Helper()
	found, err := readHeader(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		var format *FormatError
		require.True(t, errors.As(err, &format), "%v", err)
		return false
	}
	length := binary.LittleEndian.Uint64(content)
	var entries map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(content[8:8+length], &entries))
	covered := make([]int, len(content))
	for name, text := range entries {
		if name == "__metadata__" {
			require.NoError(t, json.Unmarshal(text, new(map[string]string)))
			delete(entries, name)
			continue
		}
		var entry struct {
			DType   string   `json:"dtype"`
			Shape   []uint32 `json:"shape"`
			Offsets [2]int   `json:"data_offsets"`
		}
		require.NoError(t, json.Unmarshal(text, &entry))
		bits := map[string]int{"64": 64, "32": 32, "16": 16, "8": 8, "OL": 8, "M3": 8, "M2": 8}
		size := 0
		for suffix, n := range bits {
			if strings.HasSuffix(entry.DType, suffix) {
				size = n / 8
			}
		}
		for _, dim := range entry.Shape {
			size *= int(dim)
		}
		require.Equal(t, size, entry.Offsets[1]-entry.Offsets[0], name)
		for i := entry.Offsets[0]; i < entry.Offsets[1]; i++ {
			covered[8+int(length)+i]++
		}
	}
	require.Len(t, found.entries, len(entries))
	for i, times := range covered {
		want := 1
		if i < 8+int(length) {
			want = 0
		}
		require.Equal(t, want, times, "byte %d", i)
	}
	return true
}

func FuzzReadHeader(f *testing.F) {
	f.Add(sample(f))
	f.Add(raw(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"I8","shape":[2,1],"data_offsets":[4,6]}}`, "123456"))
	f.Add(raw(`{"__metadata__":{"k":"\ud83d\ude00"}}   `, ""))
	f.Fuzz(func(t *testing.T, content []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _ = readHeader(bytes.NewReader(content), int64(len(content)))
		runtime.ReadMemStats(&after)
		ceiling := uint64(1<<16 + 4*len(content)) // the text, 44 bytes for a tensor of at least 50, and what escapes take
		require.LessOrEqual(t, after.TotalAlloc-before.TotalAlloc, ceiling, "allocated for %d bytes", len(content))
		checkAgainstSlowReader(t, content)
	})
}

// TestClaimsAllocateNothing gives headers whose lengths promise far more than the file holds.
func TestClaimsAllocateNothing(t *testing.T) {
	for _, content := range [][]byte{
		append(binary.LittleEndian.AppendUint64(nil, 99_999_999), "{}"...),
		raw(`{"a":{"dtype":"F32","shape":[1000000000],"data_offsets":[0,4000000000]}}`, "1234"),
	} {
		allocated := testing.Benchmark(func(b *testing.B) {
			for b.Loop() {
				_, err := readHeader(bytes.NewReader(content), int64(len(content)))
				require.Error(b, err)
			}
		}).AllocedBytesPerOp()
		require.Less(t, allocated, int64(16<<10))
	}
}

func TestWriteRefuses(t *testing.T) {
	one := []byte{1, 2, 3, 4}
	for name, c := range map[string]struct {
		tensors []Tensor
		message string
	}{
		"twice": {[]Tensor{{Name: "a", DType: F32, Shape: []int{1}, Data: one}, {Name: "a", DType: I32, Shape: []int{1}, Data: one}},
			`tensor "a": written twice`},
		"metadata":      {[]Tensor{{Name: "__metadata__", DType: F32, Shape: []int{1}, Data: one}}, "not a name"},
		"invalid UTF-8": {[]Tensor{{Name: "\xff", DType: F32, Shape: []int{1}, Data: one}}, "not a name"},
		"dtype":         {[]Tensor{{Name: "a", DType: "F7", Shape: []int{1}, Data: one}}, `unknown dtype "F7"`},
		"negative":      {[]Tensor{{Name: "a", DType: F32, Shape: []int{-1}, Data: one}}, "negative"},
		"overflow":      {[]Tensor{{Name: "a", DType: F32, Shape: []int{1 << 40, 1 << 40}, Data: one}}, "overflow"},
		"no data":       {[]Tensor{{Name: "a", DType: F32, Shape: []int{1}}}, "no data"},
		"short data":    {[]Tensor{{Name: "a", DType: F32, Shape: []int{2}, Data: one}}, "4 bytes of data, F32 of shape [2] needs 8"},
	} {
		var out bytes.Buffer
		require.ErrorContains(t, Write(&out, c.tensors, nil), c.message, name)
		require.Zero(t, out.Len(), "%s: wrote before checking", name)
	}
	streamed := func(content string) []Tensor {
		return []Tensor{{Name: "a", DType: U8, Shape: []int{4}, Write: func(w io.Writer) error {
			_, err := io.WriteString(w, content)
			return err
		}}}
	}
	require.ErrorContains(t, Write(io.Discard, streamed("123"), nil), `tensor "a": 3 bytes of data`)
	require.ErrorContains(t, Write(io.Discard, streamed("12345"), nil), "1 bytes too many")
	require.NoError(t, Write(io.Discard, streamed("1234"), nil))
	require.ErrorContains(t, Write(io.Discard, nil, map[string]string{"k": "\xff"}), "UTF-8")
}

func TestSaveOverAMappedFile(t *testing.T) {
	path := store(t, sample(t))
	old := mustOpen(t, path)
	held := old.Bytes("a.weight")
	// The new file is made from the mapped old one, in another layout.
	require.NoError(t, Save(path, []Tensor{
		{Name: "a.weight", DType: F32, Shape: []int{4}, Data: held},
		{Name: "more", DType: F64, Shape: []int{512}, Data: make([]byte, 4096)},
	}, nil))
	require.Equal(t, "0123456789abcdef", string(held))
	fresh := mustOpen(t, path)
	require.Equal(t, "0123456789abcdef", string(fresh.Bytes("a.weight")))
	require.Len(t, fresh.Tensors(), 2)
}

// A header of many tensors takes no more than twice its text.
func TestHeaderOfManyTensors(t *testing.T) {
	const n = 300_000
	var text bytes.Buffer
	for i := range n {
		_, err := fmt.Fprintf(&text, `%c"layers.%d.w":{"dtype":"U8","shape":[1],"data_offsets":[%d,%d]}`, "{,"[min(i, 1)], (i*7919)%n, i, i+1)
		require.NoError(t, err)
	}
	content := raw(text.String()+"}", strings.Repeat("x", n))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	found, err := readHeader(bytes.NewReader(content), int64(len(content)))
	runtime.ReadMemStats(&after)
	require.NoError(t, err)
	require.LessOrEqual(t, after.TotalAlloc-before.TotalAlloc, uint64(2*text.Len()+1<<20))
	at, ok := found.find("layers.7919.w")
	require.True(t, ok)
	require.Equal(t, Info{Name: "layers.7919.w", DType: U8, Shape: []int{1}, Begin: int64(len(content) - n + 1),
		End: int64(len(content) - n + 2)},
		found.info(at))
}
