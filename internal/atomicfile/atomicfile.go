// Package atomicfile writes files and folders that appear whole or not at all.
//
// What is written goes to a temporary sibling whose name begins with a dot, is flushed to the disk, and is renamed to its final name;
// then the parent folder is flushed, so that the name survives a power failure too. When anything fails, the temporary sibling is
// removed and what stood under the final name is untouched. A process that is killed can leave a temporary sibling behind, never a
// partial file under the final name; [Temporary] recognises such leftovers, and the next process that writes into the folder removes
// those whose owner has ended.
package atomicfile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/goprm/goprm/internal/faults"
)

// temporaryMark stands between the final name and the owner in the name of a temporary sibling, see [owner].
const temporaryMark = ".tmp-"

// Op is one operation on the disk, as [Disk.Before] sees it.
type Op string

// The operations that can fail while a file or folder is written, in their usual order.
const (
	Create  Op = "create"
	Write   Op = "write"
	Sync    Op = "sync"
	Rename  Op = "rename"
	SyncDir Op = "sync folder"
)

// Disk is where files are written. The zero value is the real file system.
type Disk struct {
	// Before, when set, runs ahead of each operation, and an error from it is the operation's: tests of code that saves make
	// the first, second, third ... operation fail and check what is left.
	Before func(op Op, path string) error
}

func (d Disk) before(op Op, path string) error {
	if d.Before == nil {
		return faults.Point(string(op), path)
	}
	return d.Before(op, path)
}

// WriteFile writes path with what write produces, on the real file system. See [Disk.WriteFile].
func WriteFile(path string, write func(io.Writer) error) error {
	return Disk{}.WriteFile(path, write)
}

// WriteFile writes path with what write produces: path holds the whole new content once it returns nil, and its former content (or
// nothing) after an error. The one exception is an error from flushing the parent folder, which comes after the rename: then path
// holds the new content, but a power failure could still bring the old back.
//
// A symbolic link is followed and stays one. What exists and is not a regular file (a folder, a device such as /dev/null) is refused.
func (d Disk) WriteFile(path string, write func(io.Writer) error) error {
	target, err := regularTarget(path)
	if err != nil {
		return err
	}
	temporary, err := d.createBeside(target, func(name string) error {
		return d.writeNew(name, write)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := d.rename(temporary, target); err != nil {
		return fmt.Errorf("%s: %w", path, errors.Join(err, os.Remove(temporary)))
	}
	if err := d.syncFolder(filepath.Dir(target)); err != nil {
		return fmt.Errorf("%s: written, but its folder could not be flushed: %w", path, err)
	}
	return nil
}

// Temporary reports whether name (without its folder) is one this package gives to unfinished files and folders.
func Temporary(name string) bool {
	return strings.HasPrefix(name, ".") && strings.Contains(name, temporaryMark)
}

// regularTarget resolves path to the file that a rename has to replace.
func regularTarget(path string) (string, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(path); err == nil {
			return "", fmt.Errorf("%s: is a link to nothing; remove it first", path)
		}
		return path, nil
	}
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s: exists and is not a regular file; it is not replaced", path)
	}
	return filepath.EvalSymlinks(path)
}

// createBeside calls create with names of temporary siblings of final until one is free, and returns that name.
func (d Disk) createBeside(final string, create func(name string) error) (string, error) {
	tidy(filepath.Dir(final))
	const attempts = 100
	for range attempts {
		name := temporaryName(final)
		err := create(name)
		if !errors.Is(err, fs.ErrExist) {
			return name, err
		}
		if _, missing := os.Lstat(name); missing != nil {
			return "", err // the name was free: what exists is something else that create met
		}
	}
	return "", fmt.Errorf("no free temporary name in %d attempts", attempts)
}

// writeNew creates path, which must not exist, with what write produces and flushes it; after an error or a panic path is gone.
func (d Disk) writeNew(path string, write func(io.Writer) error) (err error) {
	if err := d.before(Create, path); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	whole := false
	defer func() {
		if !whole {
			err = errors.Join(err, os.Remove(path))
		}
	}()
	if err := d.fill(file, write); err != nil {
		return errors.Join(err, file.Close())
	}
	if err := file.Close(); err != nil {
		return err
	}
	whole = true
	return nil
}

const bufferBytes = 256 << 10

func (d Disk) fill(file *os.File, write func(io.Writer) error) error {
	buffered := bufio.NewWriterSize(diskWriter{d, file}, bufferBytes)
	if err := write(buffered); err != nil {
		return err
	}
	if err := buffered.Flush(); err != nil {
		return err
	}
	return d.sync(file)
}

func (d Disk) sync(file *os.File) error {
	if err := d.before(Sync, file.Name()); err != nil {
		return err
	}
	return file.Sync()
}

// diskWriter lets Disk.Before see every write that reaches the file.
type diskWriter struct {
	disk Disk
	file *os.File
}

func (w diskWriter) Write(p []byte) (int, error) {
	if err := w.disk.before(Write, w.file.Name()); err != nil {
		return 0, err
	}
	return w.file.Write(p)
}

func (d Disk) rename(from, to string) error {
	if err := d.before(Rename, to); err != nil {
		return err
	}
	return os.Rename(from, to)
}

// syncFolder flushes the names in a folder, without which a rename may not survive a power failure.
func (d Disk) syncFolder(path string) error {
	if err := d.before(SyncDir, path); err != nil {
		return err
	}
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
