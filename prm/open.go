package prm

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/data/tokenizer"
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/hfmodel"
	"github.com/goprm/goprm/nn"
)

// OpenOptions say how to open a model for scoring; the zero value chooses everything.
type OpenOptions struct {
	Device  string // auto, cpu, cuda:0
	Backend string // auto, portable, avx2, ...
	Threads int    // 0: as many as Go uses; changes no score
	DType   string // of the arithmetic: auto, f32, f64
	// Format names the public format of a folder that has no goprm.json; "": what the folder shows, if that is one format.
	Format string
	// Base is where the base of an adapter or a head lies now; "": where it lay in training.
	Base string
}

// Formats that Open reads besides its own.
const (
	formatGoprm               = "goprm"
	formatQwenMathPRM         = "qwen_math_prm"
	formatTokenClassification = "token_classification"
)

// Model is a process reward model, open for scoring. Its weights stay in their files, mapped into memory. It is not safe
// for concurrent use.
type Model struct {
	format  string
	card    card
	folder  *folder
	backend engine.Backend
	network *nn.Network
	render  func(t *data.Trajectory) (*data.Example, error)
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
}

// Open opens a model folder: one that Train wrote, a checkpoint of a run, or one of the public formats qwen_math_prm and
// token_classification. The content of the base of an adapter or a head is checked by its hash.
func Open(dir string, opt OpenOptions) (*Model, error) {
	m := &Model{}
	var err error
	if m.folder, err = openFolder(dir, opt.Base); err != nil {
		return nil, err
	}
	if err := m.open(opt); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

func (m *Model) open(opt OpenOptions) error {
	if err := m.recognise(opt.Format); err != nil {
		return err
	}
	var err error
	if m.backend, err = openBackend(opt.Device, opt.Backend, opt.Threads); err != nil {
		return err
	}
	dtypeName, err := resolveDType(opt.DType, m.backend)
	if err != nil {
		return err
	}
	dtype, err := engine.ParseDType(dtypeName)
	if err != nil {
		return fmt.Errorf("dtype: %w", err)
	}
	spec := nn.Spec{
		Config: m.folder.config, DType: dtype, Train: nn.TrainNothing, Bias: m.folder.config.AttentionBias, Head: m.card.Head.spec(),
	}
	if lora, ok := m.folder.lora(); ok {
		spec.Adapters, spec.LoRA = true, lora
	}
	if err := m.checkParts(spec.Head); err != nil {
		return err
	}
	if m.network, err = nn.New(spec, m.backend, nn.Files{m.folder.heads, m.folder.trunk}); err != nil {
		return err
	}
	return m.setText()
}

// recognise finds the format, and what a public format stands for.
func (m *Model) recognise(format string) error {
	if m.folder.card != nil {
		if format != "" && format != formatGoprm {
			return fmt.Errorf("%s: it has a %s, so it is not to be read as %s", m.folder.dir, cardName, format)
		}
		m.format, m.card = formatGoprm, *m.folder.card
		return nil
	}
	fits := hfmodel.Formats(m.folder.config, m.folder.root)
	switch {
	case len(fits) == 0:
		return fmt.Errorf("%s: no reward model: no %s, and no head that a public format has", m.folder.dir, cardName)
	case format == "" && len(fits) > 1:
		return fmt.Errorf("%s: several formats fit: %s; name one", m.folder.dir, strings.Join(fits, ", "))
	case format != "" && !slices.Contains(fits, format):
		return fmt.Errorf("%s: format %q does not fit; what fits is %s", m.folder.dir, format, strings.Join(fits, ", "))
	case format == "":
		format = fits[0]
	}
	m.format = format
	m.card = card{Parts: []string{partThinking, partResponse}, Over: "trained", Alpha: 1, Threshold: 0.5}
	switch format {
	case formatQwenMathPRM:
		m.card.Head = cardHead{Kind: nn.TwoClassMLP, Final: "shared"}
		m.card.Text = data.DefaultText()
		m.card.Text.ThinkTags, m.card.Text.Separator, m.card.Text.StepMark, m.card.Text.Read = nil, "", "<extra_0>", "mark"
	case formatTokenClassification:
		m.card.Head = cardHead{Kind: nn.LinearTwoClass, Final: "shared"}
		m.card.Text = data.DefaultText() // of it only where the steps are cut
	default:
		return fmt.Errorf("%s: the format %s is not readable yet", m.folder.dir, format)
	}
	return nil
}

// checkParts refuses a folder that lacks tensors of its head or adapters: the network would take them for zeros.
func (m *Model) checkParts(head nn.HeadSpec) error {
	names := []string{"score.weight", "score.bias"}
	if head.Kind == nn.TwoClassMLP {
		names = []string{"score.0.weight", "score.0.bias", "score.2.weight", "score.2.bias"}
	}
	for _, name := range names {
		if m.folder.heads == nil {
			return fmt.Errorf("%s: it has no head", m.folder.dir)
		}
		if _, ok := m.folder.heads(name); !ok {
			return fmt.Errorf("%s: tensor %q of the head is missing", m.folder.dir, name)
		}
	}
	return nil
}

func (m *Model) setText() error {
	if m.format == formatTokenClassification {
		tok, err := openTokenizer(m.folder)
		if err != nil {
			return err
		}
		r := stepwiseText{tok: tok, split: m.card.Text.Split, maxTokens: m.folder.config.MaxPositionEmbeddings}
		m.render, m.card.Text.MaxTokens = r.render, r.maxTokens
		return nil
	}
	text := m.card.Text
	text.Long = "error" // a score of a part would pass for one of the whole
	r, err := textOf(m.folder, text)
	if err != nil {
		return err
	}
	m.card.Text.MaxTokens = r.MaxTokens()
	m.render = func(t *data.Trajectory) (*data.Example, error) {
		e, _, err := r.Render(t)
		return e, err
	}
	return nil
}

// Info describes the model.
func (m *Model) Info() ModelInfo {
	return ModelInfo{
		Format: m.format, Backend: m.backend.Name(), DType: engine.DTypeName(m.network.Spec().DType), Parts: slices.Clone(m.card.Parts),
		Alpha: m.card.Alpha, Threshold: m.card.Threshold, MaxTokens: m.card.Text.MaxTokens,
		HiddenSize: m.folder.config.HiddenSize, Layers: m.folder.config.NumHiddenLayers, HasTrajectory: m.hasTrajectory(),
	}
}

func (m *Model) hasTrajectory() bool { return slices.Contains(m.card.Parts, partTrajectory) }

// Close unmaps the weights and releases the device.
func (m *Model) Close() error {
	var failed []error
	if m.network != nil {
		failed = append(failed, m.network.Close())
	}
	if m.backend != nil {
		failed = append(failed, m.backend.Close())
	}
	return errors.Join(append(failed, m.folder.Close())...)
}

// stepwiseText is the text of TRL's stepwise models: the problem, then each step and a newline, every piece tokenised on
// its own; a step is read at its newline.
type stepwiseText struct {
	tok       tokenizer.Tokenizer
	split     string
	maxTokens int
}

func (s stepwiseText) render(t *data.Trajectory) (*data.Example, error) {
	fail := func(format string, args ...any) (*data.Example, error) {
		return nil, fmt.Errorf("%s: %w", whereOf(t, 0), fmt.Errorf(format, args...))
	}
	if err := t.Validate(); err != nil {
		return fail("%w", err)
	}
	e := &data.Example{ID: t.ID, Problem: data.KeyOf(t.Problem)}
	add := func(text string) error {
		ids, _, err := s.tok.Encode(text)
		e.Tokens = append(e.Tokens, ids...)
		return err
	}
	if err := add(t.Problem); err != nil {
		return fail("problem: %w", err)
	}
	thinking, response := t.Cut(s.split)
	for i, step := range slices.Concat(thinking.Steps, response.Steps) {
		if err := errors.Join(add(step), add("\n")); err != nil {
			return fail("step %d: %w", i, err)
		}
		part := data.Thinking
		if i >= len(thinking.Steps) {
			part = data.Response
		}
		e.Reads = append(e.Reads, data.ReadOut{Pos: int32(len(e.Tokens) - 1), Kind: data.Step, Part: part, Index: i})
	}
	if len(e.Reads) == 0 {
		return fail("no steps: thinking and response are empty")
	}
	if len(e.Tokens) > s.maxTokens {
		return fail("%d tokens, the model was trained for %d", len(e.Tokens), s.maxTokens)
	}
	return e, nil
}
