package prm

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// CacheReport says what a cache of hidden states holds.
type CacheReport struct {
	Dir     string `json:"dir"`
	Models  int    `json:"models"` // folders: a trunk with its arithmetic each
	Files   int    `json:"files"`
	Bytes   int64  `json:"bytes"`
	Removed int64  `json:"removed"` // bytes that pruning removed
}

// Cache says what the cache of hidden states in dir holds; "" is the folder that training uses unless told otherwise. With keep from 0
// on it first removes the files that were used longest ago until at most keep bytes are left. A run that has them open keeps them.
func Cache(dir string, keep int64) (CacheReport, error) {
	dir, err := cacheDir(dir)
	if err != nil {
		return CacheReport{}, err
	}
	r := CacheReport{Dir: filepath.Join(dir, featuresName)}
	type file struct {
		path string
		size int64
		used time.Time
	}
	var files []file
	err = filepath.WalkDir(r.Dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist): // no cache, or removed since
			return nil
		case err != nil:
			return err
		case entry.IsDir():
			if filepath.Dir(path) == r.Dir {
				r.Models++
			}
			return nil
		case entry.Name() == lockName:
			return nil
		}
		info, err := entry.Info()
		if err == nil {
			files = append(files, file{path, info.Size(), info.ModTime()})
			r.Bytes += info.Size()
		}
		return nil
	})
	if err != nil {
		return r, fmt.Errorf("cache: %w", err)
	}
	r.Files = len(files)
	if keep < 0 {
		return r, nil
	}
	slices.SortFunc(files, func(a, b file) int { return cmp.Or(a.used.Compare(b.used), cmp.Compare(a.path, b.path)) })
	for _, f := range files {
		if r.Bytes <= keep {
			break
		}
		if err := os.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return r, fmt.Errorf("cache: %w", err)
		}
		r.Bytes, r.Removed, r.Files = r.Bytes-f.size, r.Removed+f.size, r.Files-1
	}
	return r, nil
}
