// Package bert runs sentence encoders: sentence-transformers folders of BERT architecture, such as all-MiniLM-L6-v2, BGE
// and E5, on the engine that runs the reward models. It only infers.
package bert

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/goprm/goprm/data/tokenizer"
	_ "github.com/goprm/goprm/internal/cpu" // registers the device
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/hfmodel"
	"github.com/goprm/goprm/internal/mmap"
	"github.com/goprm/goprm/internal/nnet"
	"gorgonia.org/gorgonia"
)

// Options say how an encoder is opened. The zero value takes what the folder and the machine say.
type Options struct {
	Device  string // auto, cpu
	Backend string // auto, portable, avx2, avx512
	Threads int    // 0: as many as Go uses; changes no embedding
	DType   string // of the arithmetic: "", auto and f32, or f64
	// Prompt is put before every text ("query: "); PromptName takes the folder's prompt of that name. Both empty: the
	// folder's default prompt, if it names one.
	Prompt, PromptName string
}

// Validate reports the first option that cannot be used.
func (o Options) Validate() error {
	if o.Prompt != "" && o.PromptName != "" {
		return fmt.Errorf("prompt %q and prompt_name %q: one of them at most", o.Prompt, o.PromptName)
	}
	if o.DType != "" && o.DType != "auto" && o.DType != "f32" && o.DType != "f64" {
		return fmt.Errorf("dtype: %q is none of auto, f32, f64", o.DType)
	}
	return nil
}

// Encoder is an open sentence encoder. It is safe for concurrent use: calls take turns at the arithmetic, which uses the
// threads by itself. A text's embedding has the same bits alone and beside any others.
type Encoder struct {
	sentence  *hfmodel.Sentence
	tokenizer *tokenizer.WordPiece
	id        string
	prompt    string
	limit     int // tokens of a text
	truncated atomic.Int64

	mu      sync.Mutex // guards what follows
	backend engine.Backend
	model   *model
	machine *engine.Machine
	weights []*hfmodel.Weights // the trunk's, then the dense layers'
	files   mmap.Reader        // of the weights
}

