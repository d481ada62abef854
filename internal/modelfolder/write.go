package modelfolder

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/goprm/goprm/internal/atomicfile"
	"github.com/goprm/goprm/internal/hfmodel"
	"github.com/goprm/goprm/internal/nnet"
	"github.com/goprm/goprm/internal/safetensors"
)

// Contents is what a model folder is made of.
type Contents struct {
	Card    *Card // Card.Stores says which of the network's tensors are written
	From    *Folder
	Network *nnet.Network
	// DType is the dtype in which a tensor is stored.
	DType func(p *nnet.Parameter) safetensors.DType
	// ConfigDType is what config.json says of the weights; "" leaves it as it was.
	ConfigDType string
	// OwnTokenizer leaves the folder's tokenizer files out: the model was trained with a program's own.
	OwnTokenizer bool
	// Rename changes the tokenizer's JSON files; nil leaves them.
	Rename func([]byte) ([]byte, error)
}

// Save writes the model folder, which replaces an older one as a whole.
func (c Contents) Save(path string) error {
	dir, err := atomicfile.NewDir(path)
	if err != nil {
		return err
	}
	if err := c.fill(dir); err != nil {
		return errors.Join(fmt.Errorf("saving the model: %w", err), dir.Abort())
	}
	return dir.Replace()
}

func (c Contents) fill(dir *atomicfile.Dir) error {
	if err := c.fillWeights(dir); err != nil {
		return err
	}
	text, err := c.Card.Encode()
	if err != nil {
		return err
	}
	if err := dir.WriteFile(CardName, writeBytes(text)); err != nil {
		return err
	}
	names, rename := TokenizerFiles, c.Rename
	if c.OwnTokenizer { // the folder's own files would be taken for what the model was trained with
		names, rename = TextFiles, nil
	}
	return CopyTokenizer(dir, c.From.TextDir, names, rename)
}

// fillWeights writes the tensors and their configuration, and puts the files' SHA-256 into the card.
func (c Contents) fillWeights(dir *atomicfile.Dir) error {
	head := func(p *nnet.Parameter) bool { return p.Head }
	switch c.Card.Stores {
	case StoresHead:
		return c.save(dir, HeadName, "", head)
	case StoresAdapter:
		if err := c.save(dir, HeadName, "", head); err != nil {
			return err
		}
		if err := c.save(dir, AdapterName, PEFTPrefix, func(p *nnet.Parameter) bool { return strings.Contains(p.Name, ".lora_") }); err != nil {
			return err
		}
		config, err := PEFTConfig(c.Card.LoRA, c.Card.Base.Path, "", nil)
		if err != nil {
			return err
		}
		return dir.WriteFile("adapter_config.json", writeBytes(config))
	}
	config, err := ConfigWithHead(c.From.Config, c.Card.Head, c.ConfigDType)
	if err != nil {
		return err
	}
	if err := dir.WriteFile(hfmodel.ConfigName, writeBytes(config)); err != nil {
		return err
	}
	return c.save(dir, hfmodel.SingleName, "", func(*nnet.Parameter) bool { return true })
}

// save writes the tensors that choose picks to one file.
func (c Contents) save(dir *atomicfile.Dir, name, prefix string, choose func(p *nnet.Parameter) bool) error {
	tensors := c.Network.Export(func(p *nnet.Parameter) (safetensors.DType, bool) { return c.DType(p), choose(p) })
	for i := range tensors {
		tensors[i].Name = prefix + tensors[i].Name
	}
	return c.Card.WriteTensors(dir, name, tensors)
}

// WriteTensors writes a file of tensors and keeps its SHA-256 in the card.
func (c *Card) WriteTensors(dir *atomicfile.Dir, name string, tensors []safetensors.Tensor) error {
	sum := sha256.New()
	err := dir.WriteFile(name, func(w io.Writer) error {
		return safetensors.Write(io.MultiWriter(w, sum), tensors, map[string]string{"format": "pt"})
	})
	if c.Files == nil {
		c.Files = map[string]string{}
	}
	c.Files[name] = hex.EncodeToString(sum.Sum(nil))
	return err
}

