package atomicfile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Batch is some files that belong together: none gets its name before all are written and flushed. The first one to be created gets
// its name first, so that what describes it never stands without it. It is not for use by several goroutines.
type Batch struct {
	disk  Disk
	files []*batchFile
}

type batchFile struct {
	path, target, temporary string
	file                    *os.File
	buffered                *bufio.Writer
}

// NewBatch begins a batch on the real file system; Abort must be called in the end.
func NewBatch() *Batch { return Disk{}.NewBatch() }

// NewBatch is the function of that name, on this disk.
func (d Disk) NewBatch() *Batch { return &Batch{disk: d} }

// Create adds a file, as [Disk.WriteFile] would write it; what is written to it is buffered.
func (b *Batch) Create(path string) (io.Writer, error) {
	target, err := regularTarget(path)
	if err != nil {
		return nil, err
	}
	f := &batchFile{path: path, target: target}
	f.temporary, err = b.disk.createBeside(target, func(name string) (err error) {
		if err := b.disk.before(Create, name); err != nil {
			return err
		}
		f.file, err = os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	f.buffered = bufio.NewWriterSize(diskWriter{b.disk, f.file}, bufferBytes)
	b.files = append(b.files, f)
	return f.buffered, nil
}

// WriteFile adds a file with what write produces.
func (b *Batch) WriteFile(path string, write func(io.Writer) error) error {
	w, err := b.Create(path)
	if err != nil {
		return err
	}
	if err := write(w); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// Commit flushes all files, then gives them their names. An error before the first rename leaves all that stood there; one after it
// leaves whole files, the first ones new.
func (b *Batch) Commit() error {
	for _, f := range b.files {
		if err := b.finish(f); err != nil {
			return fmt.Errorf("%s: %w", f.path, err)
		}
	}
	for _, f := range b.files {
		if err := b.disk.rename(f.temporary, f.target); err != nil {
			return fmt.Errorf("%s: %w", f.path, err)
		}
		f.temporary = ""
		if err := b.disk.syncFolder(filepath.Dir(f.target)); err != nil {
			return fmt.Errorf("%s: written, but its folder could not be flushed: %w", f.path, err)
		}
	}
	return nil
}

func (b *Batch) finish(f *batchFile) error {
	if err := f.buffered.Flush(); err != nil {
		return err
	}
	if err := b.disk.sync(f.file); err != nil {
		return err
	}
	file := f.file
	f.file = nil
	return file.Close()
}

// Abort removes what has no name yet; after Commit there is nothing.
func (b *Batch) Abort() error {
	var failed []error
	for _, f := range b.files {
		if f.file != nil {
			failed = append(failed, f.file.Close())
		}
		if f.temporary != "" {
			failed = append(failed, os.Remove(f.temporary))
		}
	}
	b.files = nil
	return errors.Join(failed...)
}
