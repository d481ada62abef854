package atomicfile

import "os"

// Append is a file that grows, such as a log of lines: what is in it when the process ends stays.
type Append struct {
	*os.File
	disk Disk
}

// OpenAppend opens a file for appending and reading, and makes it if it is missing.
func OpenAppend(path string) (*Append, error) {
	d := Disk{}
	if err := d.before(Create, path); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o666)
	if err != nil {
		return nil, err
	}
	return &Append{f, d}, nil
}

func (a *Append) Write(p []byte) (int, error) { return diskWriter{a.disk, a.File}.Write(p) }

// Sync flushes the file to the disk.
func (a *Append) Sync() error { return a.disk.sync(a.File) }

// Missing reports whether the file's name is gone, with its folder or without, or names another file: what is written then is lost.
func (a *Append) Missing() bool {
	mine, err := a.Stat()
	if err != nil {
		return true
	}
	there, err := os.Stat(a.Name())
	return err != nil || !os.SameFile(mine, there)
}
