package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzFile overwrites bytes of a store: each eight of patches say where (four) and with what (four). The store is refused by an error
// that names it, or a value that it gives is the one that was put.
func FuzzFile(f *testing.F) {
	const n = 12
	_, whole := filledStore(f, n)
	patch := func(at int, with string) []byte {
		return append(binary.LittleEndian.AppendUint32(nil, uint32(at)), with...)
	}
	f.Add([]byte{})
	for page := range len(whole) / os.Getpagesize() {
		at := page * os.Getpagesize()
		f.Add(patch(at, "\xff\xff\xff\xff"))                                       // its number
		f.Add(append(patch(at+8, "\x02\x00\xff\xff"), patch(at+16, "\x00...")...)) // its kind and count, its first element
	}
	f.Fuzz(func(t *testing.T, patches []byte) {
		bad := bytes.Clone(whole)
		for ; len(patches) >= 8; patches = patches[8:] {
			copy(bad[binary.LittleEndian.Uint32(patches)%uint32(len(bad)):], patches[4:8])
		}
		path := filepath.Join(t.TempDir(), "labels.db")
		require.NoError(t, os.WriteFile(path, bad, 0o600))
		s, err := Open(path, Options{ReadOnly: true})
		if err != nil {
			require.ErrorContains(t, err, path)
			return
		}
		for i := range n {
			for _, stage := range []string{"quality", "answer"} {
				value, found, err := s.Get(stage, NewKey(fmt.Sprint(i)))
				if err != nil {
					require.ErrorContains(t, err, path)
				} else if found {
					require.Equal(t, string(valueOf(i)), string(value))
				}
			}
		}
		_ = s.Close() // of a store that is damaged
	})
}
