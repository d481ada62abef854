package hfmodel

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goprm/goprm/internal/atomicfile"
	"github.com/goprm/goprm/internal/hub"
	"github.com/goprm/goprm/internal/mmap"
	"github.com/goprm/goprm/internal/safetensors"
	"github.com/goprm/goprm/internal/torchfile"
)

// Converted says what Convert did.
type Converted struct {
	Tensors int
	Files   map[string]string // PyTorch's files to what they became
	Copied  []string
	// LeftOut are the folder's other entries: pickles that are no weights, programs, folders.
	LeftOut []string
}

// copiedEndings are the files of a model folder that are taken over as they are.
var copiedEndings = []string{".json", ".jinja", ".txt", ".model", ".md", ".safetensors", ".tiktoken"}

// Convert writes a model folder anew at out, which must not exist, with safetensors in the place of PyTorch's files: the weights with
// their index, and a reward_head.pt. Every byte is checked against the files' own checksums, nothing in them is executed, and names,
// types and values of the tensors stay as they are.
func Convert(in, out string) (*Converted, error) {
	if _, err := os.Lstat(out); err == nil {
		return nil, fmt.Errorf("%s: exists already", out)
	}
	entries, err := os.ReadDir(in)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, hub.Missing(in, hub.Model, "folder")
	}
	if err != nil {
		return nil, err
	}
	listed, err := weightFiles(in)
	if err != nil {
		return nil, err
	}
	weights, err := OpenWeights(in)
	if err != nil {
		return nil, err
	}
	done := &Converted{Files: map[string]string{}}
	files := slices.DeleteFunc(weights.Files(), func(f File) bool { return !isTorch(f.Path()) })
	if !isTorch(listed.names[0]) {
		listed.index = nil
	}
	if isTorch(RewardHeadName(in)) {
		head, err := OpenRewardHead(in)
		if err != nil {
			return nil, errors.Join(err, weights.Close())
		}
		defer func() { _ = head.Close() }()
		files = append(files, head)
	}
	if len(files) == 0 {
		err = fmt.Errorf("%s: nothing to convert: its weights are safetensors", in)
	} else {
		err = mmap.Guard(func() error { return done.write(in, out, files, listed, weights, entries) })
	}
	if err := errors.Join(err, weights.Close()); err != nil {
		return nil, err
	}
	return done, nil
}

func (c *Converted) write(in, out string, files []File, listed weightList, weights *Weights, entries []os.DirEntry) (err error) {
	dir, err := atomicfile.NewDir(out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.Abort()) }() // also for a fault of a mapped file
	for _, file := range files {
		if err := c.convert(dir, file.(*torchfile.File)); err != nil {
			return err
		}
	}
	if listed.index != nil {
		if err := c.index(dir, weights); err != nil {
			return err
		}
	}
	for _, entry := range entries {
		name := entry.Name()
		if c.Files[name] != "" || name == TorchIndexName {
			continue
		}
		info, err := os.Stat(filepath.Join(in, name))
		if err != nil || !info.Mode().IsRegular() || !slices.Contains(copiedEndings, filepath.Ext(name)) {
			c.LeftOut = append(c.LeftOut, name)
			continue
		}
		c.Copied = append(c.Copied, name)
		if err := copyInto(dir, in, name); err != nil {
			return err
		}
	}
	if err := weights.Check(); err != nil {
		return err
	}
	return dir.Commit()
}

// convert writes one file's tensors.
func (c *Converted) convert(dir *atomicfile.Dir, file *torchfile.File) error {
	var tensors []safetensors.Tensor
	for _, info := range file.Tensors() {
		tensors = append(tensors, safetensors.Tensor{Name: info.Name, DType: info.DType, Shape: info.Shape, Data: file.Bytes(info.Name)})
	}
	c.Tensors += len(tensors)
	old := filepath.Base(file.Path())
	name := strings.Replace(strings.TrimSuffix(old, filepath.Ext(old)), "pytorch_model", "model", 1) + ".safetensors"
	c.Files[old] = name
	return dir.WriteFile(name, func(w io.Writer) error {
		return safetensors.Write(w, tensors, map[string]string{"format": "pt"}) // without which transformers refuses it
	})
}

// index writes the index of the converted shards.
func (c *Converted) index(dir *atomicfile.Dir, weights *Weights) error {
	var index struct {
		Metadata struct {
			TotalSize int64 `json:"total_size"`
		} `json:"metadata"`
		WeightMap map[string]string `json:"weight_map"`
	}
	index.WeightMap = map[string]string{}
	for _, name := range weights.Names() {
		tensor, _ := weights.Lookup(name)
		index.Metadata.TotalSize += tensor.Info.Bytes()
		index.WeightMap[name] = c.Files[filepath.Base(tensor.File.Path())]
	}
	text, err := json.MarshalIndent(index, "", "  ")
	if err != nil {
		return err
	}
	return dir.WriteFile(IndexName, func(w io.Writer) error {
		_, err := w.Write(append(text, '\n'))
		return err
	})
}

func copyInto(dir *atomicfile.Dir, in, name string) error {
	return dir.WriteFile(name, func(w io.Writer) error {
		file, err := os.Open(filepath.Join(in, name))
		if err != nil {
			return err
		}
		_, err = io.Copy(w, file)
		return errors.Join(err, file.Close())
	})
}
