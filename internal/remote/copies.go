package remote

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"github.com/goprm/goprm/internal/atomicfile"
)

// copies are the local files of the objects that this process reads.
type copies struct {
	mu    sync.Mutex
	ctx   context.Context
	dir   string // "": not made yet
	files map[string]string
}

var current copies

// Begin makes the context that of all that follows, until end, which removes the copies.
func Begin(ctx context.Context) (end func() error) {
	current.mu.Lock()
	defer current.mu.Unlock()
	current.ctx = ctx
	return func() error {
		current.mu.Lock()
		defer current.mu.Unlock()
		dir := current.dir
		current.ctx, current.dir, current.files = nil, "", nil
		if dir == "" {
			return nil
		}
		return os.RemoveAll(dir)
	}
}

func (c *copies) context() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx == nil {
		return context.Background()
	}
	return c.ctx
}

// Path is where the content of a path is read: for an address the copy, which the first call makes.
func Path(file string) (string, error) {
	if !Is(file) {
		return file, nil
	}
	ctx := current.context()
	current.mu.Lock()
	defer current.mu.Unlock()
	if local, ok := current.files[file]; ok {
		return local, nil
	}
	dir, err := current.scratch()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(file))
	local := filepath.Join(dir, hex.EncodeToString(sum[:8])+"-"+path.Base(file))
	if err := get(ctx, file, local); err != nil {
		return "", err
	}
	current.files[file] = local
	return local, nil
}

// Folder is a local folder with copies of the objects right in a folder of a store; another path is that path.
func Folder(url string) (string, error) {
	if !Is(url) {
		return url, nil
	}
	s, err := store()
	if err != nil {
		return "", err
	}
	ctx, url := current.context(), strings.TrimSuffix(url, "/")+"/"
	objects, err := s.List(ctx, url)
	if err != nil {
		return "", err
	}
	if len(objects) == 0 {
		return "", fmt.Errorf("%s: %w: no object's address begins so", url, fs.ErrNotExist)
	}
	current.mu.Lock()
	defer current.mu.Unlock()
	dir, err := current.scratch()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(url))
	local := filepath.Join(dir, hex.EncodeToString(sum[:8]), path.Base(url))
	if _, there := current.files[url]; there {
		return local, nil
	}
	if err := os.MkdirAll(local, 0o700); err != nil {
		return "", err
	}
	for _, o := range objects {
		if strings.HasSuffix(o.URL, "/") {
			continue
		}
		if err := get(ctx, o.URL, filepath.Join(local, path.Base(o.URL))); err != nil {
			return "", err
		}
	}
	current.files[url] = local
	return local, nil
}

// Scratch is the folder of the copies, for what else is needed until the command ends.
func Scratch() (string, error) {
	current.mu.Lock()
	defer current.mu.Unlock()
	return current.scratch()
}

func (c *copies) scratch() (string, error) {
	if c.dir != "" {
		return c.dir, nil
	}
	base, err := base()
	if err != nil {
		return "", err
	}
	// A folder that a killed process left is removed by the next one.
	if c.dir, err = atomicfile.Scratch(filepath.Join(base, "copies")); err != nil {
		return "", err
	}
	c.files = map[string]string{}
	return c.dir, nil
}

// base is the folder of copies and of unfinished outputs, in the user's cache or, where there is none, among the temporary files.
func base() (string, error) {
	cache, err := os.UserCacheDir()
	if err == nil {
		dir := filepath.Join(cache, "goprm", "objects")
		if err = os.MkdirAll(dir, 0o777); err == nil {
			return dir, nil
		}
	}
	dir := filepath.Join(os.TempDir(), "goprm-objects")
	return dir, os.MkdirAll(dir, 0o777)
}

// Unfinished is the local path under which an output is written before it becomes the object of that address. It outlives the process, so
// that the same command on the same machine can go on with it.
func Unfinished(url string) (string, error) {
	base, err := base()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(url))
	dir := filepath.Join(base, hex.EncodeToString(sum[:16]))
	return filepath.Join(dir, path.Base(url)), os.MkdirAll(dir, 0o700)
}

// Fetch copies an object to a local file, which appears when it is whole. It is not remembered: the next call copies again.
func Fetch(url, local string) error { return get(current.context(), url, local) }

func get(ctx context.Context, url, local string) error {
	s, err := store()
	if err != nil {
		return err
	}
	o, err := s.Stat(ctx, url)
	if err != nil {
		return err
	}
	if room := atomicfile.Room(filepath.Dir(local)); room >= 0 && o.Size > room {
		return fmt.Errorf("%s: its copy needs %d bytes, and %s has room for %d; XDG_CACHE_HOME names a folder on another disk", url, o.Size,
			filepath.Dir(local), room)
	}
	part := local + ".copying"
	f, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(s.Get(ctx, o, f), f.Close()); err != nil {
		return errors.Join(err, os.Remove(part))
	}
	return os.Rename(part, local)
}

// Put makes a local file the object of an address, also while the command ends: keep says that an interrupt must not stop it.
func Put(url, local string, keep bool) error {
	s, err := store()
	if err != nil {
		return err
	}
	ctx := current.context()
	if keep {
		ctx = context.WithoutCancel(ctx)
	}
	f, err := os.Open(local)
	if err != nil {
		return err
	}
	current.mu.Lock()
	delete(current.files, url)
	current.mu.Unlock()
	return errors.Join(s.Put(ctx, url, f), f.Close())
}

// Tag is the ETag of an object, "" if there is none of that address.
func Tag(url string) (string, error) {
	s, err := store()
	if err != nil {
		return "", err
	}
	o, err := s.Stat(current.context(), url)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return o.ETag, err
}

// Exists tells whether there is such an object.
func Exists(url string) (bool, error) {
	tag, err := Tag(url)
	return tag != "", err
}

// Remove removes an object; one that is not there is fine.
func Remove(url string) error {
	s, err := store()
	if err != nil {
		return err
	}
	current.mu.Lock()
	delete(current.files, url)
	current.mu.Unlock()
	return s.Remove(context.WithoutCancel(current.context()), url)
}
