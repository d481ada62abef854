package prm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/data/tokenizer"
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/formats"
	"github.com/goprm/goprm/internal/hfmodel"
	"github.com/goprm/goprm/internal/mmap"
	"github.com/goprm/goprm/internal/modelfolder"
	"github.com/goprm/goprm/internal/nnet"
	"github.com/goprm/goprm/internal/prefix"
	"github.com/goprm/goprm/nn"
)

// OpenOptions say how to open a model for scoring; the zero value chooses everything.
type OpenOptions struct {
	// Device is auto, cpu, cuda:0, or several GPUs, as cuda:0,cuda:1: each holds the whole model, and texts go to the one with the fewest
	// tokens to read.
	Device  string
	Backend string // auto, portable, avx2, avx512, avx512bf16, ...
	Threads int    // 0: as many as Go uses; changes no score
	// DType is of the arithmetic: auto, f32, f64, bf16 on a GPU or a CPU with AVX512_BF16, or int8 on the CPU, whose projections multiply
	// int8: other scores, close to f32's, sooner.
	DType string
	// Format names the public format of a folder that has no goprm.json; "": what the folder shows, if that is one format.
	Format string
	// GoodClass is the class, 0 or 1, of a two-class head that stands for a good step; nil: as id2label of config.json names it, 1 where
	// the names say nothing (LABEL_0, LABEL_1). Names that are not known for good and bad need it.
	GoodClass *int
	// Tokenizer, if set, turns text into tokens instead of the folder's files. A model that was trained with
	// TrainConfig.Tokenizer needs the same one.
	Tokenizer tokenizer.Tokenizer
	// Reference is the folder of the language model that an implicit reward is relative to; for the format eurus alone.
	Reference string
	// MaxTokens is the longest text that is read at once, at most what the model was trained for; 0: that. Longer trajectories are read
	// in windows over whole steps, see data.Windows.
	MaxTokens int
	// LowMemory releases each weight's pages after use, so peak memory is about one matrix; slower, same scores. It is enabled
	// automatically when the weights exceed half of available memory. A GPU holds all weights in its own memory and refuses it.
	LowMemory bool
	// CacheTokens is how many tokens' keys and values are kept, so that a text which begins like an earlier one costs what is new alone;
	// it changes no score. 0: none. nil: 16384, less where a quarter of the memory would not hold them, from the first Session on, and
	// none before. Model.Cache says what became of it.
	CacheTokens *int
	// Expr is the head of a model that nn.Network.Save wrote with one: the same expression as in training. Others refuse it.
	Expr func(*nn.Expr) error
	// Base is where the base of an adapter or a head lies now; "": where it lay in training.
	Base string
	// VerifyLater lets the content of the base be checked while the first texts are read, where Open else waits for it: some seconds of a
	// large model. Nothing is returned of a model whose base turns out to be another.
	VerifyLater bool
}

// formatGoprm is the format of folders with a goprm.json.
const formatGoprm = "goprm"

// Model is a process reward model, open for scoring. Its weights stay in their files, mapped into memory.
//
// It is safe for concurrent use. Texts of several callers are read together, which changes no score, and uses the device better than
// several models would. A caller whose context ends returns at once; the run goes on for the others, and stops, within one kernel,
// when it has no caller left.
type Model struct {
	format  string
	public  *formats.Format // nil: goprm's own
	card    modelfolder.Card
	folder  *modelfolder.Folder
	backend engine.Backend
	network *nnet.Network
	// reference and its folder are there for implicit rewards alone.
	reference       *nnet.Network
	referenceFolder *modelfolder.Folder
	badWeights      func() error // names a tensor that holds NaN or Inf; it reads all weights, once
	info            ModelInfo
	queue           textQueue
	replicas        []*Model     // on further devices
	sessions        atomic.Int64 // that were given to this device
	hashing         sync.Mutex   // of the folder's content, which is remembered
	closing         sync.Once
	closed          error // of Close

	prefixes *prefix.Cache // what the network's cache holds; nil without one; as the network, for who has queue's turn
	cache    struct {
		sync.Mutex
		want *int       // OpenOptions.CacheTokens
		info *CacheInfo // nil: not decided yet
	}
	// renderWithin returns the texts in which the trajectory's steps are read, each of them in one, of at most total tokens (0: any number).
	renderWithin func(ctx context.Context, t *data.Trajectory, total int) ([]*data.Example, error)
	cut          func(t *data.Trajectory) (thinking, response data.Cut)
}

