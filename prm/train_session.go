package prm

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"runtime/debug"
	"strings"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/filelock"
	"github.com/goprm/goprm/internal/filememo"
	"github.com/goprm/goprm/internal/modelfolder"
	"github.com/goprm/goprm/internal/nnet"
	"github.com/goprm/goprm/internal/safetensors"
	"gorgonia.org/tensor"

	_ "github.com/goprm/goprm/internal/cpu" // the device cpu
)

// session is everything that a training run needs besides the state of the training itself.
type session struct {
	c        TrainConfig // effective: defaults, dtype and backend resolved
	log      *runLog
	backend  engine.Backend
	dtype    tensor.Dtype
	folder   *modelfolder.Folder
	renderer *data.Renderer
	data     *dataset
	record   runRecord
	rates    []change  // changed by a resumption
	newSteps int       // the length that this configuration gives the run
	features *features // train: head
	// ownTokenizer is the fingerprint of TrainConfig.Tokenizer; "" if the tokenizer is that of the folder.
	ownTokenizer string
	tokenizerSum string // SHA-256 of the folder's tokenizer
	closers      []func() error
	lock         *filelock.Lock // of the run folder; nil before there is one
	readOnly     bool           // the cache is not written
	recompute    string         // what recompute: auto means here
	streamed     bool           // see nnet.Spec
	gradientsBy  string         // as run.json says it
	noNCCL       string         // likewise
}

// prepare opens the model and the data of a configuration. It writes nothing but the cache, and with readOnly not even that.
func prepare(ctx context.Context, c TrainConfig, readOnly bool) (*session, error) {
	s := &session{c: c, log: newRunLog(&c), readOnly: readOnly}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *session) open(ctx context.Context) error {
	c := &s.c
	var noGPU, err error
	if s.backend, noGPU, err = c.openRankBackend(); err != nil {
		return err
	}
	if noGPU != nil {
		s.log.noticef("rank %d of %d computes on the CPU: %v", c.ranks.Rank, c.ranks.World, noGPU)
	}
	s.closers = append(s.closers, s.backend.Close)
	if c.DType, err = engine.ResolveDType(c.DType, s.backend); err != nil {
		return err
	}
	if s.dtype, err = engine.ParseDType(c.DType); err != nil {
		return fmt.Errorf("dtype: %w", err)
	}
	c.Device, c.Backend = deviceAndKernels(s.backend)
	if s.folder, err = modelfolder.Open(c.Model, c.Base); err != nil {
		return fmt.Errorf("model: %w", err)
	}
	s.closers = append(s.closers, s.folder.Close)
	if err := s.checkFinite(); err != nil {
		return fmt.Errorf("model: %w", err)
	}
	s.folder.Own = c.Tokenizer
	if err := s.checkStart(); err != nil {
		return fmt.Errorf("model: %s: %w", c.Model, err)
	}
	if err := s.spec(c.Train).Validate(); err != nil {
		return err
	}
	if err := s.checkGroup(); err != nil {
		return err
	}
	if s.renderer, err = newRenderer(s.folder, c.Text); err != nil {
		return err
	}
	if s.ownTokenizer, err = ownTokenizer(s.folder); err != nil {
		return err
	}
	if s.tokenizerSum, err = modelfolder.HashTokenizer(s.folder.TextDir); err != nil {
		return err
	}
	tokens, err := s.tokenCache()
	if err != nil {
		return err
	}
	s.closers = append(s.closers, tokens.Close)
	if s.data, err = readDataset(ctx, c, s.renderer, tokens); err != nil {
		return err
	}
	if err := s.chooseMemory(); err != nil {
		return err
	}
	if err := s.describe(); err != nil {
		return err
	}
	warnings, err := s.lengthWarnings()
	if c.ranks.Size() > 1 && c.Dist.Zero == 2 {
		warnings = append(warnings, "dist.zero: 2 keeps a micro-batch's gradients beside its share of their sum, and exchanges them "+
			"each time: 1 takes less memory and sends less; stay with 2 to resume a run that began with it")
	}
	s.data.warnings = append(s.data.warnings, warnings...)
	return err
}

