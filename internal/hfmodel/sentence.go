package hfmodel

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// File names of a sentence-transformers folder.
const (
	ModulesName      = "modules.json"
	sentenceName     = "sentence_bert_config.json"
	sentencesName    = "config_sentence_transformers.json"
	maxSentenceFiles = 1 << 20 // bytes of these files
)

// Poolings that are implemented.
const (
	PoolMean = "mean"
	PoolCLS  = "cls"
	PoolMax  = "max"
)

// Sentence is a sentence-transformers folder: a BERT trunk, a pooling, maybe dense layers, maybe a normalisation to length 1.
type Sentence struct {
	Trunk         string // the folder of config.json, weights and tokenizer
	Config        *BERTConfig
	Pooling       string // PoolMean, PoolCLS or PoolMax
	IncludePrompt bool   // the pooling counts a prompt's tokens too
	Dense         []Dense
	Normalize     bool
	MaxSeqLength  int  // in tokens, special ones included; 0: not said
	LowerCase     bool // texts are lowercased whatever the tokenizer does
	Prompts       map[string]string
	DefaultPrompt string // a key of Prompts, or ""
}

// Dense is a linear layer after the pooling.
type Dense struct {
	Dir     string
	In, Out int
	Bias    bool
	Tanh    bool // the activation, else none
}

// Dim is the length of the embeddings.
func (s *Sentence) Dim() int {
	if n := len(s.Dense); n > 0 {
		return s.Dense[n-1].Out
	}
	return s.Config.HiddenSize
}

// ReadSentence reads a sentence-transformers folder's configuration. What else it asks for is refused by name: kinds of
// modules, poolings, activations, other inputs than text.
func ReadSentence(dir string) (*Sentence, error) {
	dir, err := Resolve(dir)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, ModulesName)
	text, err := readText(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: not a sentence-transformers folder", err)
	}
	if err != nil {
		return nil, err
	}
	var modules []struct{ Path, Type json.RawMessage }
	if err := json.Unmarshal(text, &modules); err != nil {
		return nil, fmt.Errorf("%s: not a list of modules: %w", path, err)
	}
	s := &Sentence{}
	for i, m := range modules {
		var sub, class string
		if json.Unmarshal(m.Path, &sub) != nil || json.Unmarshal(m.Type, &class) != nil {
			return nil, fmt.Errorf("%s: module %d: path and type must be texts", path, i)
		}
		if sub != "" && !filepath.IsLocal(sub) {
			return nil, fmt.Errorf("%s: module %d: path %q leaves the folder", path, i, sub)
		}
		// Packages moved between versions; the class names did not.
		kind := class[strings.LastIndexByte(class, '.')+1:]
		if !strings.HasPrefix(class, "sentence_transformers.") {
			kind = ""
		}
		if err := s.module(i, kind, filepath.Join(dir, sub)); err != nil {
			if errors.Is(err, errModule) {
				err = fmt.Errorf("%s: module %d of type %q: %w", path, i, class, err)
			}
			return nil, err
		}
	}
	if s.Pooling == "" {
		return nil, fmt.Errorf("%s: it wants a Transformer and a Pooling", path)
	}
	return s, s.readPrompts(filepath.Join(dir, sentencesName))
}

var errModule = errors.New("not supported here (known: Transformer, Pooling, then any Dense, then Normalize)")

func (s *Sentence) module(i int, kind, dir string) error {
	switch {
	case i == 0 && kind == "Transformer":
		s.Trunk = dir
		var err error
		if s.Config, err = ReadBERTConfig(dir); err != nil {
			return err
		}
		return s.readTransformer(filepath.Join(dir, sentenceName))
	case i == 1 && kind == "Pooling":
		return s.readPooling(filepath.Join(dir, ConfigName))
	case i >= 2 && kind == "Dense" && !s.Normalize:
		return s.readDense(dir)
	case i >= 2 && kind == "Normalize" && !s.Normalize:
		s.Normalize = true
		return readFields(filepath.Join(dir, ConfigName), true, func(f *fields) {
			f.expect("module_input_name", "sentence_embedding")
			f.expect("module_output_name", "sentence_embedding")
		})
	}
	return errModule
}

func (s *Sentence) readTransformer(path string) error {
	return readFields(path, true, func(f *fields) {
		if f.has("max_seq_length") {
			s.MaxSeqLength = f.count("max_seq_length", 0, maxPositions)
		}
		if s.MaxSeqLength > s.Config.MaxPositionEmbeddings {
			f.fail("max_seq_length %d is beyond max_position_embeddings %d", s.MaxSeqLength, s.Config.MaxPositionEmbeddings)
		}
		s.LowerCase = f.flag("do_lower_case")
		f.expect("transformer_task", "feature-extraction")
		f.expect("module_output_name", "token_embeddings")
		f.only("max_seq_length", "do_lower_case", "transformer_task", "module_output_name", "modality_config", "unpad_inputs")
	})
}