// ModelInfo describes an open model.
type ModelInfo struct {
	Format        string   // goprm, or the name of a public format
	Backend       string   // device and kernels, e.g. cpu/avx2
	DType         string   // of the arithmetic
	Parts         []string // what was trained: thinking, response, trajectory
	Alpha         float64  // weight of the trajectory's score in the reward
	Threshold     float64  // a step that scores below it counts as wrong
	MaxTokens     int      // longest text
	HiddenSize    int
	Layers        int
	HasTrajectory bool // it scores trajectories as a whole
	Streamed      bool // the layers' weights do not fit in the device's memory, and are brought there for each batch
}

// Open opens a model folder: one that Train wrote, a checkpoint of a run, or one of the public formats that internal/formats
// describes. The content of the base of an adapter or a head is checked by its hash, see OpenOptions.VerifyLater.
func Open(dir string, opt OpenOptions) (*Model, error) {
	if opt.CacheTokens != nil && *opt.CacheTokens < 0 {
		return nil, fmt.Errorf("cache_tokens: %d is negative", *opt.CacheTokens)
	}
	if opt.GoodClass != nil && *opt.GoodClass != 0 && *opt.GoodClass != 1 {
		return nil, fmt.Errorf("good_class: %d is neither 0 nor 1", *opt.GoodClass)
	}
	m := &Model{}
	m.queue.read, m.cache.want = m.readTexts, opt.CacheTokens
	var err error
	openFolder := modelfolder.Open
	if opt.VerifyLater {
		openFolder = modelfolder.OpenUnverified
	}
	if m.folder, err = openFolder(dir, opt.Base); err != nil {
		return nil, err
	}
	if err := mmap.Guard(func() error { return m.open(opt) }); err != nil {
		return nil, errors.Join(cmp.Or(m.folder.Verify(), err), m.Close())
	}
	return m, nil
}

func (m *Model) open(opt OpenOptions) error {
	m.badWeights = sync.OnceValue(m.checkFinite)
	m.folder.Own = opt.Tokenizer
	if err := m.recognise(opt.Format, opt.GoodClass); err != nil {
		return err
	}
	if err := m.setText(opt.MaxTokens); err != nil {
		return err
	}
	devices, err := deviceList(opt.Device)
	if err != nil {
		return err
	}
	opt.Device = devices[0]
	if err := m.bringTo(opt); err != nil {
		return err
	}
	if err := m.replicate(devices[1:], opt); err != nil || opt.CacheTokens == nil {
		return err
	}
	for _, d := range m.devices() {
		if _, err := d.keepPrefixes(opt.CacheTokens); err != nil {
			return err
		}
	}
	return nil
}

