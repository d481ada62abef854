package atomicfile

import (
	"bytes"
	"io"
	"os"
)

// Append is a file that grows, such as a log of lines: what is in it when the process ends stays.
type Append struct {
	*os.File
	disk Disk
}

// OpenAppend opens a file for appending and reading, and makes it with these permissions if it is missing.
func OpenAppend(path string, permissions os.FileMode) (*Append, error) {
	d := Disk{}
	if err := d.before(Create, path); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, permissions)
	if err != nil {
		return nil, err
	}
	return &Append{f, d}, nil
}

func (a *Append) Write(p []byte) (int, error) { return diskWriter{a.disk, a.File}.Write(p) }

// Sync flushes the file to the disk.
func (a *Append) Sync() error { return a.disk.sync(a.File) }

// CutTorn takes away the end of a last line that was not written whole, such as on a full disk, and returns how many bytes it had.
func (a *Append) CutTorn() (cut int64, err error) {
	info, err := a.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return 0, err
	}
	whole, block := info.Size(), make([]byte, 64<<10)
	for whole > 0 {
		n := min(whole, int64(len(block)))
		if _, err := io.ReadFull(io.NewSectionReader(a, whole-n, n), block[:n]); err != nil {
			return 0, err
		}
		if at := bytes.LastIndexByte(block[:n], '\n'); at >= 0 {
			whole += int64(at) + 1 - n
			break
		}
		whole -= n
	}
	if cut = info.Size() - whole; cut > 0 {
		err = a.Truncate(whole)
	}
	return cut, err
}

// Missing reports whether the file's name is gone, with its folder or without, or names another file: what is written then is lost.
func (a *Append) Missing() bool {
	mine, err := a.Stat()
	if err != nil {
		return true
	}
	there, err := os.Stat(a.Name())
	return err != nil || !os.SameFile(mine, there)
}
