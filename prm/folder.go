package prm

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goprm/goprm/data/tokenizer"
	"github.com/goprm/goprm/internal/checkpoint"
	"github.com/goprm/goprm/internal/hfmodel"
	"github.com/goprm/goprm/internal/nnet"
	"github.com/goprm/goprm/internal/safetensors"
)

// Files that hold only a part of a model.
const (
	headName    = "head.safetensors"
	adapterName = "adapter_model.safetensors" // as PEFT names it
	stateName   = "state.safetensors"         // of a checkpoint
	peftPrefix  = "base_model.model."
	paramPrefix = "param." // of a checkpoint's tensors that are parameters
)

// folder is an opened model folder: where each tensor of the model comes from.
type folder struct {
	dir    string
	card   *card // nil: not written by this program
	config *hfmodel.Config
	trunk  nnet.Find // names that begin with "model.", in their newest version
	heads  nnet.Find // names that begin with "score"; nil if the folder has no head
	// rootTrunk is trunk without what the folder lays over its base.
	rootTrunk nnet.Find
	extra     []string
	// rootDir holds configuration and weights: dir itself, or its base. textDir holds the tokenizer: dir if it has one.
	rootDir string
	textDir string
	own     tokenizer.Tokenizer // the program's, instead of textDir's; nil: none
	root    *hfmodel.Weights
	rootSum string // hfmodel.Hash of rootDir, when it has been computed
	files   []io.Closer
}

// Close unmaps the weights.
func (f *folder) Close() error {
	var failed []error
	for _, c := range f.files {
		failed = append(failed, c.Close())
	}
	f.files = nil
	return errors.Join(failed...)
}

// openFolder opens a backbone, a model, or a checkpoint. base, if not empty, says where the base of a folder that needs
// one lies now; its content must be the one that the folder was made with.
func openFolder(dir, base string) (*folder, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%s: not a folder; a model is one with config.json, weights and tokenizer", dir)
	}
	c, err := readCard(dir)
	if err != nil {
		return nil, err
	}
	f := &folder{dir: dir, card: c, rootDir: dir}
	if c != nil && c.Stores != storesModel {
		f.rootDir = c.Base.Path
		if base != "" {
			f.rootDir = base
		}
	}
	if err := f.open(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	f.textDir = f.rootDir
	if _, err := os.Stat(filepath.Join(dir, hfmodel.TokenizerName)); err == nil {
		f.textDir = dir
	}
	return f, nil
}

func (f *folder) open() error {
	if err := f.openRoot(); err != nil {
		if f.rootDir != f.dir {
			return fmt.Errorf("%s: its base: %w", f.dir, err)
		}
		return err
	}
	if f.card == nil || f.card.Stores == storesModel {
		return nil
	}
	if _, err := f.hash(); err != nil {
		return err
	}
	if f.rootSum != f.card.Base.SHA256 {
		return fmt.Errorf("%s: the base %s is not what this was trained on: its SHA-256 is %s, %s says %s", f.dir, f.rootDir, f.rootSum, cardName, f.card.Base.SHA256)
	}
	return f.openPart()
}

// openRoot opens the folder that holds the trunk.
func (f *folder) openRoot() error {
	config, err := hfmodel.ReadConfig(f.rootDir)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: holds no %s, so it is no model folder", f.rootDir, hfmodel.ConfigName)
	}
	if err != nil {
		return err
	}
	weights, err := hfmodel.OpenWeights(f.rootDir)
	if err != nil {
		return err
	}
	f.config, f.root = config, weights
	f.files = append(f.files, weights)
	trunk, err := hfmodel.CheckTrunk(config, weights)
	if err != nil {
		return err
	}
	f.extra = trunk.Extra
	f.trunk = func(name string) (nnet.Stored, bool) {
		inner, ok := strings.CutPrefix(name, "model.")
		if !ok {
			return nnet.Stored{}, false
		}
		return storedIn(weights, trunk.Prefix+inner)
	}
	f.rootTrunk = f.trunk
	if slices.ContainsFunc(trunk.Extra, isHead) {
		f.heads = func(name string) (nnet.Stored, bool) {
			if !isHead(name) {
				return nnet.Stored{}, false
			}
			return storedIn(weights, name)
		}
	}
	return nil
}