// bringTo brings the model to the device of the options.
func (m *Model) bringTo(opt OpenOptions) (err error) {
	if m.backend, err = openBackend(opt.Device, opt.Backend, opt.DType, opt.Threads); err != nil {
		return err
	}
	dtypeName, err := engine.ResolveDType(opt.DType, m.backend)
	if err != nil {
		return err
	}
	dtype := engine.F32
	if dtypeName != engine.Int8 {
		if dtype, err = engine.ParseDType(dtypeName); err != nil {
			return fmt.Errorf("dtype: %w", err)
		}
	}
	if opt.LowMemory && dtypeName == engine.Int8 {
		return errors.New("low memory: dtype int8 has a copy of the projections in memory; use another dtype")
	}
	if _, shares := m.backend.(engine.SharesHostMemory); opt.LowMemory && !shares {
		return fmt.Errorf("low memory: %s has a copy of all weights in its own memory; use the device cpu", m.backend.Name())
	}
	if opt.LowMemory || exceeds(m.folder.Root) {
		m.backend = releasingFor(m.backend, m.folder.Root)
	}
	spec := nnet.Spec{
		Config: m.folder.Config, DType: dtype, Int8: dtypeName == engine.Int8, Train: nnet.TrainNothing, Head: m.card.Head.Spec(),
	}
	if lora, ok := m.folder.LoRA(); ok {
		spec.Adapters, spec.LoRA = true, lora
	}
	heads := m.folder.Heads
	switch {
	case opt.Expr != nil && !m.card.CustomHead:
		return fmt.Errorf("%s: its head is no expression; leave OpenOptions.Expr out", m.folder.Dir)
	case m.card.CustomHead && opt.Expr == nil:
		return fmt.Errorf("%s: its head is an expression of the program that trained it; give the same one in OpenOptions.Expr", m.folder.Dir)
	case m.card.CustomHead:
		spec.Expr = opt.Expr
	}
	if m.public != nil {
		spec.Head, heads = m.public.Head, m.public.Tensors
	} else if spec.Head.Kind == "" && spec.Expr != nil { // the expression names its tensors
	} else if err := m.checkParts(spec.Head); err != nil {
		return err
	}
	if err := m.chooseStreaming(&spec, opt.Reference != ""); err != nil {
		return err
	}
	if m.network, err = nnet.New(spec, m.backend, nnet.Weights{heads, m.folder.Trunk}); err != nil {
		return err
	}
	if err := m.openReference(opt.Reference, spec); err != nil {
		return err
	}
	m.info = ModelInfo{
		Format: m.format, Backend: m.backend.Name(), DType: dtypeName, Parts: m.card.Parts,
		Alpha: m.card.Alpha, Threshold: m.card.Threshold, MaxTokens: m.card.Text.MaxTokens,
		HiddenSize: m.folder.Config.HiddenSize, Layers: m.folder.Config.NumHiddenLayers, HasTrajectory: m.hasTrajectory(),
		Streamed: spec.Streamed,
	}
	return nil
}

// recognise finds the format, and what a public format stands for.
func (m *Model) recognise(format string, good *int) error {
	if m.folder.Card != nil {
		if format != "" && format != formatGoprm {
			return fmt.Errorf("%s: it has a %s, so it is not to be read as %s", m.folder.Dir, modelfolder.CardName, format)
		}
		if good != nil {
			return fmt.Errorf("%s: good_class: %s says which class is the good one", m.folder.Dir, modelfolder.CardName)
		}
		m.format, m.card = formatGoprm, *m.folder.Card
		return nil
	}
	head, fits := formats.Recognise(m.folder.Config, m.folder.Root)
	switch {
	case len(fits) == 0:
		return fmt.Errorf("%s: no reward model: no %s, and no head that a public format has; its head is %s; architectures of config.json: %s",
			m.folder.Dir, modelfolder.CardName, head, cmp.Or(strings.Join(m.folder.Config.Architectures, ", "), "none"))
	case format == "" && len(fits) > 1:
		return &AmbiguousFormatError{m.folder.Dir, fits}
	case format != "" && !slices.Contains(fits, format):
		return fmt.Errorf("%s: format %q does not fit; what fits is %s", m.folder.Dir, format, strings.Join(fits, ", "))
	case format == "":
		format = fits[0]
	}
	m.format = format
	if err := hfmodel.CheckUsed(m.folder.Root, m.folder.Extra, formats.FilesBeside(format)); err != nil {
		return err
	}
	tok, err := openTokenizer(m.folder)
	if err != nil {
		return err
	}
	text, err := data.ReadModelText(m.folder.TextDir)
	if err != nil {
		return err
	}
	source := &formats.Folder{Dir: m.folder.Dir, Config: m.folder.Config, Weights: m.folder.Root, Tokenizer: tok, Text: text, GoodClass: good}
	if m.public, err = formats.Open(format, source); err != nil {
		return err
	}
	m.card = modelfolder.Card{Parts: []string{modelfolder.PartThinking, modelfolder.PartResponse}, Over: "trained", Alpha: 1,
		Threshold: m.public.Threshold}
	if m.public.Outcome {
		m.card.Parts = []string{modelfolder.PartTrajectory}
	}
	return nil
}

