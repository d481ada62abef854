package store

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	bolt "go.etcd.io/bbolt"
)

func valueOf(i int) []byte {
	return fmt.Appendf(nil, `{"score":%d,"raw":["the value number %d"]}`, i, i)
}

// filledStore has n values and as many open items in each of two stages, and a ledger.
func filledStore(t testing.TB, n int) (path string, whole []byte) {
	path = filepath.Join(t.TempDir(), "labels.db")
	s, err := Open(path, Options{})
	require.NoError(t, err)
	id, err := s.Reserve(Amount{Tokens: 10})
	require.NoError(t, err)
	require.NoError(t, s.Settle(id, Amount{Tokens: 7}))
	require.NoError(t, s.write(func(tx *bolt.Tx) error {
		var errs []error
		for i := range n {
			key, open := NewKey(fmt.Sprint(i)), NewKey("open", fmt.Sprint(i))
			for _, stage := range []string{"quality", "answer"} {
				errs = append(errs, putValue(tx, stage, key[:], seal(valueOf(i))))
				errs = append(errs, putOpen(tx, stage, open[:], func(r *openRecord) { r.Reason = "why" }))
			}
		}
		return asFatal(errors.Join(errs...))
	}))
	require.NoError(t, s.Close())
	whole, err = os.ReadFile(path)
	require.NoError(t, err)
	return path, whole
}

// damage changes a byte of the text's every occurrence in the file.
func damage(t *testing.T, path string, whole, text []byte) {
	require.Positive(t, bytes.Count(whole, text))
	bad := bytes.ReplaceAll(whole, text, append([]byte("#"), text[1:]...))
	require.NoError(t, os.WriteFile(path, bad, 0o644))
}

// TestDamagedValueIsReplaced: it is no value: a note that it is open is kept, a value takes its place, and the counts stay right.
func TestDamagedValueIsReplaced(t *testing.T) {
	path, whole := filledStore(t, 3)
	damage(t, path, whole, valueOf(1))
	s, err := Open(path, Options{})
	require.NoError(t, err)
	key := NewKey("1")
	_, found, err := s.Get("quality", key)
	require.ErrorIs(t, err, ErrDamagedValue)
	require.ErrorIs(t, err, ErrDamaged)
	require.False(t, found)
	require.NoError(t, s.PutOpen("quality", key, "the judge is away"))
	reasons, err := s.Reasons("quality")
	require.NoError(t, err)
	require.Equal(t, map[string]int{"why": 3, "the judge is away": 1}, reasons)
	other := NewKey("open", "0")
	require.NoError(t, s.Put("quality", key, []byte("another"), other))
	value, found, err := s.Get("quality", key)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, "another", string(value))
	counts, err := s.Counts()
	require.NoError(t, err)
	require.Equal(t, Count{"quality", 3, 2}, counts[1], "the other item named is closed too")
	require.ErrorIs(t, s.Put("quality", key, []byte("a third")), ErrConflict)
	require.NoError(t, s.Close())
}

