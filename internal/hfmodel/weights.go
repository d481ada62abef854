package hfmodel

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goprm/goprm/internal/lfspointer"
	"github.com/goprm/goprm/internal/safetensors"
	"github.com/goprm/goprm/internal/torchfile"
)

// File names of weights in a model folder.
const (
	SingleName = "model.safetensors"
	IndexName  = "model.safetensors.index.json"
)

// Names of weights in PyTorch's own format.
const (
	TorchName      = "pytorch_model.bin"
	TorchIndexName = "pytorch_model.bin.index.json"
)

// File is an open weights file: a safetensors file, or one of PyTorch's.
type File interface {
	Path() string
	Size() int64
	Tensors() []safetensors.Info
	Len() int                  // of Tensors
	At(i int) safetensors.Info // its i-th
	Info(name string) (safetensors.Info, bool)
	Bytes(name string) []byte
	Check() error // that it is what it was when it was opened
	Close() error
}

// openFile opens a file by its ending.
func openFile(path string) (file File, err error) {
	if isTorch(path) {
		file, err = torchfile.Open(path)
	} else {
		file, err = safetensors.Open(path)
	}
	if err != nil {
		return nil, lfspointer.Explain(path, err)
	}
	return file, nil
}

// isTorch reports whether a name is one that PyTorch's own files have.
func isTorch(name string) bool {
	return slices.Contains([]string{".bin", ".pt", ".pth"}, strings.ToLower(filepath.Ext(name)))
}

// Tensor is one tensor of a model, in the mapping of its file.
type Tensor struct {
	File  File
	Info  safetensors.Info
	Bytes []byte // read only, valid until the weights are closed
}

// Weights are a model folder's mapped tensors.
type Weights struct {
	dir   string
	files []File
	names []string // what the weights are, without their folder: the files, and their index
}

// OpenWeights maps the weights' files of a model folder: the first there is of model.safetensors, the shards that
// model.safetensors.index.json lists, pytorch_model.bin, and the shards of its index; and a value head in a file of its own. Every shard
// must be there, hold each tensor the index says it holds, and no tensor may be in two.
func OpenWeights(dir string) (*Weights, error) {
	listed, err := weightFiles(dir)
	if err != nil {
		return nil, err
	}
	index, names := listed.index, listed.tensorFiles()
	w := &Weights{dir: dir, names: listed.all()}
	for _, name := range names {
		file, err := openFile(filepath.Join(dir, name))
		if err != nil {
			if index != nil && errors.Is(err, fs.ErrNotExist) {
				err = fmt.Errorf("%s: shard %q is missing", filepath.Join(dir, listed.indexName), name)
			}
			return nil, errors.Join(err, w.Close())
		}
		if err := w.add(file); err != nil {
			return nil, errors.Join(err, w.Close())
		}
	}
	for _, tensor := range slices.Sorted(maps.Keys(index)) {
		if i := w.fileOf(tensor); i < 0 || names[i] != index[tensor] {
			err := fmt.Errorf("%s: tensor %q is not in shard %q", filepath.Join(dir, listed.indexName), tensor, index[tensor])
			return nil, errors.Join(err, w.Close())
		}
	}
	return w, nil
}

// add takes a file none of whose tensors may be in another. A single file needs no look at any of them.
func (w *Weights) add(file File) error {
	if w.files = append(w.files, file); len(w.files) == 1 {
		return nil
	}
	for _, info := range file.Tensors() {
		if other := w.fileOf(info.Name); other != len(w.files)-1 {
			return fmt.Errorf("%s: tensor %q is in shard %q too", file.Path(), info.Name, filepath.Base(w.files[other].Path()))
		}
	}
	return nil
}

// fileOf is the first file that holds the tensor, −1 if none does.
func (w *Weights) fileOf(name string) int {
	return slices.IndexFunc(w.files, func(f File) bool {
		_, ok := f.Info(name)
		return ok
	})
}

// weightList is what a folder's weights are stored in.
type weightList struct {
	names     []string          // of the files with tensors, sorted
	index     map[string]string // tensor name to file name; nil for a single file
	indexName string
	head      string // the file of a value head beside headless weights; "" if there is none
}

// tensorFiles are the names of the files with tensors, that of a separate head last.
func (l weightList) tensorFiles() []string {
	names := slices.Clone(l.names)
	if l.head != "" {
		names = append(names, l.head)
	}
	return names
}

// all are the names of all files.
func (l weightList) all() []string {
	names := l.tensorFiles()
	if l.index != nil {
		names = append(names, l.indexName)
	}
	return names
}

