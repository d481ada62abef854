package modelfolder

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/goprm/goprm/data/tokenizer"
	"github.com/goprm/goprm/internal/checkpoint"
	"github.com/goprm/goprm/internal/hfmodel"
	"github.com/goprm/goprm/internal/lfspointer"
	"github.com/goprm/goprm/internal/mmap"
	"github.com/goprm/goprm/internal/nnet"
	"github.com/goprm/goprm/internal/safetensors"
)

// Files that hold only a part of a model.
const (
	HeadName    = "head.safetensors"
	AdapterName = "adapter_model.safetensors" // as PEFT names it
	StateName   = "state.safetensors"         // of a checkpoint
	PEFTPrefix  = "base_model.model."
	ParamPrefix = "param." // of a checkpoint's tensors that are parameters
)

// Folder is an opened model folder: where each tensor of the model comes from.
type Folder struct {
	Dir    string
	Card   *Card // nil: not written by this program
	Config *hfmodel.Config
	Trunk  nnet.Lookup // names that begin with "model.", in their newest version
	Heads  nnet.Lookup // names that begin with "score"; nil if the folder has no head
	// rootTrunk is trunk without what the folder lays over its base.
	RootTrunk nnet.Lookup
	Extra     []string
	// UnknownClasses is why the classes of a two-class head without a card mean nothing; nil: class 1 of Heads is the good one.
	UnknownClasses error
	// rootDir holds configuration and weights: dir itself, or its base. textDir holds the tokenizer: dir if it has one.
	RootDir string
	TextDir string
	Own     tokenizer.Tokenizer // the program's, instead of textDir's; nil: none
	Root    *hfmodel.Weights
	rootSum func() (string, error) // hfmodel.Hash of rootDir, computed once
	stop    context.CancelFunc     // ends that
	files   []io.Closer
	laid    []*safetensors.File // what lies over the root
}

// CheckFinite reads all weights and names the first tensor that holds NaN or Inf; each is as for [hfmodel.Weights.CheckFinite], and is
// not asked about what the folder lays over its base.
func (f *Folder) CheckFinite(each func(path string, check func() error) error) error {
	if err := f.Root.CheckFinite(each); err != nil {
		return err
	}
	for _, file := range f.laid {
		if err := hfmodel.CheckFinite(file); err != nil {
			return err
		}
	}
	return nil
}

// Check reports that a file of the weights was changed since it was opened.
func (f *Folder) Check() error {
	for _, file := range f.laid {
		if err := file.Check(); err != nil {
			return err
		}
	}
	if f.Root == nil {
		return nil
	}
	return f.Root.Check()
}

// Release gives back the memory that reading mapped weights took; those that are used again are read from their files again.
func (f *Folder) Release() error {
	var failed []error
	for _, c := range f.files {
		if mapped, ok := c.(interface{ Release() error }); ok {
			failed = append(failed, mapped.Release())
		}
	}
	return errors.Join(failed...)
}

// Close unmaps the weights.
func (f *Folder) Close() error {
	f.stop()
	_, _ = f.rootSum() // which may be at work
	var failed []error
	for _, c := range f.files {
		failed = append(failed, c.Close())
	}
	f.files = nil
	return errors.Join(failed...)
}