// Open opens a sentence-transformers folder: modules.json and what it names, config.json and weights of model_type bert in
// safetensors, tokenizer.json or vocab.txt. What else the files ask for is refused by name.
func Open(dir string, opt Options) (*Encoder, error) {
	if err := opt.Validate(); err != nil {
		return nil, err
	}
	sentence, err := hfmodel.ReadSentence(dir)
	if err != nil {
		return nil, err
	}
	e := &Encoder{sentence: sentence}
	if err := e.open(opt); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

func (e *Encoder) open(opt Options) error {
	s := e.sentence
	var err error
	if e.tokenizer, err = tokenizer.OpenWordPiece(s.Trunk, s.LowerCase); err != nil {
		return err
	}
	if size := e.tokenizer.Size(); size > s.Config.VocabSize {
		return fmt.Errorf("%s: the tokenizer has %d tokens, the model %d", s.Trunk, size, s.Config.VocabSize)
	}
	if e.limit = s.MaxSeqLength; e.limit == 0 {
		e.limit = s.Config.MaxPositionEmbeddings
		if own := e.tokenizer.MaxLength(); own > 0 {
			e.limit = min(e.limit, own)
		}
	}
	if _, err := e.tokenizer.Room(e.limit); err != nil {
		return fmt.Errorf("%s: %w", s.Trunk, err)
	}
	if err := e.setPrompt(opt); err != nil {
		return err
	}
	hash, err := s.Hash()
	if err != nil {
		return err
	}
	e.id = fmt.Sprintf("sentence pooling=%s normalize=%t max_seq_length=%d prompt=%q sha256=%s", s.Pooling, s.Normalize, e.limit, e.prompt,
		hash)
	return e.files.Do(func() error { return e.compile(opt) })
}

func (e *Encoder) setPrompt(opt Options) error {
	name := opt.PromptName
	if name == "" {
		name = e.sentence.DefaultPrompt
	}
	var known bool
	if e.prompt, known = e.sentence.Prompts[name]; name != "" && !known {
		return fmt.Errorf("prompt_name %q: the folder has no prompt of that name", name)
	}
	if opt.Prompt != "" {
		e.prompt = opt.Prompt
	}
	if e.prompt != "" && !e.sentence.IncludePrompt {
		return fmt.Errorf("include_prompt false with the prompt %q is not supported", e.prompt)
	}
	return nil
}

func (e *Encoder) compile(opt Options) error {
	dtype := engine.F32
	if opt.DType == "f64" {
		dtype = engine.F64
	}
	var err error
	if e.backend, err = engine.Open(opt.Device, engine.Options{Kernels: opt.Backend, Workers: opt.Threads}); err != nil {
		return err
	}
	sources, err := e.openWeights()
	if err != nil {
		return err
	}
	if e.model, err = newModel(e.sentence, dtype, max(batchTokens, e.limit), batchTexts); err != nil {
		return err
	}
	// Weights before memory: that the files hold what the configuration says bounds what is allocated.
	placed := make([]*engine.Tensor, len(e.model.params))
	for i, p := range e.model.params {
		host, err := sources[p.source].Load(p.name, dtype, p.shape)
		if err != nil {
			return err
		}
		if placed[i], err = engine.Place(e.backend, host); err != nil {
			return fmt.Errorf("tensor %s: %w", p.name, err)
		}
		e.files.Uses(host.Ptr)
	}
	if e.machine, err = engine.Compile(engine.Plan{Outputs: gorgonia.Nodes{e.model.embeddings}}, e.backend); err != nil {
		return err
	}
	for i, p := range e.model.params {
		if err := e.machine.Bind(p.node, placed[i]); err != nil {
			return err
		}
	}
	return e.machine.Upload(e.model.types, bytesOf(make([]int32, max(batchTokens, e.limit)))) // all texts are of type 0
}

// openWeights maps the files. A BertModel's tensors have no prefix, those of a BERT with a head "bert.".
func (e *Encoder) openWeights() ([]nnet.Weights, error) {
	dirs := []string{e.sentence.Trunk}
	for _, d := range e.sentence.Dense {
		dirs = append(dirs, d.Dir)
	}
	var sources []nnet.Weights
	for i, dir := range dirs {
		w, err := hfmodel.OpenWeights(dir)
		if err != nil {
			return nil, err
		}
		e.weights = append(e.weights, w)
		prefix := ""
		if i == 0 && w.Has("bert.embeddings.word_embeddings.weight") {
			prefix = "bert."
		}
		sources = append(sources, nnet.Weights{func(name string) (nnet.StoredTensor, bool) {
			t, ok := w.Lookup(prefix + name)
			if !ok {
				return nnet.StoredTensor{File: dir}, false
			}
			return nnet.StoredTensor{File: t.File.Path(), Info: t.Info, Data: t.Bytes}, true
		}})
	}
	return sources, nil
}

// ID names what an embedding depends on, beyond rounding: the files by their hash, pooling, prompt and length.
func (e *Encoder) ID() string { return e.id }

// Dim is the length of the embeddings.
func (e *Encoder) Dim() int { return e.sentence.Dim() }

// Truncated is how many texts so far were longer than max_seq_length and lost their end, as sentence-transformers does.
func (e *Encoder) Truncated() int64 { return e.truncated.Load() }

// Close frees the memory and unmaps the files. Later calls of Encode are errors.
func (e *Encoder) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	var errs []error
	if e.machine != nil {
		errs = append(errs, e.machine.Close())
	}
	if e.backend != nil {
		errs = append(errs, e.backend.Close())
	}
	for _, w := range e.weights {
		errs = append(errs, w.Close())
	}
	e.machine, e.backend, e.weights = nil, nil, nil
	return errors.Join(errs...)
}
