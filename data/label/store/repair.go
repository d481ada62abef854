package store

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/goprm/goprm/internal/atomicfile"
	bolt "go.etcd.io/bbolt"
)

// Repaired is what Repair found and did.
type Repaired struct {
	// Kept are the values that match their checksums, Open the open items without those that were values.
	Kept int `json:"kept"`
	Open int `json:"open"`
	// Damaged counts, by stage, the values that do not: they are open items now.
	Damaged map[string]int `json:"damaged"`
	// Unreadable names what could not even be counted: what it held is asked for again.
	Unreadable []string `json:"unreadable"`
	// Old is where the damaged file lies now; "": nothing was damaged, and the file is as it was.
	Old string `json:"old"`
}

// Repair writes what can be read of the store at path to a new file, which takes its place; the old one is kept beside it. It fails
// with ErrInUse while a process has the store open for writing.
func Repair(path string) (r Repaired, err error) {
	if _, err := os.Stat(path); err != nil {
		return r, fmt.Errorf("label store %s: %w", path, err)
	}
	old := &Store{path: path}
	if old.db, err = openFile(path, time.Second, true); err != nil {
		return r, old.wrap(err)
	}
	made, err := atomicfile.Scratch(path)
	if err != nil {
		return r, errors.Join(err, old.closeDamaged())
	}
	defer func() { err = errors.Join(err, os.RemoveAll(made)) }()
	fresh := filepath.Join(made, filepath.Base(path))
	r, err = old.copyTo(fresh)
	if err = errors.Join(err, old.closeDamaged()); err != nil || len(r.Damaged) == 0 && len(r.Unreadable) == 0 {
		return r, err
	}
	for n := 1; ; n++ {
		r.Old = fmt.Sprintf("%s.damaged-%d", path, n)
		if _, err := os.Lstat(r.Old); errors.Is(err, os.ErrNotExist) {
			break
		}
	}
	if err := os.Link(path, r.Old); err != nil { // where there are no links, a crash between two renames leaves the old file alone
		if err := os.Rename(path, r.Old); err != nil {
			return r, err
		}
	}
	return r, atomicfile.Move(fresh, path)
}

// closeDamaged closes a file that may have made bbolt panic: what that says then is of no use.
func (s *Store) closeDamaged() (err error) {
	defer recovered(&err)
	return s.db.Close()
}

// copyTo copies what can be read.
func (s *Store) copyTo(path string) (r Repaired, err error) {
	to, err := Open(path, Options{})
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	r.Damaged = map[string]int{}
	lost := func(format string, args ...any) { r.Unreadable = append(r.Unreadable, fmt.Sprintf(format, args...)) }
	if err := s.copyFile(to); errors.Is(err, ErrVersion) {
		return r, err
	} else if err != nil {
		lost("the file's name: %v", err)
	}
	if err := s.copySpend(to); err != nil {
		lost("the ledger: the budget counts from zero again: %v", err)
	}
	stages := map[string]bool{}
	for _, kind := range [][]byte{bucketValues, bucketOpen} {
		names, err := s.stages(kind)
		if err != nil {
			lost("the list of stages: %v", err)
		}
		for _, stage := range names {
			stages[stage] = true
		}
	}
	for stage := range stages {
		gaps, err := s.salvage(bucketValues, stage, func(items []item) error {
			return to.write(func(tx *bolt.Tx) error { return r.keep(tx, stage, items) })
		})
		if err != nil {
			return r, err
		}
		missing, err := s.salvage(bucketOpen, stage, func(items []item) error {
			return to.write(func(tx *bolt.Tx) error { return r.keepOpen(tx, stage, items) })
		})
		if err != nil {
			return r, err
		}
		if gaps+missing > 0 {
			lost("%s: parts of its list", stage)
		}
	}
	slices.Sort(r.Unreadable)
	return r, nil
}

// keep puts whole values, and notes damaged ones as open items.
func (r *Repaired) keep(tx *bolt.Tx, stage string, items []item) error {
	for _, it := range items {
		var err error
		switch {
		case len(it.key) != len(Key{}):
			r.Damaged[stage]++
		case intact(it.value):
			r.Kept++
			err = putValue(tx, stage, it.key, it.value)
		default:
			r.Damaged[stage]++
			err = putOpen(tx, stage, it.key, func(o *openRecord) { o.Reason = damagedValue })
		}
		if err != nil {
			return fatal{err}
		}
	}
	return nil
}

