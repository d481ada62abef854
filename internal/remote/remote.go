// Package remote lets data lie in stores of objects, under addresses such as s3://bucket/key. A store registers itself, so that a program
// which reads local files alone holds no client of one; package internal/s3store is the one there is.
//
// What is read is copied to a local file first: it is read several times, and parquet from its end. A copy is made once and kept until the
// command ends, so that all passes see the same bytes.
package remote

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"sync/atomic"
)

// Object is one object of a store.
type Object struct {
	URL  string // with a slash at its end: a folder, which has neither size nor ETag
	Size int64
	ETag string
}

// Store is a store of objects. Its errors name the address, and say what to do; one of an object that is not there is [fs.ErrNotExist].
type Store interface {
	Stat(ctx context.Context, url string) (Object, error)
	// List yields the objects and folders right under a folder, whose address ends in a slash, by name.
	List(ctx context.Context, folder string) ([]Object, error)
	// Get writes the object to the file, whole and checked, or fails.
	Get(ctx context.Context, o Object, to *os.File) error
	// Put makes the file the object of that address: readers see the former object or all of the new one.
	Put(ctx context.Context, url string, from *os.File) error
	Remove(ctx context.Context, url string) error
}

// Scheme begins the addresses of the store that can be registered.
const Scheme = "s3://"

// ErrNoStore says what a program without the store lacks.
var ErrNoStore = errors.New(`this program reads no s3:// addresses: import _ "github.com/goprm/goprm/data/s3"`)

var registered atomic.Pointer[Store]

// Register makes the store available.
func Register(s Store) { registered.Store(&s) }

// Is tells whether a path is an address in a store.
func Is(path string) bool { return strings.HasPrefix(path, Scheme) }

func store() (Store, error) {
	if s := registered.Load(); s != nil {
		return *s, nil
	}
	return nil, ErrNoStore
}

// Files lists the objects that an address stands for: itself, or, of a folder, those right in it for whose base names wanted holds, or
// those that match where its last element is a pattern of [path.Match].
func Files(url string, wanted func(base string) bool) ([]string, error) {
	if base := path.Base(url); strings.ContainsAny(base, "*?[") {
		return match(strings.TrimSuffix(url, "/"), strings.HasSuffix(url, "/"))
	}
	s, err := store()
	if err != nil {
		return nil, err
	}
	ctx := current.context()
	if !strings.HasSuffix(url, "/") {
		_, found := s.Stat(ctx, url)
		if found == nil {
			return []string{url}, nil
		}
		if objects, err := s.List(ctx, url+"/"); err != nil || len(objects) == 0 {
			return nil, found
		}
		url += "/"
	}
	objects, err := s.List(ctx, url)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, o := range objects {
		if !strings.HasSuffix(o.URL, "/") && wanted(path.Base(o.URL)) {
			files = append(files, o.URL)
		}
	}
	return files, nil
}

// match lists what is named as the pattern says: objects, or folders.
func match(pattern string, folders bool) ([]string, error) {
	s, err := store()
	if err != nil {
		return nil, err
	}
	dir, base := path.Split(pattern)
	if _, err := path.Match(base, ""); err != nil {
		return nil, fmt.Errorf("%s: %w", pattern, err)
	}
	objects, err := s.List(current.context(), dir)
	if err != nil {
		return nil, err
	}
	var found []string
	for _, o := range objects {
		name := strings.TrimPrefix(o.URL, dir)
		if strings.HasSuffix(name, "/") != folders {
			continue
		}
		if ok, _ := path.Match(base, strings.TrimSuffix(name, "/")); ok {
			found = append(found, o.URL)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%s: nothing is named so among %d objects and folders", pattern, len(objects))
	}
	return found, nil
}

// Expand replaces addresses whose last element is a pattern by what they stand for, in a list of paths; other paths stay as they are.
func Expand(paths []string) ([]string, error) {
	var all []string
	for _, one := range paths {
		if !Is(one) || !strings.ContainsAny(path.Base(one), "*?[") {
			all = append(all, one)
			continue
		}
		found, err := match(strings.TrimSuffix(one, "/"), strings.HasSuffix(one, "/"))
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return slices.Clip(all), nil
}
