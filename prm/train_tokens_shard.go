package prm

import (
	"context"
	"crypto/sha256"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/atomicfile"
	"github.com/goprm/goprm/internal/filelock"
	"github.com/goprm/goprm/internal/tokenshard"
)

// tokenCacheError is the error of a cache that cannot be used; training can go on without.
type tokenCacheError struct{ err error }

func (e *tokenCacheError) Error() string { return e.err.Error() }
func (e *tokenCacheError) Unwrap() error { return e.err }

// tokenNote is what a shard of tokens says about the rows that it stands for, besides their examples.
type tokenNote struct {
	Rows    int    // of the data, those left out included
	Last    bool   // nothing follows
	Sum     []byte // state of the SHA-256 over all trajectories up to its last
	Dropped data.Dropped
	Bad     badRows
	Stray   strayErrors
}

// tokenFolder is the shards of some files' tokens, numbered from 0: those that are there, and the one that is being filled.
type tokenFolder struct {
	cache *tokenCache
	dir   string
	owner bool      // alone in writing
	all   *examples // of the shards that are there
	rows  int       // of the data that these stand for
	next  int       // number of the shard after them
	done  bool      // they are all

	filling       *examples
	filled, bytes int // rows of the data, and bytes, that it stands for
	tokens        int // made by this process
}

// fromShards returns the examples of the files from the shards in a folder, after making those that are missing; nil if that is not
// allowed. What was made before ctx ends, or the process is killed, stays.
func (k *tokenCache) fromShards(ctx context.Context, folder string, paths []string, r *data.Renderer, c *TrainConfig) (*examples, error) {
	f := &tokenFolder{cache: k, dir: folder, all: &examples{sum: sha256.New()}}
	if err := f.adopt(); err != nil || f.done || k.readOnly {
		if f.done && !k.readOnly {
			_ = filelock.Tidy(filepath.Join(folder, lockName)) // whoever was killed when all was there
		}
		return f.result(), err
	}
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return nil, &tokenCacheError{err}
	}
	lock, err := waitFor(ctx, folder, func(process int) { k.log.infof("tokens: waiting for process %d, which makes them", process) })
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		return nil, &tokenCacheError{err}
	}
	defer func() { _ = lock.Release() }() // the shards are written by then, and the system frees it too
	f.owner = true
	if err := f.fill(ctx, paths, r, c); err != nil {
		return nil, err
	}
	return f.result(), nil
}

// result is nil unless the shards are all there.
func (f *tokenFolder) result() *examples {
	if !f.done {
		return nil
	}
	if f.tokens == 0 {
		f.cache.log.infof("tokens: %d trajectories from %s", len(f.all.list), f.dir)
	}
	return f.all
}

// fill makes the shards that are missing.
func (f *tokenFolder) fill(ctx context.Context, paths []string, r *data.Renderer, c *TrainConfig) error {
	if err := atomicfile.RemoveLeftovers(f.dir); err != nil {
		return &tokenCacheError{err}
	}
	if err := f.adopt(); err != nil || f.done {
		return err
	}
	if f.rows > 0 {
		f.cache.log.infof("tokens: %d rows are made already", f.rows)
	}
	f.empty()
	wanted := func(i int) bool { return !f.done && i >= f.rows }
	err := renderAll(ctx, data.Read(paths, data.ReadOptions{}), r, c, wanted, func(i int, row renderedRow) error {
		if !wanted(i) { // a shard that was there stands for it, behind one that was made anew
			return nil
		}
		return f.take(row, c)
	})
	if err != nil || f.done {
		return err
	}
	now, err := f.cache.folder(paths)
	if err != nil {
		return err
	}
	if now != f.dir {
		return errors.Join(fmt.Errorf("%s changed while it was read; start again", paths), f.remove())
	}
	return f.write(true)
}

// empty begins a shard.
func (f *tokenFolder) empty() {
	f.filling, f.filled, f.bytes = &examples{sum: f.all.sum}, 0, 0
}

func (f *tokenFolder) take(row renderedRow, c *TrainConfig) error {
	if err := f.filling.take(row, c); err != nil {
		return err
	}
	f.filled++
	if row.Example != nil {
		f.tokens += len(row.Tokens)
		f.bytes += 4*len(row.Tokens) + 64*len(row.Reads)
	}
	f.cache.tell(f.rows+f.filled, f.tokens)
	if f.filled < f.cache.rows && f.bytes < shardBytes {
		return nil
	}
	return f.write(false)
}

func (f *tokenFolder) path(number int) string {
	return filepath.Join(f.dir, fmt.Sprintf("%06d%s", number, shardEnd))
}

// write writes the shard that is full, and goes on with those behind it.
func (f *tokenFolder) write(last bool) error {
	x := f.filling
	state, err := x.sum.(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil {
		return err
	}
	note, err := json.Marshal(tokenNote{f.filled, last, state, x.dropped, x.bad, x.strayErrors})
	if err != nil {
		return err
	}
	rows := make([]tokenshard.Row, len(x.list))
	for i, e := range x.list {
		rows[i] = tokenshard.Row{Example: e, Lengths: x.about[i].lengths, Subset: x.about[i].subset}
	}
	number := f.next
	if err := tokenshard.Write(f.path(number), rows, string(note)); err != nil {
		return &tokenCacheError{errors.Join(err, f.remove())}
	}
	f.empty()
	if err := f.adopt(); err != nil {
		return err
	}
	if f.next == number {
		return &tokenCacheError{fmt.Errorf("%s: gone, or damaged, as soon as it was written", f.path(number))}
	}
	return nil
}

// remove gives the room of unfinished shards back.
func (f *tokenFolder) remove() error {
	var failed []error
	for n := range f.next + 1 {
		if err := os.Remove(f.path(n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// adopt takes the next shards as far as they are there and whole. The owner removes a damaged one.
func (f *tokenFolder) adopt() error {
	for !f.done {
		path := f.path(f.next)
		s, err := tokenshard.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			err = f.add(s)
		}
		if err != nil {
			if !f.owner {
				return nil
			}
			f.cache.log.warnf("tokens are made again: %v", err)
			if err := os.Remove(path); err != nil {
				return &tokenCacheError{err}
			}
			return nil
		}
		touch(path)
	}
	return nil
}

// add takes an open shard.
func (f *tokenFolder) add(s *tokenshard.Shard) error {
	var note tokenNote
	err := json.Unmarshal([]byte(s.Note), &note)
	if err == nil {
		err = f.all.sum.(encoding.BinaryUnmarshaler).UnmarshalBinary(note.Sum)
	}
	if err != nil {
		return errors.Join(err, s.Close())
	}
	x := f.all
	for _, row := range s.Rows {
		x.list, x.about = append(x.list, row.Example), append(x.about, about{row.Lengths, row.Subset})
	}
	x.dropped.Add(note.Dropped)
	x.bad.addAll(note.Bad)
	x.strayErrors.addAll(note.Stray)
	f.rows, f.done = f.rows+note.Rows, note.Last
	f.next++
	f.cache.shards = append(f.cache.shards, s)
	return nil
}