// checkFinite refuses weights that hold NaN or Inf. Files that have passed and did not change since are not read again.
func (s *session) checkFinite() error {
	memo := s.fileMemo()
	err := s.folder.CheckFinite(func(path string, check func() error) error {
		_, err := memo.Of(path, "finite", func() (string, error) { return "yes", check() })
		return err
	})
	return errors.Join(err, s.folder.Release())
}

// fileMemo is what the cache knows about files that did not change since.
func (s *session) fileMemo() filememo.Memo {
	dir, err := cacheDir(s.c.Cache)
	if err != nil {
		return filememo.Memo{}
	}
	return filememo.Memo{Dir: filepath.Join(dir, memoName), ReadOnly: s.readOnly}
}

// Close releases the weights and the device.
func (s *session) Close() error {
	var failed []error
	for i := len(s.closers) - 1; i >= 0; i-- {
		failed = append(failed, s.closers[i]())
	}
	failed = append(failed, releaseRun(s.lock))
	s.closers, s.lock = nil, nil
	return errors.Join(failed...)
}

// openBackend opens a device with some kernels for arithmetic in a dtype; empty and auto choose.
func openBackend(device, kernels, dtype string, threads int) (engine.Backend, error) {
	if kernels == "auto" {
		kernels = ""
	}
	b, err := engine.Open(device, engine.Options{Kernels: kernels, Workers: threads, DType: dtype})
	if err != nil {
		return nil, err
	}
	return b, nil
}

// deviceAndKernels splits a backend's name, such as "cpu/avx2".
func deviceAndKernels(b engine.Backend) (device, kernels string) {
	device, kernels, _ = strings.Cut(b.Name(), "/")
	return device, kernels
}

// checkStart refuses starting points whose trained trunk would be lost.
func (s *session) checkStart() error {
	card := s.folder.Card
	if card == nil || card.Stores == modelfolder.StoresModel || card.Stores == modelfolder.StoresHead {
		return nil
	}
	if card.Trained == nnet.TrainFull && s.c.Train != nnet.TrainFull {
		return fmt.Errorf("a checkpoint of train: full is no base for train: %s; start from the run's model folder", s.c.Train)
	}
	lora, adapted := s.folder.LoRA()
	if !adapted {
		return nil
	}
	if s.c.Train != nnet.TrainLoRA {
		return fmt.Errorf("it has adapters, which train: %s would leave out; merge them first, or use train: lora", s.c.Train)
	}
	mine := s.lora()
	mine.Dropout = lora.Dropout // concerns training alone
	if !reflect.DeepEqual(mine, lora) {
		return fmt.Errorf("lora: its adapters are %+v, the configuration says %+v", lora, mine)
	}
	return nil
}

func (s *session) lora() nnet.LoRASpec {
	l := s.c.LoRA
	return nnet.LoRASpec{Rank: l.Rank, Alpha: l.Alpha, Dropout: l.Dropout, Targets: l.Targets, Layers: l.Layers}
}

// spec describes the network for a mode of training.
func (s *session) spec(train string) nnet.Spec {
	c := &s.c
	return nnet.Spec{
		Config: s.folder.Config, DType: s.dtype, Train: train,
		Head: nnet.HeadSpec{Kind: c.Head.Kind, Activation: c.Head.Activation, Final: c.Head.Final},
		LoRA: s.lora(), Loss: c.Loss.Kind, Recompute: s.recompute != "none", Streamed: s.streamed && train != nnet.TrainHead,
		BF16Moments: c.Optim.Moments == "bf16", Offload: c.Optim.Offload && train != nnet.TrainNothing,
	}
}

