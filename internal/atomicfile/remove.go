package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Remove removes a folder, on the real file system. See [Disk.Remove].
func Remove(path string) error { return Disk{}.Remove(path) }

// Remove removes a folder and what is in it. The folder first gets a temporary name, so that it is never seen with only some of its
// files. A path that does not exist is an error.
func (d Disk) Remove(path string) error {
	path = filepath.Clean(path)
	temporary, err := d.createBeside(path, func(name string) error {
		if _, err := os.Lstat(name); err == nil {
			return fs.ErrExist
		}
		return d.rename(path, name)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.RemoveAll(temporary)
}

// RemoveLeftovers removes from a folder what writers that were killed left there. No other process may be writing into it. What
// cannot be removed is in the error, the rest is removed all the same.
func RemoveLeftovers(folder string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	var failed []error
	for _, entry := range entries {
		if Temporary(entry.Name()) {
			failed = append(failed, os.RemoveAll(filepath.Join(folder, entry.Name())))
		}
	}
	return errors.Join(failed...)
}

// Move gives a file, which must be flushed, another name in its folder, in a way that survives a power failure.
func Move(from, to string) error {
	d := Disk{}
	if err := d.rename(from, to); err != nil {
		return err
	}
	return d.syncFolder(filepath.Dir(to))
}

// MoveNew flushes a file and moves it as Move does, also from a folder beside, but where there is a file of that name already the error is
// [fs.ErrExist]. On file systems without hard links it is not looked for at the same instant.
func MoveNew(from, to string) error {
	d := Disk{}
	f, err := os.OpenFile(from, os.O_RDWR, 0)
	if err == nil {
		err = errors.Join(d.sync(f), f.Close())
	}
	if err == nil {
		err = d.before(Rename, to)
	}
	if err != nil {
		return err
	}
	err = os.Link(from, to)
	switch {
	case err == nil:
		err = os.Remove(from)
	case !errors.Is(err, fs.ErrExist):
		if _, there := os.Lstat(to); there == nil {
			return fmt.Errorf("%s: %w", to, fs.ErrExist)
		}
		err = os.Rename(from, to)
	}
	if err != nil {
		return err
	}
	return d.syncFolder(filepath.Dir(to))
}

// MakeFolder makes a folder, whose parent must exist, and flushes its name; one that exists is fine.
func (d Disk) MakeFolder(path string) error {
	if err := d.before(Create, path); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := os.Mkdir(path, 0o777); err != nil {
		if info, failed := os.Stat(path); failed == nil && info.IsDir() {
			return nil
		}
		return err
	}
	return d.syncFolder(filepath.Dir(filepath.Clean(path)))
}