// openPart lays what the folder itself stores over its base.
func (f *folder) openPart() error {
	switch f.card.Stores {
	case storesHead:
		return f.overlay(headName, "", isHead)
	case storesAdapter:
		if err := f.overlay(headName, "", isHead); err != nil {
			return err
		}
		return f.overlay(adapterName, peftPrefix, isTrunk)
	}
	if _, err := checkpoint.Read(f.dir); err != nil {
		return err
	}
	if err := f.overlay(stateName, paramPrefix, isHead); err != nil {
		return err
	}
	return f.overlay(stateName, paramPrefix, isTrunk)
}

// overlay makes the tensors of a file that begin with prefix, for which mine holds without it, win over what is there.
func (f *folder) overlay(name, prefix string, mine func(string) bool) error {
	file, err := safetensors.Open(filepath.Join(f.dir, name))
	if err != nil {
		return err
	}
	f.files = append(f.files, file)
	below := f.trunk
	if mine("score.weight") {
		below = nil // a head is taken whole
	}
	find := func(tensor string) (nnet.Stored, bool) {
		if !mine(tensor) {
			return nnet.Stored{}, false
		}
		if info, ok := file.Info(prefix + tensor); ok {
			return nnet.Stored{File: file.Path(), Info: info, Data: file.Bytes(prefix + tensor)}, true
		}
		if below == nil {
			return nnet.Stored{}, false
		}
		return below(tensor)
	}
	if mine("score.weight") {
		f.heads = find
	} else {
		f.trunk = find
	}
	return nil
}

func isHead(name string) bool  { return strings.HasPrefix(name, "score.") }
func isTrunk(name string) bool { return strings.HasPrefix(name, "model.") }

func storedIn(w *hfmodel.Weights, name string) (nnet.Stored, bool) {
	t, ok := w.Lookup(name)
	if !ok {
		return nnet.Stored{}, false
	}
	return nnet.Stored{File: t.File.Path(), Info: t.Info, Data: t.Bytes}, true
}

// hash is the content of the root folder: hfmodel.Hash, computed once.
func (f *folder) hash() (string, error) {
	if f.rootSum == "" {
		sum, err := hfmodel.Hash(f.rootDir)
		if err != nil {
			return "", err
		}
		f.rootSum = sum
	}
	return f.rootSum, nil
}

// contentHash also covers what the folder lays over its base.
func (f *folder) contentHash() (string, error) {
	root, err := f.hash()
	if err != nil || f.rootDir == f.dir {
		return root, err
	}
	names := map[string][]string{
		storesHead: {headName}, storesAdapter: {adapterName, headName}, storesCheckpoint: {stateName},
	}[f.card.Stores]
	own, err := hashFiles(f.dir, names)
	return root + "+" + own, err
}

// headSpec is the folder's own head, if its kind is known.
func (f *folder) headSpec() (nnet.HeadSpec, bool) {
	if f.heads == nil {
		return nnet.HeadSpec{}, false
	}
	if f.card != nil {
		return f.card.Head.spec(), true
	}
	if _, mlp := f.heads("score.2.weight"); mlp {
		return nnet.HeadSpec{Kind: nnet.TwoClassMLP, Final: "shared"}, true
	}
	weight, ok := f.heads("score.weight")
	_, bias := f.heads("score.bias")
	if ok && bias && len(weight.Info.Shape) == 2 && weight.Info.Shape[0] == 2 {
		return nnet.HeadSpec{Kind: nnet.LinearTwoClass, Final: "shared"}, true
	}
	return nnet.HeadSpec{}, false
}

// lora is the folder's own adapter.
func (f *folder) lora() (nnet.LoRASpec, bool) {
	if f.card == nil || f.card.LoRA == nil {
		return nnet.LoRASpec{}, false
	}
	return f.card.LoRA.spec(), true
}
