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

// CacheReport says what a cache of hidden states and tokens holds.
type CacheReport struct {
	Dir     string `json:"dir"`
	Models  int    `json:"models"`  // folders of hidden states: a trunk with its arithmetic each
	Files   int    `json:"files"`   // of hidden states and tokens
	Bytes   int64  `json:"bytes"`   // of these
	Removed int64  `json:"removed"` // bytes that pruning removed
	// Datasets counts folders of tokens: a list of data files with a way to render them each. TokenFiles and TokenBytes are their shards.
	Datasets   int   `json:"datasets"`
	TokenFiles int   `json:"token_files"`
	TokenBytes int64 `json:"token_bytes"`
}

// cachedFile is a file of a cache.
type cachedFile struct {
	path   string
	size   int64
	used   time.Time
	tokens bool
}

// Cache says what the cache in dir holds; "" is the folder that training uses unless told otherwise. With keep from 0 on it first
// removes the files that were used longest ago until at most keep bytes are left. A run that has them open keeps them.
func Cache(dir string, keep int64) (CacheReport, error) {
	dir, err := cacheDir(dir)
	if err != nil {
		return CacheReport{}, err
	}
	r := CacheReport{Dir: dir}
	states, models, err := cachedFiles(filepath.Join(dir, featuresName), false)
	if err != nil {
		return r, err
	}
	tokens, datasets, err := cachedFiles(filepath.Join(dir, tokensName), true)
	if err != nil {
		return r, err
	}
	r.Models, r.Datasets = models, datasets
	files := append(states, tokens...)
	for _, f := range files {
		r.add(f, 1)
	}
	slices.SortFunc(files, func(a, b cachedFile) int { return cmp.Or(a.used.Compare(b.used), cmp.Compare(a.path, b.path)) })
	for _, f := range files {
		if keep < 0 || r.Bytes <= keep {
			break
		}
		if err := os.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return r, fmt.Errorf("cache: %w", err)
		}
		r.add(f, -1)
		r.Removed += f.size
	}
	return r, nil
}

// add counts a file, or with -1 takes it off.
func (r *CacheReport) add(f cachedFile, sign int) {
	r.Files, r.Bytes = r.Files+sign, r.Bytes+int64(sign)*f.size
	if f.tokens {
		r.TokenFiles, r.TokenBytes = r.TokenFiles+sign, r.TokenBytes+int64(sign)*f.size
	}
}

// cachedFiles lists the files of the folders in root, and counts these folders.
func cachedFiles(root string, tokens bool) (files []cachedFile, folders int, err error) {
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist): // no cache, or removed since
			return nil
		case err != nil:
			return err
		case entry.IsDir():
			if filepath.Dir(path) == root {
				folders++
			}
			return nil
		case entry.Name() == lockName:
			return nil
		}
		if info, err := entry.Info(); err == nil {
			files = append(files, cachedFile{path, info.Size(), info.ModTime(), tokens})
		}
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("cache: %w", err)
	}
	return files, folders, nil
}

// touch says that a file of a cache is used now: pruning begins with what was used longest ago. A folder that is read-only has no pruning.
func touch(path string) {
	now := time.Now()
	_ = os.Chtimes(path, now, now)
}