func TestRepair(t *testing.T) {
	path, whole := filledStore(t, 40)
	r, err := Repair(path)
	require.NoError(t, err)
	require.Equal(t, Repaired{Kept: 80, Open: 80, Damaged: map[string]int{}}, r)
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	require.True(t, bytes.Equal(whole, after), "a whole file stays as it is")

	before, err := Open(path, Options{ReadOnly: true})
	require.NoError(t, err)
	require.NoError(t, before.Close())
	damage(t, path, whole, valueOf(7))
	r, err = Repair(path)
	require.NoError(t, err)
	require.Equal(t, Repaired{Kept: 78, Open: 80, Damaged: map[string]int{"quality": 1, "answer": 1}, Old: path + ".damaged-1"}, r)
	s, err := Open(path, Options{})
	require.NoError(t, err)
	require.Equal(t, before.id, s.id)
	for i := range 40 {
		value, found, err := s.Get("quality", NewKey(fmt.Sprint(i)))
		require.NoError(t, err)
		require.Equal(t, i != 7, found)
		if found {
			require.Equal(t, valueOf(i), value)
		}
	}
	reasons, err := s.Reasons("quality")
	require.NoError(t, err)
	require.Equal(t, map[string]int{"why": 40, "the stored value was damaged": 1}, reasons)
	spend, err := s.Spend()
	require.NoError(t, err)
	require.Equal(t, int64(7), spend.Settled.Tokens)
	_, err = Repair(path)
	require.ErrorIs(t, err, ErrInUse)
	require.NoError(t, s.Close())
	_, err = Repair(filepath.Join(t.TempDir(), "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

// TestRepairOfAnyDamage: whatever is overwritten, what is kept is what was put, the new file is whole, and the old one is still there.
func TestRepairOfAnyDamage(t *testing.T) {
	const n = 40
	path, whole := filledStore(t, n)
	r := rand.New(rand.NewPCG(1, 2)) // and the file has an id of its own, which moves nothing
	repaired := 0
	for range 20 {
		bad := bytes.Clone(whole)
		if r.IntN(4) == 0 {
			bad = bad[:len(bad)/2+r.IntN(len(bad)/2)]
		}
		for range 1 + r.IntN(3) {
			at := r.IntN(len(bad))
			for k := at; k < min(len(bad), at+1+r.IntN(300)); k++ {
				bad[k] = byte(r.Uint32())
			}
		}
		require.NoError(t, os.WriteFile(path, bad, 0o644))
		found, err := Repair(path)
		if err != nil {
			require.ErrorContains(t, err, path, "it names the file, and changes nothing")
			left, err := os.ReadFile(path)
			require.NoError(t, err)
			require.True(t, bytes.Equal(bad, left))
			continue
		}
		if found.Old == "" {
			continue
		}
		repaired++
		old, err := os.ReadFile(found.Old)
		require.NoError(t, err)
		require.True(t, bytes.Equal(bad, old))
		require.NoError(t, os.Remove(found.Old))
		s, err := Open(path, Options{})
		require.NoError(t, err)
		values := 0
		for i := range n {
			for _, stage := range []string{"quality", "answer"} {
				value, ok, err := s.Get(stage, NewKey(fmt.Sprint(i)))
				require.NoError(t, err)
				if ok {
					require.Equal(t, valueOf(i), value)
					values++
				}
			}
		}
		require.LessOrEqual(t, values, found.Kept)
		require.NoError(t, s.Close())
	}
	t.Logf("%d of 20 needed it", repaired)
	require.Greater(t, repaired, 3)
}

// TestRepairPastADamagedPage: one page of a stage that cannot be read costs its own values, not those behind it.
func TestRepairPastADamagedPage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "labels.db")
	s, err := Open(path, Options{})
	require.NoError(t, err)
	const n = 400
	require.NoError(t, s.write(func(tx *bolt.Tx) error {
		for i := range n {
			key := NewKey(fmt.Sprint(i))
			if err := putValue(tx, "quality", key[:], seal(valueOf(i))); err != nil {
				return fatal{err}
			}
		}
		return nil
	}))
	var first Key // of the whole stage: its page is the first
	require.NoError(t, s.Each("quality", func(key Key, _ []byte) error {
		if first == (Key{}) {
			first = key
		}
		return nil
	}))
	require.NoError(t, s.Close())
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	for from := 0; ; {
		at := bytes.Index(whole[from:], first[:])
		if at < 0 {
			break
		}
		from += at + 1
		page := (from - 1) / os.Getpagesize() * os.Getpagesize()
		if whole[page+8] == 2 { // a leaf; branches name their children's first keys too
			whole[page+8] = 0xff
		}
	}
	require.NoError(t, os.WriteFile(path, whole, 0o644))
	r, err := Repair(path)
	require.NoError(t, err)
	require.Equal(t, []string{"quality: parts of its list"}, r.Unreadable)
	require.Greater(t, r.Kept, n/2)
	require.Less(t, r.Kept, n)
}

// TestMergeOfADamagedValue: it is merged as an open item, and a store that has the value keeps it.
func TestMergeOfADamagedValue(t *testing.T) {
	path, whole := filledStore(t, 3)
	damage(t, path, whole, valueOf(1))
	for _, has := range []bool{false, true} {
		s, err := Open(filepath.Join(t.TempDir(), "merged"), Options{})
		require.NoError(t, err)
		if has {
			require.NoError(t, s.Put("quality", NewKey("1"), valueOf(1)))
		}
		require.NoError(t, s.Merge(path))
		reasons, err := s.Reasons("quality")
		require.NoError(t, err)
		_, found, err := s.Get("quality", NewKey("1"))
		require.NoError(t, err)
		require.Equal(t, has, found)
		require.Equal(t, !has, reasons["the stored value was damaged"] == 1)
		require.NoError(t, s.Close())
	}
}
