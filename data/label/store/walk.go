package store

import (
	"bytes"
	"encoding/json"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// Count is what a stage holds.
type Count struct {
	Stage        string
	Values, Open int
}

// Counts returns the number of values and of open items of every stage, by name. It does not walk the items.
func (s *Store) Counts() ([]Count, error) {
	var counts []Count
	err := s.view(func(tx *bolt.Tx) error {
		values, open := tx.Bucket(bucketValues), tx.Bucket(bucketOpen)
		err := values.ForEachBucket(func(name []byte) error {
			c := Count{Stage: string(name), Values: int(values.Bucket(name).Sequence())}
			if b := open.Bucket(name); b != nil {
				c.Open = int(b.Sequence())
			}
			counts = append(counts, c)
			return nil
		})
		if err != nil {
			return err
		}
		return open.ForEachBucket(func(name []byte) error {
			if values.Bucket(name) == nil {
				counts = append(counts, Count{Stage: string(name), Open: int(open.Bucket(name).Sequence())})
			}
			return nil
		})
	})
	return counts, err
}

// Each calls fn for every value of a stage, in the order of the keys. No transaction is held while fn runs, so fn may write;
// keys that come in meanwhile may be missed.
func (s *Store) Each(stage string, fn func(key Key, value []byte) error) error {
	return s.each(bucketValues, stage, func(key, sealed []byte) error {
		value, err := unseal(stage, key, sealed)
		if err != nil {
			return s.wrap(err)
		}
		return fn(Key(key), value)
	})
}

const damagedNote = "the note of why it is open is damaged"

// EachOpen calls fn for every open item of a stage, in the order of the keys, as Each does.
func (s *Store) EachOpen(stage string, fn func(key Key, reason string, attempts int) error) error {
	return s.each(bucketOpen, stage, func(key, text []byte) error {
		var r openRecord
		if json.Unmarshal(text, &r) != nil {
			r = openRecord{Reason: damagedNote}
		}
		return fn(Key(key), r.Reason, r.Attempts)
	})
}

// Reasons counts the open items of a stage by reason.
func (s *Store) Reasons(stage string) (map[string]int, error) {
	counts := map[string]int{}
	err := s.EachOpen(stage, func(_ Key, reason string, _ int) error {
		counts[reason]++
		return nil
	})
	return counts, err
}

// A page of a walk: bounded, so that memory stays flat, and copied, so that no transaction lives while a caller thinks. A
// writer that must grow the file waits for all readers: one that writes inside its own transaction would wait for ever.
const (
	pageItems = 256
	pageBytes = 1 << 20
)

func (s *Store) each(kind []byte, stage string, fn func(key, value []byte) error) error {
	type item struct{ key, value []byte }
	var from []byte
	for {
		var page []item
		err := s.view(func(tx *bolt.Tx) error {
			b := tx.Bucket(kind).Bucket([]byte(stage))
			if b == nil {
				return nil
			}
			c := b.Cursor()
			size := 0
			for k, v := c.Seek(from); k != nil && len(page) < pageItems && size < pageBytes; k, v = c.Next() {
				if len(k) != len(Key{}) {
					return fmt.Errorf("stage %q: %w: a key of %d bytes", stage, ErrDamaged, len(k))
				}
				page = append(page, item{bytes.Clone(k), bytes.Clone(v)})
				size += len(k) + len(v)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if len(page) == 0 {
			return nil
		}
		for _, it := range page {
			if err := fn(it.key, it.value); err != nil {
				return err
			}
		}
		from = append(page[len(page)-1].key, 0)
	}
}
