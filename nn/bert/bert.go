// Package bert runs sentence encoders: sentence-transformers folders of BERT architecture, such as all-MiniLM-L6-v2, BGE
// and E5, on the engine that runs the reward models. It only infers.
package bert

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/goprm/goprm/data/label"
	"github.com/goprm/goprm/data/tokenizer"
	_ "github.com/goprm/goprm/internal/cpu" // registers the device
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/hfmodel"
	"github.com/goprm/goprm/internal/ops"
	"github.com/goprm/goprm/nn"
	"gorgonia.org/gorgonia"
)

// Options say how an encoder is opened. The zero value takes what the folder and the machine say.
type Options struct {
	Device  string // auto, cpu
	Backend string // auto, portable, avx2
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

// batchTokens and batchTexts are a machine's capacity, unless one text is longer: large enough for the products to run at
// full speed, small enough for a batch's activations to stay in the processor's caches.
const (
	batchTokens = 1024
	batchTexts  = 128
)

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
}

var _ label.Encoder = (*Encoder)(nil)

// Open opens a sentence-transformers folder: modules.json and what it names, config.json and weights of model_type bert in
// safetensors, tokenizer.json or vocab.txt. What the files ask for and is not implemented is refused by name.
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
	e.id = fmt.Sprintf("sentence pooling=%s normalize=%t max_seq_length=%d prompt=%q sha256=%s", s.Pooling, s.Normalize, e.limit, e.prompt, hash)
	return e.compile(opt)
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
func (e *Encoder) openWeights() ([]nn.Files, error) {
	dirs := []string{e.sentence.Trunk}
	for _, d := range e.sentence.Dense {
		dirs = append(dirs, d.Dir)
	}
	var sources []nn.Files
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
		sources = append(sources, nn.Files{func(name string) (nn.Stored, bool) {
			t, ok := w.Lookup(prefix + name)
			if !ok {
				return nn.Stored{File: dir}, false
			}
			return nn.Stored{File: t.File.Path(), Info: t.Info, Data: t.Bytes}, true
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

// Encode returns the texts' embeddings. The empty text has one too, that of the special tokens alone, as in
// sentence-transformers. Errors name the text by its index.
func (e *Encoder) Encode(ctx context.Context, texts []string) ([][]float32, error) {
	wide, err := e.encode(ctx, texts)
	if err != nil {
		return nil, err
	}
	flat, out := make([]float32, len(texts)*e.Dim()), make([][]float32, len(texts))
	for i, w := range wide {
		row := flat[i*e.Dim():][:e.Dim():e.Dim()]
		for j, v := range w {
			row[j] = float32(v)
		}
		out[i] = row
	}
	return out, nil
}

func (e *Encoder) encode(ctx context.Context, texts []string) ([][]float64, error) {
	out := make([][]float64, 0, len(texts))
	var b batch
	flush := func() error {
		if err := ctx.Err(); err != nil {
			return err
		}
		rows, err := e.run(&b)
		for i, row := range rows {
			if err == nil {
				err = e.finish(row)
			}
			if err != nil {
				return fmt.Errorf("text %d: %w", len(out)+i, err)
			}
		}
		out, b = append(out, rows...), batch{}
		return err
	}
	for i, text := range texts {
		ids, dropped, err := e.tokenizer.Encode(e.prompt+text, e.limit)
		if err != nil {
			return nil, fmt.Errorf("text %d: %w", i, err)
		}
		if dropped > 0 {
			e.truncated.Add(1)
		}
		if b.texts() > 0 && (len(b.ids)+len(ids) > batchTokens || b.texts() == batchTexts) {
			if err := flush(); err != nil {
				return nil, err
			}
		}
		b.add(ids)
	}
	if b.texts() > 0 {
		if err := flush(); err != nil {
			return nil, err
		}
	}
	return out, ctx.Err()
}

// batch is texts laid end to end.
type batch struct{ ids, positions, starts []int32 }

func (b *batch) texts() int { return len(b.starts) }

func (b *batch) add(ids []int32) {
	b.starts = append(b.starts, int32(len(b.ids)))
	for i := range ids {
		b.positions = append(b.positions, int32(i))
	}
	b.ids = append(b.ids, ids...)
}

// run computes a batch's embeddings, before their normalisation.
func (e *Encoder) run(b *batch) ([][]float64, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.machine == nil {
		return nil, errors.New("the encoder is closed")
	}
	cu := append(append([]int32{}, b.starts...), int32(len(b.ids)))
	offsets, ranges := make([]int32, len(cu)), make([]int32, 0, len(cu)*ops.RangeLen)
	for s := range b.texts() {
		offsets[s+1] = int32(s + 1)
		ranges = append(ranges, ops.BufferBatch, cu[s], cu[s+1], ops.MaskFull, 0)
	}
	m := e.model
	uploads := []upload{{m.ids, b.ids}, {m.positions, b.positions}, {m.keys.CuSeqlens, cu}, {m.keys.RangeOffsets, offsets}, {m.keys.Ranges, ranges}}
	if m.starts != nil {
		uploads = append(uploads, upload{m.starts, b.starts})
	}
	for _, u := range uploads {
		if err := e.machine.Upload(u.node, bytesOf(u.data)); err != nil {
			return nil, err
		}
	}
	if err := e.machine.SetLive(len(b.ids), b.texts(), b.texts()); err != nil {
		return nil, err
	}
	if err := e.machine.RunAll(); err != nil {
		return nil, err
	}
	return e.download(b.texts())
}

type upload struct {
	node *gorgonia.Node
	data []int32
}

func (e *Encoder) download(rows int) ([][]float64, error) {
	t, dim := e.machine.Output(e.model.embeddings), e.Dim()
	wide := make([]float64, rows*dim)
	if t.Dtype() == engine.F64 {
		if err := e.backend.Download(bytesOf(wide), t); err != nil {
			return nil, err
		}
	} else {
		narrow := make([]float32, rows*dim)
		if err := e.backend.Download(bytesOf(narrow), t); err != nil {
			return nil, err
		}
		for i, v := range narrow {
			wide[i] = float64(v)
		}
	}
	out := make([][]float64, rows)
	for i := range out {
		out[i] = wide[i*dim:][:dim:dim]
	}
	return out, nil
}

// finish normalises an embedding where the folder says so, and refuses one that is no vector of numbers.
func (e *Encoder) finish(row []float64) error {
	var squares float64
	for _, v := range row {
		squares += v * v
	}
	if math.IsNaN(squares) || math.IsInf(squares, 0) {
		return errors.New("its embedding is not finite: the weights are damaged, or too large for f32")
	}
	if !e.sentence.Normalize {
		return nil
	}
	const least = 1e-12 // the norm that PyTorch divides by at least
	norm := max(math.Sqrt(squares), least)
	for i := range row {
		row[i] /= norm
	}
	return nil
}

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

func bytesOf[T engine.Number](v []T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), len(v)*int(unsafe.Sizeof(*new(T))))
}