// Open opens a backbone, a model, or a checkpoint. base, if not empty, says where the base of a folder that needs
// one lies now; its content must be the one that the folder was made with.
func Open(dir, base string) (*Folder, error) {
	f, err := OpenUnverified(dir, base)
	if err != nil {
		return nil, err
	}
	if err := f.Verify(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// OpenUnverified is Open, which leaves it to Verify whether the content of the base is the right one, and begins to find that out.
func OpenUnverified(dir, base string) (*Folder, error) {
	dir, err := hfmodel.Resolve(dir)
	if err != nil {
		return nil, err
	}
	c, err := ReadCard(dir)
	if err != nil {
		return nil, err
	}
	f := &Folder{Dir: dir, Card: c, RootDir: dir}
	ctx, stop := context.WithCancel(context.Background())
	f.stop, f.rootSum = stop, sync.OnceValues(func() (string, error) { return hfmodel.HashContext(ctx, f.RootDir) })
	if c != nil {
		if err := c.verifyFiles(dir); err != nil {
			return nil, err
		}
	}
	if c != nil && c.Stores != StoresModel {
		f.RootDir = c.Base.Path
		if base != "" {
			f.RootDir = base
		}
		if f.RootDir, err = hfmodel.Resolve(f.RootDir); err != nil {
			return nil, fmt.Errorf("%s: its base: %w; --base (Base in Go) names the folder where it lies now", dir, err)
		}
	} else if base != "" {
		return nil, fmt.Errorf("%s: base: it is a model of its own, which has no base", dir)
	}
	if err := f.open(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err := mmap.Guard(f.orient); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	f.TextDir = f.RootDir
	if _, err := os.Stat(filepath.Join(dir, hfmodel.TokenizerName)); err == nil {
		f.TextDir = dir
	}
	return f, nil
}

func (f *Folder) open() error {
	if err := f.openRoot(); err != nil {
		if f.RootDir != f.Dir {
			return fmt.Errorf("%s: its base: %w", f.Dir, err)
		}
		return err
	}
	if f.Card == nil || f.Card.Stores == StoresModel {
		return nil
	}
	go func() { _, _ = f.rootSum() }() // Verify has what comes of it
	if err := f.openPart(); err != nil {
		return cmp.Or(f.Verify(), err) // parts that do not fit a wrong base are no news
	}
	return nil
}

// Verify waits until the content of the base is known, and refuses one that the folder was not made with.
func (f *Folder) Verify() error {
	if f.Card == nil || f.Card.Stores == StoresModel {
		return nil
	}
	sum, err := f.rootSum()
	if err != nil {
		return err
	}
	if sum != f.Card.Base.SHA256 {
		return fmt.Errorf("%s: the base %s is not what this was trained on: its SHA-256 is %s, %s says %s",
			f.Dir, f.RootDir, sum, CardName, f.Card.Base.SHA256)
	}
	return nil
}

// openRoot opens the folder that holds the trunk.
func (f *Folder) openRoot() error {
	config, err := hfmodel.ReadConfig(f.RootDir)
	if errors.Is(err, fs.ErrNotExist) {
		return hfmodel.NoModel(f.RootDir)
	}
	if err != nil {
		return err
	}
	weights, err := hfmodel.OpenWeights(f.RootDir)
	if err != nil {
		return err
	}
	f.Config, f.Root = config, weights
	if _, err := os.Stat(filepath.Join(f.RootDir, hfmodel.AdapterConfigName)); err == nil {
		return errors.Join(fmt.Errorf("%s: holds weights and a PEFT adapter (%s), which transformers lays over them; merge the two first, "+
			"or remove the adapter", f.RootDir, hfmodel.AdapterConfigName), weights.Close())
	}
	f.files = append(f.files, weights)
	trunk, err := hfmodel.CheckTrunk(config, weights)
	if err != nil {
		return err
	}
	f.Extra = trunk.Extra
	if err := hfmodel.CheckHead(config, weights, trunk.Extra); err != nil {
		return err
	}
	f.Trunk = func(name string) (nnet.StoredTensor, bool) {
		inner, ok := strings.CutPrefix(name, "model.")
		if !ok {
			return nnet.StoredTensor{}, false
		}
		return storedIn(weights, trunk.Prefix+inner)
	}
	f.RootTrunk = f.Trunk
	if slices.ContainsFunc(trunk.Extra, IsHead) {
		f.Heads = func(name string) (nnet.StoredTensor, bool) {
			if !IsHead(name) {
				return nnet.StoredTensor{}, false
			}
			return storedIn(weights, name)
		}
	}
	return nil
}

// orient turns a two-class head so that its class 1 is the good one, as everything that trains and scores takes it.
func (f *Folder) orient() error {
	spec, ok := f.HeadSpec()
	if !ok || classLabels(spec.Kind) == nil {
		return nil
	}
	good, err := f.Config.Labels.Good()
	if f.Card == nil {
		f.Heads, f.UnknownClasses = nnet.GoodLast(f.Heads, good), err
		return nil
	}
	stored, failed := hfmodel.Labels(f.Card.Head.Labels).Good()
	switch {
	case failed != nil:
		return fmt.Errorf("%s: head.labels: %w", filepath.Join(f.Dir, CardName), failed)
	case f.Card.Stores == StoresModel && (err != nil || good != stored):
		return fmt.Errorf("%s: id2label of %s names the classes %q, %s %q: which one is good is said twice, and not alike",
			f.Dir, hfmodel.ConfigName, f.Config.Labels, CardName, f.Card.Head.Labels)
	}
	f.Heads = nnet.GoodLast(f.Heads, stored)
	return nil
}

// openPart lays what the folder itself stores over its base.
func (f *Folder) openPart() error {
	switch f.Card.Stores {
	case StoresHead:
		return f.overlay(HeadName, "", IsHead)
	case StoresAdapter:
		if err := f.overlay(HeadName, "", IsHead); err != nil {
			return err
		}
		return f.overlay(AdapterName, PEFTPrefix, isTrunk)
	}
	if _, err := checkpoint.Read(f.Dir); err != nil {
		return err
	}
	if err := f.overlay(StateName, ParamPrefix, IsHead); err != nil {
		return err
	}
	return f.overlay(StateName, ParamPrefix, isTrunk)
}

// overlay makes the tensors of a file that begin with prefix, for which mine holds without it, win over what is there.
func (f *Folder) overlay(name, prefix string, mine func(string) bool) error {
	path := filepath.Join(f.Dir, name)
	file, err := safetensors.Open(path)
	if err != nil {
		return lfspointer.Explain(path, err)
	}
	f.files, f.laid = append(f.files, file), append(f.laid, file)
	below := f.Trunk
	if mine("score.weight") {
		below = nil // a head is taken whole
	}
	find := func(tensor string) (nnet.StoredTensor, bool) {
		if !mine(tensor) {
			return nnet.StoredTensor{}, false
		}
		if info, ok := file.Info(prefix + tensor); ok {
			return nnet.StoredTensor{File: file.Path(), Info: info, Data: file.Bytes(prefix + tensor)}, true
		}
		if below == nil {
			return nnet.StoredTensor{}, false
		}
		return below(tensor)
	}
	if mine("score.weight") {
		f.Heads = find
	} else {
		f.Trunk = find
	}
	return nil
}

func IsHead(name string) bool  { return strings.HasPrefix(name, "score.") }
func isTrunk(name string) bool { return strings.HasPrefix(name, "model.") }

func storedIn(w *hfmodel.Weights, name string) (nnet.StoredTensor, bool) {
	t, ok := w.Lookup(name)
	if !ok {
		return nnet.StoredTensor{}, false
	}
	return nnet.StoredTensor{File: t.File.Path(), Info: t.Info, Data: t.Bytes}, true
}

// Hash is the content of the root folder: hfmodel.Hash, computed once.
func (f *Folder) Hash() (string, error) { return f.rootSum() }

// ContentHash also covers what the folder lays over its base.
func (f *Folder) ContentHash() (string, error) {
	root, err := f.Hash()
	if err != nil || f.RootDir == f.Dir {
		return root, err
	}
	names := map[string][]string{
		StoresHead: {HeadName}, StoresAdapter: {AdapterName, HeadName}, StoresCheckpoint: {StateName},
	}[f.Card.Stores]
	own, err := HashFiles(f.Dir, names)
	return root + "+" + own, err
}

// HeadSpec is the folder's own head, if its kind is known.
func (f *Folder) HeadSpec() (nnet.HeadSpec, bool) {
	if f.Heads == nil {
		return nnet.HeadSpec{}, false
	}
	if f.Card != nil {
		return f.Card.Head.Spec(), true
	}
	if _, mlp := f.Heads("score.2.weight"); mlp {
		return nnet.HeadSpec{Kind: nnet.TwoClassMLP, Final: "shared"}, true
	}
	weight, ok := f.Heads("score.weight")
	_, bias := f.Heads("score.bias")
	if ok && bias && len(weight.Info.Shape) == 2 && weight.Info.Shape[0] == 2 {
		return nnet.HeadSpec{Kind: nnet.LinearTwoClass, Final: "shared"}, true
	}
	return nnet.HeadSpec{}, false
}

// LoRA is the folder's own adapter.
func (f *Folder) LoRA() (nnet.LoRASpec, bool) {
	if f.Card == nil || f.Card.LoRA == nil {
		return nnet.LoRASpec{}, false
	}
	return f.Card.LoRA.Spec(), true
}