// poolings are the older keys of the modes.
var poolings = map[string]string{
	"pooling_mode_cls_token": PoolCLS, "pooling_mode_max_tokens": PoolMax, "pooling_mode_mean_tokens": PoolMean,
	"pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens", "pooling_mode_weightedmean_tokens": "weightedmean",
	"pooling_mode_lasttoken": "lasttoken",
}

func (s *Sentence) readPooling(path string) error {
	return readFields(path, false, func(f *fields) {
		known := []string{"pooling_mode", "word_embedding_dimension", "embedding_dimension", "include_prompt"}
		var modes []string
		for _, key := range slices.Sorted(maps.Keys(poolings)) {
			known = append(known, key)
			if f.flag(key) {
				modes = append(modes, poolings[key])
			}
		}
		if f.has("pooling_mode") {
			modes = []string{f.text("pooling_mode", "")}
		}
		if len(modes) == 0 {
			modes = []string{PoolMean} // as sentence-transformers does
		}
		if f.err == nil && (len(modes) != 1 || !slices.Contains([]string{PoolMean, PoolCLS, PoolMax}, modes[0])) {
			f.fail("pooling %s is not supported; one of mean, cls and max is", strings.Join(modes, "+"))
		}
		s.Pooling, s.IncludePrompt = modes[0], read(f, "include_prompt", "true or false", true)
		for _, key := range []string{"word_embedding_dimension", "embedding_dimension"} {
			if n := f.count(key, s.Config.HiddenSize, maxHidden); n != s.Config.HiddenSize {
				f.fail("%s is %d, hidden_size %d", key, n, s.Config.HiddenSize)
			}
		}
		f.only(known...)
	})
}

func (s *Sentence) readDense(dir string) error {
	d := Dense{Dir: dir}
	in := s.Dim()
	err := readFields(filepath.Join(dir, ConfigName), false, func(f *fields) {
		d.In, d.Out = f.count("in_features", 0, maxHidden), f.count("out_features", 0, maxHidden)
		d.Bias = read(f, "bias", "true or false", true)
		switch activation := f.text("activation_function", "torch.nn.modules.activation.Tanh"); activation {
		case "torch.nn.modules.activation.Tanh":
			d.Tanh = true
		case "torch.nn.modules.linear.Identity":
		default:
			f.fail("activation_function %q is not supported; torch.nn.modules.activation.Tanh and torch.nn.modules.linear.Identity are", activation)
		}
		if f.err == nil && d.In != in {
			f.fail("in_features is %d, what comes before gives %d", d.In, in)
		}
		f.expect("module_input_name", "sentence_embedding")
		f.expect("module_output_name", "sentence_embedding")
		f.expect("use_residual", false)
		f.only("in_features", "out_features", "bias", "activation_function", "module_input_name", "module_output_name", "use_residual")
	})
	s.Dense = append(s.Dense, d)
	return err
}

func (s *Sentence) readPrompts(path string) error {
	return readFields(path, true, func(f *fields) {
		s.Prompts = read(f, "prompts", "an object of texts", map[string]string(nil))
		s.DefaultPrompt = f.text("default_prompt_name", "")
		if _, ok := s.Prompts[s.DefaultPrompt]; s.DefaultPrompt != "" && !ok {
			f.fail("default_prompt_name %q is not among prompts", s.DefaultPrompt)
		}
		if f.has("truncate_dim") {
			f.fail("truncate_dim %s is not supported", shorten(f.raw("truncate_dim")))
		}
	})
}

// Hash is the SHA-256, in hex, over everything that an embedding depends on: configuration, weights and tokenizer files.
func (s *Sentence) Hash() (string, error) {
	sum := sha256.New()
	dirs := []string{s.Trunk}
	for _, d := range s.Dense {
		dirs = append(dirs, d.Dir)
	}
	for _, dir := range dirs {
		h, err := Hash(dir)
		if err != nil {
			return "", err
		}
		_, _ = fmt.Fprintln(sum, h)
	}
	for _, name := range []string{"tokenizer.json", "vocab.txt", "tokenizer_config.json"} {
		if err := hashFile(context.Background(), sum, s.Trunk, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	_, _ = fmt.Fprintln(sum, s.Pooling, s.Dense == nil, s.Normalize, s.MaxSeqLength, s.LowerCase)
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// readText is readJSON for small files of any JSON value.
func readText(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxSentenceFiles {
		return nil, fmt.Errorf("%s: not a regular file of at most %d bytes", path, maxSentenceFiles)
	}
	return os.ReadFile(path)
}

// readFields reads a JSON object; errors get the file's name.
func readFields(path string, optional bool, read func(f *fields)) error {
	text, err := readJSON(path)
	if optional && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	f := &fields{}
	if f.err = json.Unmarshal(text, &f.values); f.err == nil {
		read(f)
	}
	if f.err != nil {
		return fmt.Errorf("%s: %w", path, f.err)
	}
	return nil
}

// only refuses keys that nobody read.
func (f *fields) only(known ...string) {
	for _, key := range slices.Sorted(maps.Keys(f.values)) {
		if !slices.Contains(known, key) && f.has(key) {
			f.fail("%s is not known", key)
		}
	}
}
