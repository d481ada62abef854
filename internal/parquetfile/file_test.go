package parquetfile

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"runtime/metrics"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const testdata = "../../data/testdata/parquet"

func load(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(testdata, name))
	require.NoError(t, err)
	return b
}

// rows reads all it can, and returns the error that ended it. Rows in error are counted.
func rows(b []byte, limit int) (texts []string, bad int, err error) {
	f, err := Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, 0, err
	}
	for text, err := range f.Rows(limit) {
		var row *RowError
		switch {
		case errors.As(err, &row):
			bad++
		case err != nil:
			return texts, bad, err
		default:
			texts = append(texts, string(text))
		}
	}
	return texts, bad, nil
}

// TestPyarrow reads files that pyarrow wrote, in every compression, page version and encoding that is read, against the
// same rows as JSON lines.
func TestPyarrow(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(testdata, "*.parquet"))
	require.NoError(t, err)
	require.Len(t, files, 11)
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".parquet")
		t.Run(name, func(t *testing.T) {
			twin, _, _ := strings.Cut(name, "_snappy")
			if strings.HasPrefix(name, "types") {
				twin = "types"
			}
			want := bufio.NewScanner(bytes.NewReader(load(t, twin+".jsonl")))
			got, bad, err := rows(load(t, name+".parquet"), 1<<20)
			require.NoError(t, err)
			require.Zero(t, bad)
			for _, row := range got {
				require.True(t, want.Scan(), "more rows than expected")
				require.JSONEq(t, want.Text(), row)
			}
			require.False(t, want.Scan(), "fewer rows than expected")
		})
	}
}

// TestDamage flips bits and cuts: never a panic, a hang, or memory out of proportion to the file; and where pages have a
// checksum, never other rows without an error.
func TestDamage(t *testing.T) {
	step := 41
	if testing.Short() {
		step = 101
	}
	for _, name := range []string{"types_snappy.parquet", "types_zstd_v2.parquet", "types_gzip_plain.parquet", "types_delta_v2.parquet",
		"prm800k.parquet", "openthoughts.parquet"} {
		whole := load(t, name)
		want, _, err := rows(whole, 1<<20)
		require.NoError(t, err)
		checked := name == "types_zstd_v2.parquet"
		footer := len(whole) - tail - int(binary.LittleEndian.Uint32(whole[len(whole)-tail:]))
		for i := 0; i < len(whole); i += step {
			for _, flip := range []byte{1, 0x80, 0xff} {
				b := bytes.Clone(whole)
				b[i] ^= flip
				if got, bad, err := bounded(t, b); checked && i < footer && err == nil && bad == 0 {
					require.Equal(t, want, got, "%s: byte %d, flipped by %x", name, i, flip)
				}
			}
		}
		for n := 0; n < len(whole); n += step {
			_, _, err := bounded(t, whole[:n])
			require.Error(t, err, "%s cut to %d bytes", name, n)
		}
	}
}

// bounded reads b and holds what that allocates against the file's size.
func bounded(t *testing.T, b []byte) (texts []string, bad int, err error) {
	t.Helper()
	before := allocated()
	texts, bad, err = rows(b, 1<<20)
	require.Less(t, allocated()-before, uint64(32<<20), "%v", err)
	return texts, bad, err
}

// allocated is how many bytes were ever allocated.
func allocated() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

func FuzzRows(f *testing.F) {
	for _, name := range []string{"types_snappy", "types_zstd_v2", "types_gzip_plain", "types_delta_v2", "prm800k", "s1k", "stepwise"} {
		f.Add(load(f, name+".parquet"))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		before := allocated()
		_, _, _ = rows(b, 1<<16)
		require.Less(t, allocated()-before, uint64(64<<20+4096*len(b)))
	})
}