// headSource is the head to start from, and its description; nil if training starts at zeros or from a regression.
func (s *session) headSource() (nnet.Lookup, string, error) {
	want := s.spec(s.c.Train).Head
	switch init := s.c.Head.Init; init {
	case "zeros", "ridge":
		return nil, init, nil
	case "auto":
		if have, ok := s.folder.HeadSpec(); ok && sameHead(have, want) {
			if err := s.folder.UnknownClasses; err != nil {
				return nil, "", fmt.Errorf("head.init: the model's head: %w; start with head.init: zeros", err)
			}
			return s.folder.Heads, "the model's", nil
		}
		return nil, "zeros", nil
	default:
		from, err := modelfolder.Open(init, "")
		if err != nil {
			return nil, "", fmt.Errorf("head.init: %w", err)
		}
		s.closers = append(s.closers, from.Close)
		have, ok := from.HeadSpec()
		if !ok || !sameHead(have, want) {
			return nil, "", fmt.Errorf("head.init: %s holds no head of kind %s, final %s", init, want.Kind, want.Final)
		}
		if from.UnknownClasses != nil {
			return nil, "", fmt.Errorf("head.init: %s: %w", init, from.UnknownClasses)
		}
		return from.Heads, init, nil
	}
}

func sameHead(a, b nnet.HeadSpec) bool {
	return a.Kind == b.Kind && a.Final == b.Final && (a.Kind != nnet.Scalar || a.Activation == b.Activation)
}

// network opens the network to train and initialises what is trained.
func (s *session) network(ctx context.Context) (*nnet.Network, error) {
	c := &s.c
	if c.Train == nnet.TrainHead {
		if err := s.cacheFeatures(ctx); err != nil {
			return nil, err
		}
	}
	heads, from, err := s.headSource()
	if err != nil {
		return nil, err
	}
	source := nnet.Weights{s.folder.Trunk}
	if heads != nil {
		source = nnet.Weights{heads, s.folder.Trunk}
	}
	network, err := nnet.New(s.spec(c.Train), s.backend, source)
	if err != nil {
		return nil, s.explain(err, c.Batch.Tokens, c.Batch.Trajectories)
	}
	s.closers = append(s.closers, network.Close)
	if err := s.folder.Release(); err != nil { // what is trained is a copy
		return nil, err
	}
	debug.FreeOSMemory() // copies on the way from the files took as much as the largest tensor, more than once
	s.record.HeadInit = from
	if heads == nil {
		if err := network.InitHead(s.data.meanTarget(c), *c.Seed); err != nil {
			return nil, err
		}
	}
	if from == "ridge" {
		if err := s.initRidge(ctx, network); err != nil {
			return nil, fmt.Errorf("head.init: ridge: %w", err)
		}
	}
	if _, adapted := s.folder.LoRA(); c.Train == nnet.TrainLoRA && !adapted {
		return network, network.InitAdapters(*c.Seed)
	}
	return network, nil
}

// cacheFeatures computes, or reads from the cache, the hidden states that train: head trains and evaluates on.
func (s *session) cacheFeatures(ctx context.Context) error {
	list := append(append([]*data.Example{}, s.data.train...), s.data.eval...)
	f, err := s.featuresOf(ctx, list)
	if err != nil {
		return err
	}
	s.features = f
	return nil
}

func (s *session) featuresOf(ctx context.Context, list []*data.Example) (*features, error) {
	dir, err := cacheDir(s.c.Cache)
	if err != nil {
		return nil, err
	}
	weights, err := s.folder.ContentHash()
	if err != nil {
		return nil, err
	}
	s.log.console.Start("hidden states", 0, len(list))
	defer s.log.console.Finish()
	cache := featureCache{
		dir: dir, weights: weights, backend: s.backend.Name(), arithmetic: s.c.DType, dtype: storage(s.dtype), hidden: s.folder.Config.HiddenSize,
		tokens: s.c.Batch.Tokens, ranks: s.c.ranks,
		warn: s.log.warnf, info: s.log.infof, tell: func(done, _ int) { s.log.console.Update(done, "") },
	}
	var network *nnet.Network
	f, err := cache.get(ctx, list, func() (*nnet.Network, error) {
		network, err = nnet.New(s.spec(nnet.TrainNothing), s.backend, nnet.Weights{s.folder.Trunk})
		return network, err
	})
	if network != nil {
		err = errors.Join(err, network.Close())
	}
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, f.Close)
	return f, nil
}

func storage(dtype tensor.Dtype) safetensors.DType {
	if dtype == engine.F64 {
		return safetensors.F64
	}
	return safetensors.F32
}

func absolute(path string) string {
	if full, err := filepath.Abs(path); err == nil {
		return full
	}
	return path
}