func (r *Repaired) keepOpen(tx *bolt.Tx, stage string, items []item) error {
	for _, it := range items {
		var note openRecord
		if len(it.key) != len(Key{}) || json.Unmarshal(it.value, &note) != nil {
			r.Damaged[stage]++
			continue // its value is asked for again as it is
		}
		r.Open++
		if err := putOpen(tx, stage, it.key, func(o *openRecord) { *o = note }); err != nil {
			return fatal{err}
		}
	}
	return nil
}

func (s *Store) stages(kind []byte) (names []string, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		b := tx.Bucket(kind)
		if b == nil {
			return fmt.Errorf("bucket %q is missing", kind)
		}
		return b.ForEachBucket(func(name []byte) error {
			names = append(names, string(name))
			return nil
		})
	})
	return names, err
}

type item struct{ key, value []byte }

// salvage calls fn with what can be read of a stage, some at a time. Keys are hashes: past a page that cannot be read it goes on
// with the next beginning of two bytes, and counts a gap.
func (s *Store) salvage(kind []byte, stage string, fn func([]item) error) (gaps int, err error) {
	var from []byte
	inGap := false
	for {
		var page []item
		failed := s.view(func(tx *bolt.Tx) error { return readPage(tx, kind, stage, from, &page) })
		if len(page) > 0 {
			if err := fn(page); err != nil {
				return gaps, err
			}
			from, inGap = append(page[len(page)-1].key, 0), false
		}
		switch {
		case failed == nil && len(page) == 0:
			return gaps, nil
		case failed == nil:
			continue
		case !inGap:
			gaps, inGap = gaps+1, true
		}
		var prefix [2]byte
		copy(prefix[:], from)
		next := binary.BigEndian.Uint16(prefix[:]) + 1
		if next == 0 {
			return gaps, nil
		}
		from = binary.BigEndian.AppendUint16(nil, next)
	}
}

// readPage adds the items of a stage from a key on to page, up to the bounds of a walk.
func readPage(tx *bolt.Tx, kind []byte, stage string, from []byte, page *[]item) error {
	b := tx.Bucket(kind)
	if b != nil {
		b = b.Bucket([]byte(stage))
	}
	if b == nil {
		return nil
	}
	c, size := b.Cursor(), 0
	for k, v := c.Seek(from); k != nil && len(*page) < pageItems && size < pageBytes; k, v = c.Next() {
		*page = append(*page, item{bytes.Clone(k), bytes.Clone(v)})
		size += len(k) + len(v)
	}
	return nil
}

// copyFile keeps the store's name, so that it counts as the same one when stores are merged.
func (s *Store) copyFile(to *Store) error {
	var id []byte
	err := s.view(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketFile)
		if b == nil || string(b.Get(keyFormat)) != format() {
			return ErrVersion
		}
		id = bytes.Clone(b.Get(keyID))
		return nil
	})
	if err != nil {
		return err
	}
	to.id = string(id)
	return to.write(func(tx *bolt.Tx) error { return asFatal(tx.Bucket(bucketFile).Put(keyID, id)) })
}

// copySpend copies the ledger as it stands; calls in flight count as lost when the store is next opened.
func (s *Store) copySpend(to *Store) error {
	type entry struct{ bucket, key, value []byte }
	var all []entry
	err := s.view(func(tx *bolt.Tx) error {
		if _, err := readSpend(tx); err != nil {
			return err
		}
		spend := tx.Bucket(bucketSpend)
		all = append(all, entry{nil, keyTotals, bytes.Clone(spend.Get(keyTotals))})
		for _, name := range [][]byte{bucketCalls, bucketMergers} {
			b := spend.Bucket(name)
			if b == nil {
				continue
			}
			if err := b.ForEach(func(k, v []byte) error {
				all = append(all, entry{name, bytes.Clone(k), bytes.Clone(v)})
				return nil
			}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return to.write(func(tx *bolt.Tx) error {
		for _, e := range all {
			b := tx.Bucket(bucketSpend)
			if e.value == nil {
				continue
			}
			if e.bucket != nil {
				var err error
				if b, err = b.CreateBucketIfNotExists(e.bucket); err != nil {
					return fatal{err}
				}
			}
			if err := b.Put(e.key, e.value); err != nil {
				return fatal{err}
			}
		}
		return nil
	})
}
