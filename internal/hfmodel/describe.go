package hfmodel

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/goprm/goprm/internal/checkpoint"
	"github.com/goprm/goprm/internal/hub"
	"github.com/goprm/goprm/internal/safetensors"
)

// goprmName is this project's own file in a model folder.
const goprmName = "goprm.json"

// headName is the file of a head that goprm trained alone.
const headName = "head.safetensors"

// Description is what a path holds; one of the pointers is set, by Kind.
type Description struct {
	Path       string                 `json:"path"`
	Kind       string                 `json:"kind"` // "safetensors", "torch", "model", "adapter", "head", "checkpoint", "tokenizer"
	Tensors    *TensorsDescription    `json:"safetensors,omitempty"`
	Model      *ModelDescription      `json:"model,omitempty"`
	Adapter    *AdapterDescription    `json:"adapter,omitempty"`
	Checkpoint *CheckpointDescription `json:"checkpoint,omitempty"`
	Tokenizer  *TokenizerDescription  `json:"tokenizer,omitempty"`
}

// TensorsDescription is the content of a safetensors file, or of a state dict of PyTorch.
type TensorsDescription struct {
	Bytes    int64               `json:"bytes"`    // of the file
	Elements int64               `json:"elements"` // of all tensors
	DTypes   map[string]int      `json:"dtypes"`   // tensors of each type
	Metadata map[string]string   `json:"metadata,omitempty"`
	Tensors  []TensorDescription `json:"tensors"` // by place
	// NotFinite are the tensors that hold NaN or Inf.
	NotFinite []string `json:"not_finite,omitempty"`
}

// TensorDescription is one tensor.
type TensorDescription struct {
	Name  string `json:"name"`
	DType string `json:"dtype"`
	Shape []int  `json:"shape"`
	Bytes int64  `json:"bytes"`
}

// ModelDescription is a model folder's content. The numbers named as in config.json mean the same.
type ModelDescription struct {
	Architectures         []string              `json:"architectures"`
	ModelType             string                `json:"model_type"`
	NumHiddenLayers       int                   `json:"num_hidden_layers"`
	HiddenSize            int                   `json:"hidden_size"`
	IntermediateSize      int                   `json:"intermediate_size"`
	NumAttentionHeads     int                   `json:"num_attention_heads"`
	NumKeyValueHeads      int                   `json:"num_key_value_heads"`
	HeadDim               int                   `json:"head_dim"`
	VocabSize             int                   `json:"vocab_size"`
	MaxPositionEmbeddings int                   `json:"max_position_embeddings"`
	RopeTheta             float64               `json:"rope_theta"`
	RopeScaling           string                `json:"rope_scaling,omitempty"`   // linear, dynamic, llama3 or yarn
	SlidingWindow         int                   `json:"sliding_window,omitempty"` // of some layers at least; 0: none
	TieWordEmbeddings     bool                  `json:"tie_word_embeddings"`
	Parameters            int64                 `json:"parameters"`       // elements of all tensors
	TrunkParameters       int64                 `json:"trunk_parameters"` // embeddings included, lm_head not
	Tensors               int                   `json:"tensors"`
	DTypes                map[string]int        `json:"dtypes"` // tensors of each type
	Bytes                 int64                 `json:"bytes"`  // of the weights' files
	Files                 int                   `json:"files"`
	MaxLength             int                   `json:"max_length"` // of a text: max_position_embeddings as far as RoPE scaling stretches it
	Head                  string                `json:"head"`
	Labels                []string              `json:"labels,omitempty"`        // what config.json calls the classes of the head
	GoodClass             *int                  `json:"good_class,omitempty"`    // of a two-class head; nil: the names do not tell
	Extra                 []string              `json:"extra_tensors,omitempty"` // neither trunk nor lm_head
	Formats               []string              `json:"formats"`                 // public PRM formats that fit
	Goprm                 bool                  `json:"goprm"`                   // holds a goprm.json
	Tokenizer             *TokenizerDescription `json:"tokenizer,omitempty"`     // nil: no tokenizer.json
}

