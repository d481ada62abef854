// Package filelock says who works in a folder: a file in it that its owner holds locked. The system frees the lock when the owner
// ends, however it ends.
package filelock

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// HeldError says that another owner holds the lock.
type HeldError struct {
	Path    string
	Process int // 0: unknown
}

func (e *HeldError) Error() string {
	if e.Process == 0 {
		return fmt.Sprintf("%s is locked by another process", e.Path)
	}
	return fmt.Sprintf("%s is locked by process %d", e.Path, e.Process)
}

// Lock is a lock that is held.
type Lock struct{ file *os.File }

// errHeld is what lock returns for a file that somebody else has locked.
var errHeld = errors.New("locked")

// Take locks the file, which it makes if it is missing. It does not wait: a lock that is held is a *HeldError.
func Take(path string) (*Lock, error) {
	for {
		file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o666)
		if err != nil {
			return nil, err
		}
		if err := lock(file); err != nil {
			held := &HeldError{Path: path, Process: owner(file)}
			if closed := file.Close(); closed != nil || !errors.Is(err, errHeld) {
				return nil, fmt.Errorf("%s: %w", path, errors.Join(err, closed))
			}
			return nil, held
		}
		if same(file, path) {
			l := &Lock{file}
			if err := l.sign(); err != nil {
				return nil, err
			}
			return l, nil
		}
		if err := file.Close(); err != nil { // an owner removed it before it was locked
			return nil, err
		}
	}
}

// sign writes the owner's process id into the file.
func (l *Lock) sign() error {
	err := l.file.Truncate(0)
	if err == nil {
		_, err = l.file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil {
		return errors.Join(err, l.Release()) // a full disk is left without it
	}
	return nil
}

// Release removes the file and frees the lock.
func (l *Lock) Release() error {
	err := os.Remove(l.file.Name()) // while it is locked, so that nobody holds a file that is gone for a lock
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, l.file.Close())
}

// Tidy removes the lock that a killed owner has left; one that is held stays.
func Tidy(path string) error {
	if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	lock, err := Take(path)
	if held := new(HeldError); errors.As(err, &held) {
		return nil
	}
	if err != nil {
		return err
	}
	return lock.Release()
}

func owner(file *os.File) int {
	text, err := io.ReadAll(io.LimitReader(file, 32))
	if err != nil {
		return 0
	}
	process, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0
	}
	return process
}

// same reports whether the path still names the open file.
func same(file *os.File, path string) bool {
	mine, err := file.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(path)
	return err == nil && os.SameFile(mine, there)
}
