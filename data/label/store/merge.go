package store

import (
	"encoding/json"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

const damagedValue = "the stored value was damaged"

// Merge adds the values, open items and spend of the stores at srcs to this one. Two values for one key are an error that names
// it; a damaged value is merged as an open item. What was merged before stays, and merging again changes nothing. The spend of a source is
// reported apart.
func (s *Store) Merge(srcs ...string) error {
	for _, path := range srcs {
		src, err := Open(path, Options{ReadOnly: true})
		if err != nil {
			return err
		}
		err = s.mergeOne(src)
		if cerr := src.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return fmt.Errorf("merging %s: %w", path, err)
		}
	}
	return nil
}

func (s *Store) mergeOne(src *Store) error {
	if src.id == s.id {
		return fmt.Errorf("label store %s is a copy of %s; merge stores that were made apart", src.path, s.path)
	}
	counts, err := src.Counts()
	if err != nil {
		return err
	}
	for _, c := range counts {
		var items []func(*bolt.Tx) error
		flush := func() error {
			batch := items
			items = nil
			return s.write(func(tx *bolt.Tx) error {
				for _, put := range batch {
					if err := put(tx); err != nil {
						return fatal{err}
					}
				}
				return nil
			})
		}
		add := func(put func(*bolt.Tx) error) error {
			if items = append(items, put); len(items) < pageItems {
				return nil
			}
			return flush()
		}
		err := src.each(bucketValues, c.Stage, func(key, sealed []byte) error {
			if !intact(sealed) {
				return add(func(tx *bolt.Tx) error {
					return putOpen(tx, c.Stage, key, func(r *openRecord) { r.Reason = damagedValue })
				})
			}
			return add(func(tx *bolt.Tx) error { return putValue(tx, c.Stage, key, sealed) })
		})
		if err != nil {
			return err
		}
		err = src.EachOpen(c.Stage, func(key Key, reason string, attempts int) error {
			return add(func(tx *bolt.Tx) error {
				return putOpen(tx, c.Stage, key[:], func(r *openRecord) { *r = openRecord{reason, max(r.Attempts, attempts)} })
			})
		})
		if err != nil {
			return err
		}
		if err := flush(); err != nil {
			return err
		}
	}
	return s.mergeSpend(src)
}

func (s *Store) mergeSpend(src *Store) error {
	spend, err := src.Spend()
	if err != nil {
		return err
	}
	merged := spend.Merged
	if merged == nil {
		merged = map[string]Spend{}
	}
	spend.Merged = nil
	merged[src.id] = spend
	delete(merged, s.id)
	return s.write(func(tx *bolt.Tx) error {
		b, err := tx.Bucket(bucketSpend).CreateBucketIfNotExists(bucketMergers)
		if err != nil {
			return fatal{err}
		}
		for id, m := range merged {
			text, err := json.Marshal(m)
			if err != nil {
				return fatal{err}
			}
			if err := b.Put([]byte(id), text); err != nil {
				return fatal{err}
			}
		}
		return nil
	})
}