// CheckpointDescription is a checkpoint folder's content, verified.
type CheckpointDescription struct {
	Step  int              `json:"step"`
	Bytes int64            `json:"bytes"`
	Files map[string]int64 `json:"files"` // bytes
	Meta  json.RawMessage  `json:"meta"`
}

// RecogniseHead describes what stands on the trunk, and lists the public PRM formats that have it.
type RecogniseHead func(c *Config, w *Weights) (description string, formats []string)

// Describe says what path holds: a safetensors file, a state dict of PyTorch, a tokenizer.json, a model, adapter, checkpoint or tokenizer
// folder.
// What it describes it has checked, so the error of a bad one is the reason why it cannot be used. The head of a model is described by
// recognise, which is formats.Recognise: this package does not know the formats.
func Describe(path string, recognise RecogniseHead) (*Description, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, hub.Missing(path, hub.Model, "file or folder")
	}
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		if path, err = Resolve(path); err != nil {
			return nil, err
		}
	}
	description := &Description{Path: path}
	if info.IsDir() {
		err = description.folder(path, recognise)
	} else {
		err = description.file(path, info)
	}
	if err != nil {
		return nil, err
	}
	return description, nil
}

func (d *Description) file(path string, info fs.FileInfo) (err error) {
	switch extension := strings.ToLower(filepath.Ext(path)); {
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s: not a regular file", path)
	case info.Size() == 0:
		return fmt.Errorf("%s: the file is empty", path)
	case extension == ".safetensors":
		d.Kind = "safetensors"
		d.Tensors, err = describeTensors(path)
	case extension == ".json":
		d.Kind = "tokenizer"
		d.Tokenizer, err = describeTokenizer(path)
	case isTorch(path):
		d.Kind = "torch"
		d.Tensors, err = describeTensors(path)
	default:
		return fmt.Errorf("%s: neither a safetensors file, a state dict of PyTorch, a tokenizer.json nor a folder", path)
	}
	return err
}

func (d *Description) folder(path string, recognise RecogniseHead) (err error) {
	has := func(name string) bool {
		_, err := os.Stat(filepath.Join(path, name))
		return err == nil
	}
	switch {
	case has("manifest.json"):
		d.Kind = "checkpoint"
		d.Checkpoint, err = describeCheckpoint(path)
	case has(AdapterConfigName) && !has(SingleName) && !has(IndexName):
		d.Kind = "adapter"
		d.Adapter, err = describeAdapter(path)
	case has(ConfigName):
		d.Kind = "model"
		d.Model, err = describeModel(path, recognise)
	case has(goprmName) && has(headName):
		d.Kind = "head"
		d.Tensors, err = describeWhole(filepath.Join(path, headName))
	case has(TokenizerName):
		d.Kind = "tokenizer"
		d.Tokenizer, err = describeTokenizer(filepath.Join(path, TokenizerName))
	default:
		return fmt.Errorf("%s: not a model, adapter, checkpoint or tokenizer folder: none of %s, %s, manifest.json, %s",
			path, ConfigName, AdapterConfigName, TokenizerName)
	}
	return err
}

// describeWhole describes a file of weights that are to be used: numbers that are none are an error.
func describeWhole(path string) (*TensorsDescription, error) {
	found, err := describeTensors(path)
	if err == nil && len(found.NotFinite) > 0 {
		err = fmt.Errorf("%s: tensor %q holds NaN or Inf", path, found.NotFinite[0])
	}
	return found, err
}