// checkParts refuses a folder that lacks tensors of its head or adapters: the network would take them for zeros.
func (m *Model) checkParts(head nnet.HeadSpec) error {
	names := []string{"score.weight", "score.bias"}
	if head.Kind == nnet.TwoClassMLP {
		names = []string{"score.0.weight", "score.0.bias", "score.2.weight", "score.2.bias"}
	}
	for _, name := range names {
		if m.folder.Heads == nil {
			return fmt.Errorf("%s: it has no head", m.folder.Dir)
		}
		if _, ok := m.folder.Heads(name); !ok {
			return fmt.Errorf("%s: tensor %q of the head is missing", m.folder.Dir, name)
		}
	}
	return nil
}

func (m *Model) setText(maxTokens int) error {
	if m.public != nil {
		if maxTokens != 0 {
			if err := m.public.SetLimit(maxTokens); err != nil {
				return fmt.Errorf("max_tokens: %w", err)
			}
		}
		m.card.Text.MaxTokens = m.public.MaxTokens()
		m.cut = m.public.Cut
		m.renderWithin = func(ctx context.Context, t *data.Trajectory, total int) ([]*data.Example, error) {
			list, err := m.public.RenderWithin(ctx, t, total)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", describeTrajectory(t, 0), err)
			}
			return list, nil
		}
		return nil
	}
	text := m.card.Text
	text.Long = "error" // nothing is cut off; RenderWindows has its own way
	r, err := newRenderer(m.folder, text)
	if err != nil {
		return err
	}
	limit := r.MaxTokens()
	if maxTokens < 0 || limit > 0 && maxTokens > limit {
		return fmt.Errorf("max_tokens: %d is not from 1 to the model's %d", maxTokens, limit)
	}
	if maxTokens != 0 {
		limit = maxTokens
	}
	m.card.Text.MaxTokens = limit
	m.cut = func(t *data.Trajectory) (data.Cut, data.Cut) { return t.Cut(text.Split) }
	m.renderWithin = func(ctx context.Context, t *data.Trajectory, total int) ([]*data.Example, error) {
		return r.RenderWithin(ctx, t, data.RenderLimits{Window: limit, Total: total})
	}
	return nil
}

func (m *Model) render(t *data.Trajectory) ([]*data.Example, error) {
	return m.renderWithin(context.Background(), t, 0)
}

// Info describes the model.
func (m *Model) Info() ModelInfo {
	info := m.info
	info.Parts = slices.Clone(info.Parts)
	return info
}

func (m *Model) hasTrajectory() bool {
	return slices.Contains(m.card.Parts, modelfolder.PartTrajectory)
}

// Err is a *LostError when a file of the weights was cut short or changed while the model was open, a *DeviceLostError when the device, or
// each of several, computes nothing any more, or says that its base is not the one it was made with, see OpenOptions.VerifyLater. Every
// call returns it from then on; only Close is of use. nil: the model works.
func (m *Model) Err() error {
	var first error
	for _, d := range m.devices() {
		err := d.lost()
		if err == nil {
			return nil
		}
		first = cmp.Or(first, err)
	}
	return first
}

// lost is why the model is of no more use on the device that m itself is on.
func (m *Model) lost() error {
	m.queue.mu.Lock()
	defer m.queue.mu.Unlock()
	return m.queue.lost
}

// Close waits for the run at hand, then unmaps the weights and releases the devices. Calls that wait, and all later ones, fail with
// ErrClosed. It may be called several times.
func (m *Model) Close() error {
	m.closing.Do(func() {
		var failed []error
		for _, d := range m.devices() {
			d.queue.close()
		}
		for _, d := range m.devices() {
			failed = append(failed, d.leave())
		}
		if m.referenceFolder != nil {
			failed = append(failed, m.referenceFolder.Close())
		}
		m.closed = errors.Join(append(failed, m.folder.Close())...)
	})
	return m.closed
}

// leave gives up the device.
func (m *Model) leave() error {
	var failed []error
	for _, n := range []*nnet.Network{m.network, m.reference} {
		if n != nil {
			failed = append(failed, n.Close())
		}
	}
	if m.backend != nil {
		failed = append(failed, m.backend.Close())
	}
	if err := errors.Join(failed...); m.lost() == nil { // of a lost device nothing can be given back
		return err
	}
	return nil
}
