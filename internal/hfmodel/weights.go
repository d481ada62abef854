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

	"github.com/goprm/goprm/internal/safetensors"
)

// File names of weights in a model folder.
const (
	SingleName = "model.safetensors"
	IndexName  = "model.safetensors.index.json"
)

// pickledNames are weights in PyTorch's own format, which are not read.
var pickledNames = []string{"pytorch_model.bin", "pytorch_model.bin.index.json"}

// Tensor is one tensor of a model, in the mapping of its file.
type Tensor struct {
	File  *safetensors.File
	Info  safetensors.Info
	Bytes []byte // read only, valid until the weights are closed
}

// Weights are a model folder's mapped tensors.
type Weights struct {
	dir    string
	files  []*safetensors.File
	byName map[string]int // index into files
}

// OpenWeights maps the safetensors files of a model folder: model.safetensors, or where there is none the shards that
// model.safetensors.index.json lists. Every shard must be there, hold each tensor the index says it holds, and no tensor may be in two.
func OpenWeights(dir string) (*Weights, error) {
	index, names, err := weightFiles(dir)
	if err != nil {
		return nil, err
	}
	w := &Weights{dir: dir, byName: map[string]int{}}
	for i, name := range names {
		file, err := safetensors.Open(filepath.Join(dir, name))
		if err != nil {
			if index != nil && errors.Is(err, fs.ErrNotExist) {
				err = fmt.Errorf("%s: shard %q is missing", filepath.Join(dir, IndexName), name)
			}
			return nil, errors.Join(err, w.Close())
		}
		w.files = append(w.files, file)
		for _, info := range file.Tensors() {
			if other, taken := w.byName[info.Name]; taken {
				err := fmt.Errorf("%s: tensor %q is in shard %q too", file.Path(), info.Name, names[other])
				return nil, errors.Join(err, w.Close())
			}
			w.byName[info.Name] = i
		}
	}
	for _, tensor := range slices.Sorted(maps.Keys(index)) {
		i, found := w.byName[tensor]
		if !found || names[i] != index[tensor] {
			err := fmt.Errorf("%s: tensor %q is not in shard %q", filepath.Join(dir, IndexName), tensor, index[tensor])
			return nil, errors.Join(err, w.Close())
		}
	}
	return w, nil
}

// weightFiles returns the weights' file names, sorted, and for shards the index: tensor name to shard name.
func weightFiles(dir string) (index map[string]string, names []string, err error) {
	if _, err := os.Stat(filepath.Join(dir, SingleName)); err == nil {
		return nil, []string{SingleName}, nil
	}
	path := filepath.Join(dir, IndexName)
	text, err := readJSON(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, noWeights(dir)
	}
	if err != nil {
		return nil, nil, err
	}
	if index, err = parseIndex(text); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	names = slices.Compact(slices.Sorted(maps.Values(index)))
	return index, names, nil
}

// noWeights says what is there instead.
func noWeights(dir string) error {
	if info, err := os.Stat(dir); err != nil {
		return err
	} else if !info.IsDir() {
		return fmt.Errorf("%s: not a folder", dir)
	}
	for _, name := range pickledNames {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return fmt.Errorf("%s: PyTorch weights are not read here; convert them to safetensors (%s)", filepath.Join(dir, name), SingleName)
		}
	}
	return fmt.Errorf("%s: holds no weights: neither %s nor %s", dir, SingleName, IndexName)
}

// parseIndex reads the weight_map of an index.
func parseIndex(text []byte) (map[string]string, error) {
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
		case filepath.Base(shard) != shard || filepath.Ext(shard) != ".safetensors":
			return nil, fmt.Errorf("weight_map: tensor %q: %q is not the name of a safetensors file in this folder", tensor, shard)
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
func (w *Weights) Files() []*safetensors.File { return slices.Clone(w.files) }

// Names lists the tensors' names, sorted.
func (w *Weights) Names() []string { return slices.Sorted(maps.Keys(w.byName)) }

// Has reports whether there is a tensor of that name.
func (w *Weights) Has(name string) bool {
	_, found := w.byName[name]
	return found
}

// Lookup returns the tensor of that name.
func (w *Weights) Lookup(name string) (Tensor, bool) {
	i, found := w.byName[name]
	if !found {
		return Tensor{}, false
	}
	file := w.files[i]
	info, _ := file.Info(name)
	return Tensor{file, info, file.Bytes(name)}, true
}

// Close unmaps the files; no tensor's bytes may be in use any more.
func (w *Weights) Close() error {
	var failed []error
	for _, file := range w.files {
		failed = append(failed, file.Close())
	}
	w.files, w.byName = nil, nil
	return errors.Join(failed...)
}
