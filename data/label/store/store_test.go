package store

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	bolt "go.etcd.io/bbolt"
)

func open(t *testing.T, path string, o Options) *Store {
	t.Helper()
	s, err := Open(path, o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func TestKeyTellsPartsApart(t *testing.T) {
	require.NotEqual(t, NewKey("ab", "c"), NewKey("a", "bc"))
	require.NotEqual(t, NewKey("a"), NewKey("a", ""))
	// sha256 of 01 00 00 00 00 00 00 00 61, by sha256sum.
	require.Equal(t, "ae6121c88ba555f64c3d812123eb799d128015541f850c5e9bf1d54c08ad8481", NewKey("a").String())
}

func TestPutIsFinalAndClosesTheItem(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	s := open(t, path, Options{})
	key := NewKey("x")
	_, found, err := s.Get("judge", key)
	require.NoError(t, err)
	require.False(t, found)

	require.NoError(t, s.PutOpen("judge", key, "refused"))
	require.NoError(t, s.PutOpen("judge", key, "cut"))
	require.NoError(t, s.PutOpen("judge", NewKey("y"), "cut"))
	require.NoError(t, s.EachOpen("judge", func(k Key, reason string, attempts int) error {
		if k == key {
			require.Equal(t, "cut 2", fmt.Sprint(reason, " ", attempts))
		}
		return nil
	}))
	reasons, err := s.Reasons("judge")
	require.NoError(t, err)
	require.Equal(t, map[string]int{"cut": 2}, reasons)

	require.NoError(t, s.Put("judge", key, []byte("one")))
	require.NoError(t, s.Put("judge", key, []byte("one")))
	require.ErrorIs(t, s.Put("judge", key, []byte("two")), ErrConflict)
	require.ErrorContains(t, s.Put("judge", key, []byte("two")), key.String())
	require.NoError(t, s.PutOpen("judge", key, "late"))
	require.NoError(t, s.Put("judge", NewKey("empty"), nil))
	require.NoError(t, s.Put("align", key, []byte("other stage")))
	require.Error(t, s.Put("", key, nil))

	require.NoError(t, s.Close())
	require.ErrorIs(t, s.Put("judge", key, nil), ErrClosed)
	_, _, err = s.Get("judge", key)
	require.ErrorIs(t, err, ErrClosed)

	s = open(t, path, Options{ReadOnly: true})
	value, found, err := s.Get("judge", key)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, "one", string(value))
	value, found, err = s.Get("judge", NewKey("empty"))
	require.NoError(t, err)
	require.True(t, found)
	require.Empty(t, value)
	counts, err := s.Counts()
	require.NoError(t, err)
	require.Equal(t, []Count{{"align", 1, 0}, {"judge", 2, 1}}, counts)
	require.Error(t, s.Put("judge", NewKey("z"), nil))
}

func TestEachVisitsAllInOrderAndMayWrite(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "store"), Options{})
	want := map[Key]string{}
	var wait sync.WaitGroup
	for i := range 3*pageItems + 7 {
		key, value := NewKey(fmt.Sprint(i)), fmt.Sprint("value ", i)
		want[key] = value
		wait.Go(func() { require.NoError(t, s.Put("s", key, []byte(value))) })
	}
	wait.Wait()
	got, last := map[Key]string{}, Key{}
	require.NoError(t, s.Each("s", func(key Key, value []byte) error {
		require.Less(t, last.String(), key.String())
		got[key], last = string(value), key
		// A value larger than the map makes bbolt map the file anew, which waits for every reader.
		if len(got) == 10 {
			return s.Put("large", key, make([]byte, 8<<20))
		}
		return nil
	}))
	require.Equal(t, want, got)
	stop := errors.New("stop")
	require.ErrorIs(t, s.Each("s", func(Key, []byte) error { return stop }), stop)
}

