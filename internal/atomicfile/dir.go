package atomicfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
)

// Dir is a folder in the making. Its files are written into a temporary sibling of its final path; [Dir.Commit] or [Dir.Replace]
// gives it its final name, [Dir.Abort] removes it. A Dir is not for use by several goroutines.
type Dir struct {
	disk      Disk
	final     string
	temporary string
	closed    bool
	moved     bool // the folder has its final name
}

var errClosed = errors.New("the folder was committed or aborted already")

// NewDir begins a folder on the real file system. See [Disk.NewDir].
func NewDir(final string) (*Dir, error) { return Disk{}.NewDir(final) }

// NewDir begins a folder that will appear at final, whose parent must exist.
func (d Disk) NewDir(final string) (*Dir, error) {
	final = filepath.Clean(final)
	temporary, err := d.createBeside(final, func(name string) error {
		if err := d.before(Create, name); err != nil {
			return err
		}
		return os.Mkdir(name, 0o777)
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", final, err)
	}
	return &Dir{disk: d, final: final, temporary: temporary}, nil
}

// Path is where the folder lies while it is made; other processes may add files there.
func (dir *Dir) Path() string { return dir.temporary }

// WriteFile adds a file, flushed to the disk. The name is a plain one without folders and not in use yet. After an error the
// folder can only be aborted.
func (dir *Dir) WriteFile(name string, write func(io.Writer) error) error {
	if dir.closed {
		return fmt.Errorf("%s: %w", dir.final, errClosed)
	}
	if name == "" || name == "." || name == ".." || filepath.Base(name) != name {
		return fmt.Errorf("%s: %q is not a plain file name", dir.final, name)
	}
	if err := dir.disk.writeNew(filepath.Join(dir.temporary, name), write); err != nil {
		return fmt.Errorf("%s: %w", filepath.Join(dir.final, name), err)
	}
	return nil
}

// Commit gives the folder its final name, which must be free. After an error nothing of it is left, except when only the flush of
// the parent folder failed: then the folder is in place and whole.
func (dir *Dir) Commit() error {
	return dir.finish(func() error {
		if _, err := os.Lstat(dir.final); err == nil {
			return fs.ErrExist
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return dir.disk.rename(dir.temporary, dir.final)
	})
}

// Replace is Commit for a final name that may be taken by an older folder, which is removed (or, where that fails, left under a
// temporary name, with a warning). Where the system can exchange two names
// (Linux), the final name holds one of the two whole folders at every moment.
func (dir *Dir) Replace() error {
	if old, err := os.Lstat(dir.final); errors.Is(err, fs.ErrNotExist) {
		return dir.Commit()
	} else if err == nil && !old.IsDir() {
		return errors.Join(fmt.Errorf("%s: exists and is not a folder; it is not replaced", dir.final), dir.Abort())
	}
	err := dir.finish(func() error {
		if err := dir.disk.before(Rename, dir.final); err != nil {
			return err
		}
		return exchange(dir.temporary, dir.final)
	})
	if !dir.moved {
		return err
	}
	// What stands under the temporary name now is the old folder.
	if failed := os.RemoveAll(dir.temporary); failed != nil {
		slog.Warn("a replaced folder could not be removed", "folder", dir.temporary, "error", failed)
	}
	return err
}

// finish flushes the folder, moves it to its final name and flushes the parent.
func (dir *Dir) finish(move func() error) error {
	if dir.closed {
		return fmt.Errorf("%s: %w", dir.final, errClosed)
	}
	err := dir.disk.syncFolder(dir.temporary)
	if err == nil {
		err = move()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", dir.final, errors.Join(err, dir.Abort()))
	}
	dir.closed, dir.moved = true, true
	if err := dir.disk.syncFolder(filepath.Dir(dir.final)); err != nil {
		return fmt.Errorf("%s: written, but the folder above could not be flushed: %w", dir.final, err)
	}
	return nil
}

// Abort removes what was written. After Commit or Replace it does nothing, so it can be deferred.
func (dir *Dir) Abort() error {
	if dir.closed {
		return nil
	}
	dir.closed = true
	return os.RemoveAll(dir.temporary)
}
