// Package safetensors reads and writes the safetensors format (https://github.com/huggingface/safetensors, "Format").
//
// A file is checked in full before anything of it is used: [Open] either returns a file whose every tensor can be read, or a
// [*FormatError]. The rules are the format's own text, which is stricter than its reference reader: the header begins with '{', may be
// followed by blanks only, holds no key twice; the data lie end to end and fill the file; metadata values are strings.
package safetensors

import (
	"errors"
	"fmt"
	"math"
	"os"

	"github.com/goprm/goprm/internal/mmap"
)

// File is an open, checked file whose data are mapped into memory, read only. Its methods may be called by several goroutines, Close
// only once all slices from Bytes are out of use: the memory behind them goes away.
//
// A file that is in use is replaced by renaming a new one over it, as [Save] does; the mapping then keeps the old content. Check tells
// when it was written to or cut short instead; reading what is gone is an error under mmap.Guard, and else the end of the process.
type File struct {
	header  *header
	path    string
	size    int64
	mapping *mmap.Mapping
}

// Open checks and maps a file. Errors about its content are of type *[FormatError].
func Open(path string) (*File, error) { return mmap.OpenFile(path, open) }

func open(path string, disk *os.File) (*File, error) {
	info, err := disk.Stat()
	if err != nil {
		return nil, err
	}
	contents, err := readHeader(disk, info.Size())
	if err != nil {
		var format *FormatError
		if errors.As(err, &format) {
			format.File = path
			return nil, err
		}
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if info.Size() > math.MaxInt {
		return nil, fmt.Errorf("%s: %d bytes are too many to map on this machine", path, info.Size())
	}
	mapping, err := mmap.Map(path, disk, int(info.Size()))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &File{path: path, size: info.Size(), header: contents, mapping: mapping}, nil
}

// Path is the path the file was opened by.
func (f *File) Path() string { return f.path }

// Size is the whole file's size in bytes.
func (f *File) Size() int64 { return f.size }

// Len is the number of tensors.
func (f *File) Len() int { return len(f.header.entries) }

// At describes the i-th tensor by its place in the file.
func (f *File) At(i int) Info { return f.header.info(i) }

// Tensors lists the tensors by their place in the file.
func (f *File) Tensors() []Info {
	list := make([]Info, f.Len())
	for i := range list {
		list[i] = f.At(i)
	}
	return list
}

// Info describes the tensor of that name.
func (f *File) Info(name string) (Info, bool) {
	i, ok := f.header.find(name)
	if !ok {
		return Info{}, false
	}
	return f.header.info(i), true
}

// Bytes is the tensor's data in the mapping itself: read only, valid until Close, possibly unaligned; nil for an unknown name.
func (f *File) Bytes(name string) []byte {
	info, ok := f.Info(name)
	if !ok {
		return nil
	}
	return f.mapping.Data[info.Begin:info.End:info.End]
}

// Check reports that the file was changed since it was opened; see [mmap.Mapping.Check].
func (f *File) Check() error { return f.mapping.Check() }

// Metadata is the file's "__metadata__"; nil if it has none. Not to be changed.
func (f *File) Metadata() map[string]string { return f.header.metadata }

// Release gives back the memory behind the mapping; what is used again is read from the file again.
func (f *File) Release() error { return mmap.Release(f.mapping.Data) }

// Close unmaps the file. A second Close does nothing.
func (f *File) Close() error {
	f.header = &header{}
	return f.mapping.Close()
}
