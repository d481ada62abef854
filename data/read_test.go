package data

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"iter"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/goprm/goprm/internal/shareddata"
)

func write(t *testing.T, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, b, 0o600))
	return path
}

func gz(t *testing.T, b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, err := z.Write(b)
	require.NoError(t, errors.Join(err, z.Close()))
	return out.Bytes()
}

func zst(t *testing.T, b []byte) []byte {
	z, err := zstd.NewWriter(nil)
	require.NoError(t, err)
	return z.EncodeAll(b, nil)
}

// readAll gathers rows and errors as Read yields them.
func readAll(opt ReadOptions, paths ...string) (rows []*Trajectory, errs []string) {
	for t, err := range Read(paths, opt) {
		if err != nil {
			errs = append(errs, err.Error())
			continue
		}
		rows = append(rows, t)
	}
	return rows, errs
}

const twoRows = `{"id":"a","problem":"p","thinking":"t"}` + "\n\n" + `{"problem":"q","response":"r"}`

func TestReadCompressionsFoldersStdin(t *testing.T) {
	folder := t.TempDir()
	for name, b := range map[string][]byte{
		"c.jsonl": []byte(twoRows), "a.jsonl.gz": append(gz(t, []byte(twoRows+"\n")), gz(t, []byte(twoRows))...),
		"b.jsonl.zst": zst(t, []byte(twoRows)),
		"README.md":   []byte("no data"), ".hidden.jsonl": []byte("no data"),
	} {
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), b, 0o600))
	}
	rows, errs := readAll(ReadOptions{Stdin: bytes.NewReader(zst(t, []byte(twoRows)))}, folder, "-")
	require.Empty(t, errs)
	var ids, wheres []string
	for _, r := range rows {
		ids = append(ids, r.ID)
		wheres = append(wheres, strings.TrimPrefix(r.Where, folder+"/"))
	}
	require.Equal(t, []string{"a", "a:3", "a", "a:6", "a", "b:3", "a", "c:3", "a", "stdin:3"}, ids)
	require.Equal(t, []string{"a.jsonl.gz:1", "a.jsonl.gz:3", "a.jsonl.gz:4", "a.jsonl.gz:6", "b.jsonl.zst:1", "b.jsonl.zst:3", "c.jsonl:1",
		"c.jsonl:3", "stdin:1", "stdin:3"}, wheres)
}

func TestReadBadRowsGoOn(t *testing.T) {
	path := write(t, "x.jsonl", []byte(strings.Join([]string{
		`{"id":"a","problem":"p","thinking":"t"}`,
		`{"id":"b","problem":3}`,
		`{"id":"c","thinking":"no problem"}`,
		"{\"id\":\"d\",\"problem\":\"\xff\"}",
		`{"id":"e","problem":"p","steps":["s"],"labels":{"steps":[1,1]}}`,
		`{"id":"f","problem":"p","steps":["s"],"labels":{"weights":[-0.5]}}`,
		`not json`,
		`{"id":"g","problem":"p","thinking":"t"}`,
	}, "\n")))
	rows, errs := readAll(ReadOptions{}, path)
	require.Len(t, rows, 2)
	require.Equal(t, "g", rows[1].ID)
	for i, want := range []string{
		`:2 (id "b"): problem: number where a string is expected`,
		`:3 (id "c"): problem: missing (the file's first row is a trajectory row)`,
		`:4: byte 21: not valid UTF-8`,
		`:5 (id "e"): labels.steps: 2 labels for 1 steps`,
		`:6 (id "f"): labels.weights[0]: -0.5 is not a finite number of at least 0`,
		`:7: byte 2: not JSON: invalid character 'o' in literal null (expecting 'u'); lines of JSON and parquet are read`,
	} {
		require.Equal(t, path+want, errs[i])
	}
	require.Len(t, errs, 6)
	for _, err := range Read([]string{path}, ReadOptions{}) {
		if err != nil {
			var field *FieldError
			require.ErrorAs(t, err, &field)
			require.Equal(t, "problem", field.Field)
			break // stopping at an error is allowed
		}
	}
}