func weightFiles(dir string) (weightList, error) {
	listed, err := trunkFiles(dir)
	if err == nil {
		listed.head, err = valueHead(dir)
	}
	return listed, err
}

func trunkFiles(dir string) (weightList, error) {
	for _, form := range []struct{ single, index, ending string }{
		{SingleName, IndexName, ".safetensors"},
		{TorchName, TorchIndexName, ".bin"},
	} {
		if _, err := os.Stat(filepath.Join(dir, form.single)); err == nil {
			return weightList{names: []string{form.single}}, nil
		}
		path := filepath.Join(dir, form.index)
		text, err := readJSON(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return weightList{}, err
		}
		index, err := parseIndex(text, form.ending)
		if err != nil {
			return weightList{}, fmt.Errorf("%s: %w", path, err)
		}
		return weightList{names: slices.Compact(slices.Sorted(maps.Values(index))), index: index, indexName: form.index}, nil
	}
	return weightList{}, noWeights(dir)
}

// noWeights says what is there instead.
func noWeights(dir string) error {
	if info, err := os.Stat(dir); err != nil {
		return err
	} else if !info.IsDir() {
		return fmt.Errorf("%s: not a folder", dir)
	}
	return fmt.Errorf("%s: holds no weights: neither %s nor %s, nor %s or its index", dir, SingleName, IndexName, TorchName)
}

// parseIndex reads the weight_map of an index, whose files have the given ending.
func parseIndex(text []byte, ending string) (map[string]string, error) {
	var document struct {
		WeightMap json.RawMessage `json:"weight_map"`
	}
	if err := json.Unmarshal(text, &document); err != nil {
		return nil, err
	}
	index := map[string]string{}
	tokens := json.NewDecoder(bytes.NewReader(document.WeightMap))
	if open, err := tokens.Token(); err != nil || open != json.Delim('{') {
		return nil, errors.New("weight_map is not an object")
	}
	for tokens.More() {
		key, err := tokens.Token()
		if err != nil {
			return nil, err
		}
		value, err := tokens.Token()
		if err != nil {
			return nil, err
		}
		tensor := key.(string) // the text is valid JSON
		shard, ok := value.(string)
		switch _, taken := index[tensor]; {
		case !ok:
			return nil, fmt.Errorf("weight_map: tensor %q: shard is not a text", tensor)
		case taken:
			return nil, fmt.Errorf("weight_map: tensor %q is listed twice", tensor)
		case filepath.Base(shard) != shard || filepath.Ext(shard) != ending:
			return nil, fmt.Errorf("weight_map: tensor %q: %q is not the name of a %s file in this folder", tensor, shard, ending)
		}
		index[tensor] = shard
	}
	if len(index) == 0 {
		return nil, errors.New("weight_map is empty")
	}
	return index, nil
}

// Dir is the model folder.
func (w *Weights) Dir() string { return w.dir }

// Files are the weights' files, by name.
func (w *Weights) Files() []File { return slices.Clone(w.files) }

// Names lists the tensors' names, sorted.
func (w *Weights) Names() []string {
	var names []string
	for _, file := range w.files {
		for _, info := range file.Tensors() {
			names = append(names, info.Name)
		}
	}
	slices.Sort(names)
	return names
}

// Has reports whether there is a tensor of that name.
func (w *Weights) Has(name string) bool {
	return w.fileOf(name) >= 0
}

// Lookup returns the tensor of that name.
func (w *Weights) Lookup(name string) (Tensor, bool) {
	i := w.fileOf(name)
	if i < 0 {
		return Tensor{}, false
	}
	file := w.files[i]
	info, _ := file.Info(name)
	return Tensor{file, info, file.Bytes(name)}, true
}

// Release gives back the memory behind mapped files; what is used again is read again.
func (w *Weights) Release() error {
	var failed []error
	for _, file := range w.files {
		if mapped, ok := file.(interface{ Release() error }); ok {
			failed = append(failed, mapped.Release())
		}
	}
	return errors.Join(failed...)
}

// Check reports that a file was changed since it was opened.
func (w *Weights) Check() error {
	for _, file := range w.files {
		if err := file.Check(); err != nil {
			return err
		}
	}
	return nil
}

// Close unmaps the files; no tensor's bytes may be in use any more.
func (w *Weights) Close() error {
	var failed []error
	for _, file := range w.files {
		failed = append(failed, file.Close())
	}
	w.files = nil
	return errors.Join(failed...)
}
