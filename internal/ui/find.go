package ui

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	mostRuns    = 200 // that are listed
	mostFolders = 5000
	deepest     = 3               // folders below a root in which runs are looked for
	quiet       = 3 * time.Minute // without a new line of metrics a run that is not complete counts as stopped
	longestRun  = 4 << 20         // bytes of run.json
)

// run is a run folder.
type run struct {
	Name    string `json:"name"` // its path below the root, or the root itself
	State   string `json:"state"`
	path    string
	size    int64
	changed time.Time // of its metrics, else of its record
}

func isFolder(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s: not a folder; prm ui shows run folders", path)
	}
	return nil
}

// find lists the runs below the roots, the newest first, and how many more there are. Links are not followed, and a run folder is not
// searched.
func find(roots []string) (list []run, more int, err error) {
	folders := 0
	for _, root := range roots {
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) && path != root { // it may just have been removed
				return nil
			}
			if err != nil || !entry.IsDir() {
				return err
			}
			if folders++; folders > mostFolders {
				return fmt.Errorf("more than %d folders below %s; name the folders of the runs", mostFolders, strings.Join(roots, ", "))
			}
			if r, ok := runIn(path); ok {
				list = append(list, r)
				return fs.SkipDir
			}
			if below, err := filepath.Rel(root, path); err != nil || below != "." && strings.Count(below, string(filepath.Separator))+1 >= deepest {
				return fs.SkipDir
			}
			return nil
		})
		if err != nil {
			return nil, 0, err
		}
	}
	slices.SortFunc(list, func(a, b run) int {
		if c := b.changed.Compare(a.changed); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	list = slices.CompactFunc(list, func(a, b run) bool { return a.path == b.path })
	more = max(0, len(list)-mostRuns)
	return list[:len(list)-more], more, nil
}

// runIn tells whether a folder is a run's, by the files that prm train writes there.
func runIn(dir string) (run, bool) {
	r := run{Name: filepath.ToSlash(dir), path: dir, State: "stopped"}
	record, err := os.Lstat(filepath.Join(dir, "run.json"))
	if err == nil && record.Mode().IsRegular() {
		r.size, r.changed = record.Size(), record.ModTime()
	}
	lines, missing := os.Lstat(filepath.Join(dir, "metrics.jsonl"))
	if missing == nil && lines.Mode().IsRegular() {
		r.size, r.changed = r.size+lines.Size(), lines.ModTime()
	}
	if r.changed.IsZero() {
		return run{}, false
	}
	switch {
	case err == nil && complete(filepath.Join(dir, "run.json")):
		r.State = "complete"
	case time.Since(r.changed) < quiet:
		r.State = "running"
	}
	return r, true
}

func complete(path string) bool {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer func() { _ = file.Close() }()
	var record struct{ Complete bool }
	return json.NewDecoder(io.LimitReader(file, longestRun)).Decode(&record) == nil && record.Complete
}