func TestRefusedFiles(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(dir, "good")
	s := open(t, good, Options{})
	for i := range 200 {
		require.NoError(t, s.Put("s", NewKey(fmt.Sprint(i)), make([]byte, 500)))
	}
	_, err := Open(good, Options{Wait: 50 * time.Millisecond})
	require.ErrorIs(t, err, ErrInUse)
	require.ErrorContains(t, err, good)
	require.NoError(t, s.Close())
	whole, err := os.ReadFile(good)
	require.NoError(t, err)

	refuse := func(name string, content []byte, want error) {
		t.Helper()
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, content, 0o644))
		for _, readOnly := range []bool{true, false} {
			_, err := Open(path, Options{ReadOnly: readOnly})
			require.ErrorIs(t, err, want, name)
			require.ErrorContains(t, err, path)
		}
		after, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, content, after, "a refused file stays as it was")
	}
	refuse("text", []byte("a text that is not a store, longer than a header would be"), ErrDamaged)
	refuse("truncated", whole[:len(whole)/4], ErrDamaged)
	db, err := bolt.Open(good, 0o644, &bolt.Options{ReadOnly: true})
	require.NoError(t, err)
	var used int64
	require.NoError(t, db.View(func(tx *bolt.Tx) error { used = tx.Size(); return nil }))
	require.NoError(t, db.Close())
	refuse("last byte", whole[:used-1], ErrDamaged)
	refuse("header only", whole[:2*os.Getpagesize()], ErrDamaged)

	edit := func(name string, change func(tx *bolt.Tx) error) []byte {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, whole, 0o644))
		db, err := bolt.Open(path, 0o644, nil)
		require.NoError(t, err)
		require.NoError(t, db.Update(change))
		require.NoError(t, db.Close())
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		return content
	}
	refuse("version", edit("v", func(tx *bolt.Tx) error {
		return tx.Bucket(bucketFile).Put(keyFormat, []byte("goprm-label-store 2"))
	}), ErrVersion)
	refuse("other", edit("o", func(tx *bolt.Tx) error { return tx.DeleteBucket(bucketFile) }), ErrVersion)
	refuse("bucket", edit("b", func(tx *bolt.Tx) error { return tx.DeleteBucket(bucketSpend) }), ErrDamaged)

	_, err = Open(filepath.Join(dir, "none"), Options{ReadOnly: true})
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = Open(filepath.Join(dir, "none", "store"), Options{})
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = Open(good, Options{Budget: Amount{Tokens: -1}})
	require.ErrorContains(t, err, "budget")
}

// TestFlippedBits damages one byte at a time. A read gives the value that was put, or an error; it never panics or gives another.
func TestFlippedBits(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(dir, "good")
	s := open(t, good, Options{})
	value := func(i int) []byte { return fmt.Appendf(nil, "value %d %0100d", i, i) }
	for i := range 60 {
		require.NoError(t, s.Put("s", NewKey(fmt.Sprint(i)), value(i)))
	}
	require.NoError(t, s.Close())
	whole, err := os.ReadFile(good)
	require.NoError(t, err)
	random := rand.New(rand.NewPCG(3, 3))
	noticed := 0
	for round := range 150 {
		content := append([]byte(nil), whole...)
		for range 8 {
			content[random.IntN(len(content))] ^= byte(1 + random.IntN(255))
		}
		// A panic leaks bbolt's lock on the file, so that each round has its own.
		path := filepath.Join(dir, fmt.Sprint(round))
		require.NoError(t, os.WriteFile(path, content, 0o644))
		s, err := Open(path, Options{})
		if err != nil {
			noticed++
			continue
		}
		for i := range 60 {
			got, found, err := s.Get("s", NewKey(fmt.Sprint(i)))
			if err != nil || !found {
				noticed++
				continue
			}
			require.Equal(t, value(i), got)
		}
		_ = s.Put("s", NewKey("new"), value(0))
		_ = s.Each("s", func(Key, []byte) error { return nil })
		_, _ = s.Counts()
		_ = s.Close()
		require.NoError(t, os.Remove(path))
	}
	require.NotZero(t, noticed)
}

func TestLedger(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	s := open(t, path, Options{Budget: Amount{Tokens: 100, Nanos: 1000}})
	reserve := func(tokens, nanos int64) uint64 {
		t.Helper()
		id, err := s.Reserve(Amount{tokens, nanos})
		require.NoError(t, err)
		return id
	}
	a := reserve(60, 100)
	_, err := s.Reserve(Amount{41, 1})
	require.ErrorIs(t, err, ErrBudget)
	_, err = s.Reserve(Amount{1, 901})
	require.ErrorIs(t, err, ErrBudget)
	_, err = s.Reserve(Amount{1 << 62, 1 << 62})
	require.ErrorIs(t, err, ErrBudget)
	_, err = s.Reserve(Amount{-1, 0})
	require.Error(t, err)
	b := reserve(40, 0)
	require.NoError(t, s.Settle(a, Amount{10, 20}))
	require.Error(t, s.Settle(a, Amount{10, 20}), "settled once")
	require.NoError(t, s.Lose(b))
	c := reserve(50, 880)
	spend, err := s.Spend()
	require.NoError(t, err)
	require.Equal(t, Spend{Calls: 1, Settled: Amount{10, 20}, LostCalls: 1, Lost: Amount{40, 0}, ReservedCalls: 1, Reserved: Amount{50, 880}},
		spend)
	require.Equal(t, Amount{100, 900}, spend.Total())
	require.NoError(t, s.Close())

	// The reservation in flight at the end counts as spent; a larger budget goes on from there.
	s = open(t, path, Options{Budget: Amount{Tokens: 110}})
	require.Error(t, s.Settle(c, Amount{}))
	spend, err = s.Spend()
	require.NoError(t, err)
	require.Equal(t, Spend{Calls: 1, Settled: Amount{10, 20}, LostCalls: 2, Lost: Amount{90, 880}}, spend)
	_, err = s.Reserve(Amount{11, 0})
	require.ErrorIs(t, err, ErrBudget)
	d := reserve(10, 1<<40)
	require.NotEqual(t, c, d)
	require.NoError(t, s.Settle(d, Amount{12, 0}))
	spend, err = s.Spend()
	require.NoError(t, err)
	require.EqualValues(t, 1, spend.Over)
	_, err = s.Reserve(Amount{0, 1})
	require.ErrorIs(t, err, ErrBudget, "it is overspent")
}

