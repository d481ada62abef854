package label

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"reflect"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/data/label/store"
)

// Merge joins the output folders of all shards of one run: stores into the store of out, labels in the order of the input. The
// result is what one run without shards gives.
func Merge(ctx context.Context, dirs []string, out string) (Manifest, error) {
	first, err := sameRun(dirs)
	if err != nil {
		return first, err
	}
	next := make([]func() (*Row, error, bool), len(dirs))
	heads := make([]*Row, len(dirs))
	advance := func(i int) error {
		row, err, ok := next[i]()
		if err != nil {
			return err
		}
		if heads[i] = row; !ok {
			heads[i] = nil
		}
		return nil
	}
	for i, dir := range dirs {
		pull, stop := iter.Pull2(ReadRows(dir))
		defer stop()
		next[i] = func() (*Row, error, bool) { return pull() }
		if err := advance(i); err != nil {
			return first, err
		}
	}
	if err := os.MkdirAll(out, 0o777); err != nil {
		return first, err
	}
	e := newExport(out)
	merged := first
	err = e.write(func() error {
		for n := range first.Summary.Rows {
			if err := ctx.Err(); err != nil {
				return err
			}
			i := 0
			for i < len(heads) && (heads[i] == nil || heads[i].Made.Row != n) {
				i++
			}
			if i == len(heads) {
				return fmt.Errorf("row %d of the input is in none of the folders", n)
			}
			if err := e.add(heads[i]); err != nil {
				return err
			}
			if err := advance(i); err != nil {
				return err
			}
		}
		for i, head := range heads {
			if head != nil {
				return fmt.Errorf("%s: row %d of the input is there twice", dirs[i], head.Made.Row)
			}
		}
		return nil
	}, func() Manifest {
		merged.Shard, merged.Shards = 0, 1
		e.summary.Rows = first.Summary.Rows
		merged.Summary = e.summary
		return merged
	})
	if err != nil {
		return merged, err
	}
	s, err := store.Open(StorePath(out), store.Options{})
	if err != nil {
		return merged, err
	}
	stores := make([]string, len(dirs))
	for i, dir := range dirs {
		stores[i] = StorePath(dir)
	}
	return merged, errors.Join(s.Merge(stores...), s.Close())
}

// sameRun checks that the folders are all shards of one run, each once.
func sameRun(dirs []string) (first Manifest, err error) {
	if len(dirs) == 0 {
		return first, errors.New("no folders to merge")
	}
	seen := map[int]string{}
	for i, dir := range dirs {
		m, err := ReadManifest(dir)
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w; the shard is not finished", err)
		}
		if err != nil {
			return first, err
		}
		if i == 0 {
			first = m
		}
		if other, taken := seen[m.Shard]; taken {
			return first, fmt.Errorf("%s and %s are both shard %d", other, dir, m.Shard)
		}
		seen[m.Shard] = dir
		a, b := first, m
		a.Shard, a.Summary, a.Files, b.Shard, b.Summary, b.Files = 0, Summary{Rows: a.Summary.Rows}, nil, 0, Summary{Rows: b.Summary.Rows}, nil
		if !reflect.DeepEqual(a, b) {
			return first, fmt.Errorf("%s and %s are not shards of one run: their manifests differ in input, settings or stages", dirs[0], dir)
		}
	}
	for i := range first.Shards {
		if _, there := seen[i]; !there {
			return first, fmt.Errorf("shard %d of %d is missing", i, first.Shards)
		}
	}
	return first, nil
}

// ReadRows reads the labelled rows of an output folder. It fails before the first one where they are not those that the manifest is of.
func ReadRows(dir string) iter.Seq2[*Row, error] {
	return func(yield func(*Row, error) bool) {
		m, err := ReadManifest(dir)
		if err == nil {
			err = m.check(dir, LabelsFile)
		}
		if err != nil {
			yield(nil, err)
			return
		}
		if m.Summary.Trajectories == 0 {
			return // an empty file is no data file
		}
		for t, err := range data.Read([]string{filepath.Join(dir, LabelsFile)}, data.ReadOptions{}) {
			if err != nil {
				yield(nil, err)
				return
			}
			row := &Row{Trajectory: t}
			if err := json.Unmarshal(t.Labels.Extra["made"], &row.Made); err != nil {
				yield(nil, fmt.Errorf("%s: labels.made: %w", t.Where, err))
				return
			}
			if !yield(row, nil) {
				return
			}
		}
	}
}