func TestReadBadFiles(t *testing.T) {
	text := []byte(strings.Repeat(`{"problem":"p","thinking":"`+strings.Repeat("x", 999)+`"}`+"\n", 300))
	z, s := gz(t, text), zst(t, text)
	flipped := bytes.Clone(z)
	flipped[len(flipped)-6] ^= 1
	for name, c := range map[string]struct {
		file string
		b    []byte
		want string
	}{
		"empty":          {"a.jsonl", nil, "a.jsonl: empty file"},
		"blank":          {"a.jsonl", []byte("\n \n"), "a.jsonl: no rows"},
		"empty gzip":     {"a.gz", gz(t, nil), "a.gz: no rows"},
		"parquet cut":    {"a.parquet", []byte("PAR1...."), "a.parquet: 8 bytes are too few for a parquet file"},
		"hidden parquet": {"a.jsonl", []byte("PAR1............"), "a.jsonl: ends with \"....\", not with \"PAR1\""},
		"no parquet":     {"a.parquet", text, "a.parquet: begins with \"{\\\"pr\", not with \"PAR1\""},
		"parquet in gzip": {"a.parquet.gz", gz(t, []byte("PAR1............")),
			"a.parquet.gz: parquet cannot be read from a stream or compressed as a whole"},
		"not gzip":        {"a.gz", text, "a.gz: named .gz, but"},
		"not zstd":        {"a.zst", text, "a.zst: named .zst, but"},
		"gzip cut":        {"a.gz", z[:len(z)-20], "compressed data ends too early"},
		"gzip bit flip":   {"a.gz", flipped, "compressed data is damaged"},
		"gzip header":     {"a.gz", []byte{0x1f, 0x8b, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9}, "compressed data is damaged"},
		"zstd cut":        {"a.zst", s[:len(s)-20], "compressed data ends too early"},
		"zstd big window": {"a.zst", []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0x00, 0x00}, "a.zst: "},
		"byte order mark": {"a.jsonl", append([]byte{0xef, 0xbb, 0xbf}, text...), "byte order mark"},
		"unknown kind": {"a.jsonl", []byte(`{"question":"q","text":"t"}`),
			"a.jsonl:1: unknown kind of row with the fields [question, text]: a trajectory has problem, and thinking, response, steps"},
		"missing file": {"", nil, "no such file"},
	} {
		path := filepath.Join(t.TempDir(), "none")
		if c.file != "" {
			path = write(t, c.file, c.b)
		}
		_, errs := readAll(ReadOptions{}, path)
		require.Len(t, errs, 1, name)
		require.Contains(t, errs[0], c.want, name)
		require.Contains(t, errs[0], filepath.Base(path), name)
	}
	for _, err := range Read([]string{write(t, "a.jsonl", []byte(`{"question":"q"}`))}, ReadOptions{}) {
		var row *RowError
		require.False(t, errors.As(err, &row), "an unknown kind is not one row's error, which may be skipped")
	}
	_, errs := readAll(ReadOptions{}, t.TempDir())
	require.Contains(t, errs[0], "no data files in this folder")
	_, errs = readAll(ReadOptions{})
	require.Equal(t, []string{"no input files"}, errs)
}

// repeated is a reader of n bytes that holds none of them.
type repeated struct {
	head, tail string
	n          int
}

func (r *repeated) Read(p []byte) (int, error) {
	if r.head != "" {
		n := copy(p, r.head)
		r.head = r.head[n:]
		return n, nil
	}
	if r.n > 0 {
		n := min(len(p), r.n)
		for i := range p[:n] {
			p[i] = 'x'
		}
		r.n -= n
		return n, nil
	}
	if r.tail == "" {
		return 0, io.EOF
	}
	n := copy(p, r.tail)
	r.tail = r.tail[n:]
	return n, nil
}

func TestReadLongLine(t *testing.T) {
	in := &repeated{head: twoRows + "\n" + `{"problem":"`, n: 100 << 20, tail: `"}` + "\n" + `{"id":"z","problem":"q","response":"r"}`}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	rows, errs := readAll(ReadOptions{Stdin: in, MaxLine: 1 << 20}, "-")
	runtime.ReadMemStats(&after)
	require.Equal(t, []string{"stdin:4: line too long: 104857614 bytes, at most 1048576 are read"}, errs)
	require.Len(t, rows, 3)
	require.Equal(t, "z", rows[2].ID)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(8<<20), "the long line is not held")
	exact := `{"problem":"p","thinking":"` + strings.Repeat("x", 971) + `"}`
	rows, errs = readAll(ReadOptions{Stdin: strings.NewReader(exact + "\n" + exact), MaxLine: len(exact)}, "-")
	require.Empty(t, errs, "a line of exactly the limit is read")
	require.Len(t, rows, 2)
	_, errs = readAll(ReadOptions{Stdin: strings.NewReader(exact), MaxLine: len(exact) - 1}, "-")
	require.Equal(t, []string{"stdin:1: line too long: 1000 bytes, at most 999 are read"}, errs)
}

func TestReadStepwise(t *testing.T) {
	path := write(t, "t.jsonl", []byte(`{"prompt":"p","completions":["a","b","c","d"],"labels":[true,false,0.999,null],"split":"x"}`+"\n"+
		`{"prompt":"p","completions":["a"],"labels":[true,false]}`+"\n"+`{"prompt":"p","completions":["a","b"],"labels":[true]}`+"\n"+
		`{"prompt":"p","completions":["a"],"labels":["yes"]}`+"\n"+`{"prompt":"p","completions":["a"],"labels":1}`))
	rows, errs := readAll(ReadOptions{}, path)
	require.Len(t, rows, 1)
	require.Equal(t, []*float64{Float(1), Float(0), Float(0.999), nil}, rows[0].Labels.Steps)
	require.Equal(t, []string{"a", "b", "c", "d"}, rows[0].ResponseSteps)
	require.Equal(t, "t:1", rows[0].ID)
	require.JSONEq(t, `"x"`, string(rows[0].Meta["split"]))
	require.Contains(t, errs[0], "t.jsonl:2: labels: 2 labels for 1 completions")
	require.Contains(t, errs[1], "t.jsonl:3: labels: 1 labels for 2 completions")
	require.Contains(t, errs[2], `t.jsonl:4: labels[0]: "yes" is neither a boolean nor a number`)
	require.Contains(t, errs[3], "t.jsonl:5: labels: not a list")
}