// TestBudgetUnderConcurrency: whatever the order, what is granted stays within the budget, and all of it can be spent.
func TestBudgetUnderConcurrency(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "store"), Options{Budget: Amount{Tokens: 500}})
	var wait sync.WaitGroup
	for range 100 {
		wait.Go(func() {
			for {
				id, err := s.Reserve(Amount{Tokens: 7})
				if errors.Is(err, ErrBudget) {
					return
				}
				require.NoError(t, err)
				require.NoError(t, s.Settle(id, Amount{Tokens: 5}))
				spend, err := s.Spend()
				require.NoError(t, err)
				require.LessOrEqual(t, spend.Total().Tokens, int64(500))
			}
		})
	}
	wait.Wait()
	spend, err := s.Spend()
	require.NoError(t, err)
	require.LessOrEqual(t, spend.Settled.Tokens, int64(500))
	require.Greater(t, spend.Settled.Tokens, int64(490))
	require.Zero(t, spend.Reserved)
}

func TestMerge(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	for i, name := range []string{"a", "b"} {
		s := open(t, path(name), Options{})
		require.NoError(t, s.Put("s", NewKey("both"), []byte("same")))
		require.NoError(t, s.Put("s", NewKey(name), []byte(name)))
		require.NoError(t, s.PutOpen("s", NewKey("open"), "cut"))
		require.NoError(t, s.PutOpen("s", NewKey(fmt.Sprint("open in ", 1-i)), "cut"))
		require.NoError(t, s.Put("s", NewKey(fmt.Sprint("open in ", i)), nil))
		id, err := s.Reserve(Amount{10, 1})
		require.NoError(t, err)
		require.NoError(t, s.Settle(id, Amount{int64(i + 1), 1}))
		require.NoError(t, s.Close())
	}
	s := open(t, path("all"), Options{Budget: Amount{Tokens: 1}})
	for range 2 { // again changes nothing
		require.NoError(t, s.Merge(path("a"), path("b")))
		counts, err := s.Counts()
		require.NoError(t, err)
		require.Equal(t, []Count{{"s", 5, 1}}, counts)
		spend, err := s.Spend()
		require.NoError(t, err)
		require.Zero(t, spend.Total())
		var tokens int64
		for _, m := range spend.Merged {
			tokens += m.Total().Tokens
		}
		require.EqualValues(t, 3, tokens)
	}
	value, _, err := s.Get("s", NewKey("b"))
	require.NoError(t, err)
	require.Equal(t, "b", string(value))

	c := open(t, path("c"), Options{})
	require.NoError(t, c.Put("s", NewKey("both"), []byte("other")))
	require.ErrorIs(t, s.Merge(path("c")), ErrInUse)
	require.NoError(t, c.Close())
	err = s.Merge(path("c"))
	require.ErrorIs(t, err, ErrConflict)
	require.ErrorContains(t, err, NewKey("both").String())
	require.ErrorContains(t, err, path("c"))

	from, err := os.Open(path("a"))
	require.NoError(t, err)
	to, err := os.Create(path("copy"))
	require.NoError(t, err)
	_, err = io.Copy(to, from)
	require.NoError(t, errors.Join(err, to.Close(), from.Close()))
	a := open(t, path("a"), Options{})
	require.ErrorContains(t, a.Merge(path("copy")), "is a copy of")
}

// BenchmarkPut: a value of the size of a verdict; goroutines that wait for the disk share its commits.
func BenchmarkPut(b *testing.B) {
	for _, callers := range []int{1, 16, 256} {
		b.Run(fmt.Sprint(callers), func(b *testing.B) {
			s, err := Open(filepath.Join(b.TempDir(), "store"), Options{})
			require.NoError(b, err)
			defer func() { require.NoError(b, s.Close()) }()
			next := make(chan int)
			var all sync.WaitGroup
			for range callers {
				all.Go(func() {
					for i := range next {
						if err := s.Put("s", NewKey(fmt.Sprint(i)), make([]byte, 200)); err != nil {
							b.Error(err)
						}
					}
				})
			}
			for i := range b.N {
				next <- i
			}
			close(next)
			all.Wait()
		})
	}
}