func describeTensors(path string) (*TensorsDescription, error) {
	file, err := openFile(path)
	if err != nil {
		return nil, err
	}
	found := &TensorsDescription{Bytes: file.Size(), DTypes: map[string]int{}, Tensors: make([]TensorDescription, 0, file.Len())}
	if f, ok := file.(*safetensors.File); ok {
		found.Metadata = f.Metadata()
	}
	for i := range file.Len() {
		tensor := file.At(i)
		found.Elements += tensor.Elements()
		found.DTypes[string(tensor.DType)]++
		found.Tensors = append(found.Tensors, TensorDescription{tensor.Name, string(tensor.DType), tensor.Shape, tensor.Bytes()})
	}
	found.NotFinite, err = notFinite(file)
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	return found, nil
}

func describeCheckpoint(path string) (*CheckpointDescription, error) {
	stored, err := checkpoint.Read(path)
	if err != nil {
		return nil, err
	}
	found := &CheckpointDescription{Step: stored.Step(), Files: stored.Files()}
	for _, bytes := range found.Files {
		found.Bytes += bytes
	}
	return found, stored.Meta(&found.Meta)
}

func describeModel(dir string, recognise RecogniseHead) (*ModelDescription, error) {
	config, err := ReadConfig(dir)
	if err != nil {
		return nil, err
	}
	weights, err := OpenWeights(dir)
	if err != nil {
		return nil, err
	}
	found, err := describeWeights(config, weights, recognise)
	if err == nil {
		err = weights.CheckFinite(nil)
	}
	if err := errors.Join(err, weights.Close()); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, TokenizerName)
	switch found.Tokenizer, err = describeTokenizer(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case found.Tokenizer.LargestID >= config.VocabSize:
		return nil, fmt.Errorf("%s: token ids up to %d, but the model's vocab_size is %d", path, found.Tokenizer.LargestID, config.VocabSize)
	}
	return found, nil
}

func describeWeights(c *Config, w *Weights, recognise RecogniseHead) (*ModelDescription, error) {
	trunk, err := CheckTrunk(c, w)
	if err != nil {
		return nil, err
	}
	if err := CheckHead(c, w, trunk.Extra); err != nil {
		return nil, err
	}
	head, fits := recognise(c, w)
	found := &ModelDescription{
		Architectures: c.Architectures, ModelType: c.ModelType, NumHiddenLayers: c.NumHiddenLayers, HiddenSize: c.HiddenSize,
		IntermediateSize: c.IntermediateSize, NumAttentionHeads: c.NumAttentionHeads, NumKeyValueHeads: c.NumKeyValueHeads,
		HeadDim: c.HeadDim, VocabSize: c.VocabSize, MaxPositionEmbeddings: c.MaxPositionEmbeddings, RopeTheta: c.RopeTheta,
		RopeScaling: c.RopeScaling.Kind, SlidingWindow: c.SlidingWindow,
		TieWordEmbeddings: c.TieWordEmbeddings, TrunkParameters: trunk.Parameters, DTypes: map[string]int{}, Files: len(w.files),
		Head: head, Formats: fits, Extra: trunk.Extra, MaxLength: c.MaxLength(),
	}
	found.describeLabels(c, w)
	if found.Formats == nil {
		found.Formats = []string{} // a list in JSON too
	}
	for _, file := range w.files {
		found.Bytes += file.Size()
		for _, tensor := range file.Tensors() {
			found.Tensors++
			found.Parameters += tensor.Elements()
			found.DTypes[string(tensor.DType)]++
		}
	}
	_, err = os.Stat(filepath.Join(w.dir, goprmName))
	found.Goprm = err == nil
	return found, nil
}

// describeLabels says which class of a two-class head is the good one.
func (m *ModelDescription) describeLabels(c *Config, w *Weights) {
	for _, name := range []string{"score.weight", "score.2.weight"} {
		t, ok := w.Lookup(name)
		if !ok {
			continue
		}
		m.Labels = c.Labels
		if good, err := c.Labels.Good(); err == nil && len(t.Info.Shape) == 2 && t.Info.Shape[0] == 2 {
			m.GoodClass = &good
		}
	}
}