func writeBytes(b []byte) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	}
}

// StoresOf says what of a model is saved that was trained so.
func StoresOf(train string) string {
	switch train {
	case nnet.TrainFull:
		return StoresModel
	case nnet.TrainLoRA:
		return StoresAdapter
	}
	return StoresHead
}

// CopyTokenizer copies those of the tokenizer's files that are there; rename, if not nil, changes the JSON ones.
func CopyTokenizer(dir *atomicfile.Dir, source string, names []string, rename func([]byte) ([]byte, error)) error {
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(source, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if rename != nil && strings.HasSuffix(name, ".json") {
			if text, err = rename(text); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		if err := dir.WriteFile(name, writeBytes(text)); err != nil {
			return err
		}
	}
	return nil
}

// RenameToken replaces a token's name wherever it stands as a whole JSON text. Everything else keeps its bytes.
func RenameToken(text []byte, from, to string) ([]byte, error) {
	var names [2]string
	for i, name := range []string{from, to} {
		quoted, err := json.Marshal(name)
		if err != nil {
			return nil, err
		}
		names[i] = string(quoted)
	}
	// A writer may or may not escape the angle brackets.
	plain := strings.ReplaceAll(string(text), `"`+from+`"`, `"`+to+`"`)
	return []byte(strings.ReplaceAll(plain, names[0], names[1])), nil
}

// ConfigWithHead is a base's config.json as a model with this head has it. dtype is what it says of the weights; "" leaves
// it as it was.
func ConfigWithHead(config *hfmodel.Config, head Head, dtype string) ([]byte, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(config.Raw, &fields); err != nil {
		return nil, err
	}
	labels, architecture := 2, "ForTokenClassification"
	switch {
	case head.Kind == nnet.TwoClassMLP:
		architecture = "ForProcessRewardModel"
	case head.Kind == nnet.Scalar && head.Final != "own":
		labels = 1
	}
	names, ids := map[string]string{}, map[string]int{}
	for i := range labels {
		name := fmt.Sprintf("LABEL_%d", i)
		if classes := classLabels(head.Kind); classes != nil {
			name = classes[i]
		} else if labels == 2 {
			name = []string{"step", "trajectory"}[i] // a scalar head's rows are no classes
		}
		names[fmt.Sprint(i)], ids[name] = name, i
	}
	set := map[string]any{"architectures": []string{config.Class() + architecture}, "num_labels": labels, "id2label": names, "label2id": ids}
	if architecture == "ForProcessRewardModel" && config.ModelType != "qwen2" {
		delete(set, "architectures")
	}
	if head.Kind == "" { // an expression: no class of transformers has it
		clear(set)
	}
	if dtype != "" {
		for _, key := range []string{"dtype", "torch_dtype"} {
			if _, there := fields[key]; there || key == "torch_dtype" && config.TorchDtype == "" {
				set[key] = dtype
			}
		}
	}
	delete(fields, "auto_map") // code that belongs to another class
	for key, value := range set {
		raw, err := json.Marshal(value)
		if err != nil {
			return nil, err
		}
		fields[key] = raw
	}
	text, err := json.MarshalIndent(fields, "", "  ")
	return append(text, '\n'), err
}

// PEFTConfig is what PEFT reads beside an adapter's weights. modules are trained parts of the model that are no adapters.
func PEFTConfig(l *LoRA, base, task string, modules []string) ([]byte, error) {
	var taskType *string // null: none
	if task != "" {
		taskType = &task
	}
	text, err := json.MarshalIndent(map[string]any{
		"peft_type": "LORA", "task_type": taskType, "base_model_name_or_path": base, "inference_mode": true,
		"r": l.Rank, "lora_alpha": l.Alpha, "lora_dropout": l.Dropout, "target_modules": l.Targets, "layers_to_transform": l.Layers,
		"bias": "none", "fan_in_fan_out": false, "init_lora_weights": true, "modules_to_save": modules, "use_rslora": false, "use_dora": false,
	}, "", "  ")
	return append(text, '\n'), err
}
