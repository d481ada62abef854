// Package torchfile reads PyTorch's own files (torch.save's zip archives: .bin, .pt, .pth) as state dicts: names with tensors,
// nothing else.
//
// Such a file holds a pickle, a program that normally may call anything. Here a machine of the few instructions that a state dict
// needs reads it: it knows four names, calls nothing, and refuses the rest with the instruction's offset. Sizes are checked against
// the archive before anything is taken from them. Tensors stay where they are: they are views of the mapped file.
package torchfile

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"

	"github.com/goprm/goprm/internal/mmap"
	"github.com/goprm/goprm/internal/safetensors"
)

// File is an open, checked file. Its methods mean what those of safetensors.File do.
type File struct {
	tensors []safetensors.Info // by name; places are in the file
	byName  map[string]int
	path    string
	size    int64
	mapping *mmap.Mapping
}

// Open checks and maps a file. Errors name it.
func Open(path string) (*File, error) {
	return mmap.OpenFile(path, func(path string, disk *os.File) (*File, error) {
		f, err := open(path, disk)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return f, nil
	})
}

func open(path string, disk *os.File) (*File, error) {
	info, err := disk.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() == 0 {
		return nil, errors.New("the file is empty")
	}
	if info.Size() > math.MaxInt {
		return nil, fmt.Errorf("%d bytes are too many to map on this machine", info.Size())
	}
	mapping, err := mmap.Map(path, disk, int(info.Size()))
	if err != nil {
		return nil, err
	}
	var f *File
	err = mmap.Guard(func() error {
		f, err = parse(mapping.Data)
		return err
	})
	if err != nil {
		return nil, errors.Join(err, mapping.Close())
	}
	f.path, f.size, f.mapping = path, info.Size(), mapping
	return f, nil
}

// parse reads the content of a whole file.
func parse(data []byte) (*File, error) {
	archive, err := openArchive(data)
	if err != nil {
		return nil, err
	}
	if err := archive.verify(data); err != nil {
		return nil, err
	}
	f := &File{mapping: &mmap.Mapping{Data: data}, byName: map[string]int{}}
	if f.tensors, err = readState(archive); err != nil {
		return nil, err
	}
	slices.SortFunc(f.tensors, func(a, b safetensors.Info) int { return bytes.Compare([]byte(a.Name), []byte(b.Name)) })
	for i, t := range f.tensors {
		f.byName[t.Name] = i
	}
	return f, nil
}

// Path is the path the file was opened by.
func (f *File) Path() string { return f.path }

// Size is the whole file's size in bytes.
func (f *File) Size() int64 { return f.size }

// Len is the number of tensors.
func (f *File) Len() int { return len(f.tensors) }

// At describes the i-th tensor by name.
func (f *File) At(i int) safetensors.Info { return f.tensors[i] }

// Tensors lists the tensors by name.
func (f *File) Tensors() []safetensors.Info { return slices.Clone(f.tensors) }

// Info describes the tensor of that name.
func (f *File) Info(name string) (safetensors.Info, bool) {
	i, ok := f.byName[name]
	if !ok {
		return safetensors.Info{}, false
	}
	return f.tensors[i], true
}

// Check reports that the file was changed since it was opened; see [mmap.Mapping.Check].
func (f *File) Check() error { return f.mapping.Check() }

// Bytes is the tensor's data in the mapping itself: read only, valid until Close; nil for an unknown name. Tensors may share them.
func (f *File) Bytes(name string) []byte {
	info, ok := f.Info(name)
	if !ok {
		return nil
	}
	return f.mapping.Data[info.Begin:info.End:info.End]
}

// Close unmaps the file. A second Close does nothing.
func (f *File) Close() error {
	f.tensors, f.byName = nil, nil
	return f.mapping.Close()
}