func TestReadPRM800KRatings(t *testing.T) {
	path := write(t, "p.jsonl", []byte(`{"instruction":"i","responses":["a"],"next_response":"b","rating":1}
{"instruction":"i","responses":[],"next_response":"b","rating":0}
{"instruction":"i","next_response":"b","rating":-1}
{"instruction":"i","responses":null,"next_response":"b","rating":null}
{"instruction":"i","responses":[],"next_response":"b","rating":2}
{"instruction":"i","responses":[],"next_response":null,"rating":1}`))
	rows, errs := readAll(ReadOptions{}, path)
	require.Len(t, rows, 4)
	require.Equal(t, []*float64{nil, Float(1)}, rows[0].Labels.Steps)
	require.Equal(t, []string{"a", "b"}, rows[0].ResponseSteps)
	require.Equal(t, []*float64{Float(0.5)}, rows[1].Labels.Steps)
	require.Equal(t, []*float64{Float(0)}, rows[2].Labels.Steps)
	require.Empty(t, rows[3].Labels.Steps)
	require.Contains(t, errs[0], "p.jsonl:5: rating: 2 is none of 1, 0, -1")
	require.Contains(t, errs[1], "p.jsonl:6: next_response: missing")
}

// TestReadRealPRM800K reads the flat PRM800K as its publisher's parquet and as JSON lines, which must be the same.
func TestReadRealPRM800K(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 51,835 rows twice")
	}
	dir := filepath.Join(shareddata.Dir(t), "data/steps/prm800k")
	columns, stop := iter.Pull2(Read([]string{filepath.Join(dir, "phase1_train_plus.stepwise-critic.parquet")}, ReadOptions{}))
	defer stop()
	counts := map[float64]int{}
	n, unlabelled := 0, 0
	for tr, err := range Read([]string{filepath.Join(dir, "phase1_train_plus_steps.jsonl.gz")}, ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		if twin, err, ok := columns(); !ok || err != nil || !sameButPlace(t, tr, twin) {
			t.Fatalf("row %d as parquet: %v %v", n, twin, err)
		}
		if len(tr.Labels.Steps) == 0 {
			unlabelled++
			continue
		}
		last := len(tr.ResponseSteps) - 1
		for i, l := range tr.Labels.Steps {
			if (i == last) != (l != nil) {
				t.Fatalf("row %d: label of step %d", n, i)
			}
		}
		counts[*tr.Labels.Steps[last]]++
	}
	_, _, more := columns()
	require.False(t, more)
	require.Equal(t, 51835, n)
	require.Equal(t, map[float64]int{0: 19656, 0.5: 10234, 1: 18782}, counts)
	require.Equal(t, 3163, unlabelled)
}

// sameButPlace compares all but ids, which hold the file's name, and places.
func sameButPlace(t *testing.T, a, b *Trajectory) bool {
	x, y := *a, *b
	x.ID, x.Where, y.ID, y.Where = "", "", "", ""
	return jsonOf(t, &x) == jsonOf(t, &y)
}

func FuzzRead(f *testing.F) {
	for _, s := range []string{twoRows, `{"prompt":"p","completions":["a"],"labels":[true]}`,
		`{"instruction":"i","responses":["a"],"next_response":"b","rating":-1}`,
		`{"problem":"p","steps":["a"],"labels":{"steps":[0.5],"weights":[1],"trajectory":1}}`, "{\"problem\":\"\\ud800\",\"thinking\":\"\"}",
		"\x1f\x8b\x08", "\x28\xb5\x2f\xfd"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for tr, err := range Read([]string{"-"}, ReadOptions{Stdin: bytes.NewReader(b), MaxLine: 1 << 16}) {
			if err != nil {
				require.Nil(t, tr)
				continue
			}
			line, err := tr.MarshalJSON()
			require.NoError(t, err)
			again := &Trajectory{Where: tr.Where}
			require.NoError(t, again.UnmarshalJSON(line))
			second, err := again.MarshalJSON()
			require.NoError(t, err)
			require.Equal(t, string(line), string(second))
		}
	})
}

// A stream without an end is no reason to read for ever.
func TestEndlessLineEnds(t *testing.T) {
	count := 0
	for _, err := range Lines([]string{"-"}, ReadOptions{Stdin: endless{}, MaxLine: 1000}) {
		require.ErrorContains(t, err, "no end yet")
		count++
	}
	require.Equal(t, 1, count)
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }
