package prm

import (
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

// storesOf says what of a model a run's folder holds.
func storesOf(train string) string {
	switch train {
	case nnet.TrainFull:
		return storesModel
	case nnet.TrainLoRA:
		return storesAdapter
	}
	return storesHead
}

// card describes the model as trained so far.
func (t *trainer) card(stores string) *card {
	c := &t.c
	k := &card{
		Format: cardFormat, Version: version(c.Version), Stores: stores, Trained: c.Train,
		Head: cardHead{Kind: c.Head.Kind, Activation: c.Head.Activation, Final: c.Head.Final},
		Text: c.Text, Parts: t.record.Parts, Over: c.Reward.Over, Alpha: *c.Reward.Alpha, Threshold: t.meta.Threshold,
		Tokenizer: t.ownTokenizer,
	}
	if stores != storesModel {
		k.Base = &baseRef{Path: absolute(t.folder.rootDir), SHA256: t.folder.rootSum}
	}
	if c.Train == nnet.TrainLoRA {
		k.LoRA = &cardLoRA{Rank: c.LoRA.Rank, Alpha: c.LoRA.Alpha, Dropout: c.LoRA.Dropout, Targets: c.LoRA.Targets, Layers: c.LoRA.Layers}
	}
	if id, ok := t.renderer.StepMark(); ok {
		k.StepMarkID = &id
	}
	return k
}

// saveModel writes the model folder, which replaces an older one as a whole.
func (t *trainer) saveModel(path string) error {
	dir, err := atomicfile.NewDir(path)
	if err != nil {
		return err
	}
	if err := t.fillModel(dir); err != nil {
		return errors.Join(fmt.Errorf("saving the model: %w", err), dir.Abort())
	}
	return dir.Replace()
}

func (t *trainer) fillModel(dir *atomicfile.Dir) error {
	stores := storesOf(t.c.Train)
	text, err := t.card(stores).encode()
	if err != nil {
		return err
	}
	if err := dir.WriteFile(cardName, writeBytes(text)); err != nil {
		return err
	}
	var rename func([]byte) ([]byte, error) // where the step mark takes over another token
	if from, to, _, renamed := t.renderer.Rename(); renamed {
		rename = func(text []byte) ([]byte, error) { return renameToken(text, from, to) }
	}
	names := tokenizerFiles
	if t.ownTokenizer != "" { // the folder's own files would be taken for what the model was trained with
		names, rename = textFiles, nil
	}
	if err := copyTokenizer(dir, t.folder.textDir, names, rename); err != nil {
		return err
	}
	save := func(name, prefix string, choose func(p *nnet.Parameter) bool) error {
		tensors := t.network.Export(func(p *nnet.Parameter) (safetensors.DType, bool) { return t.saveDType(p), choose(p) })
		for i := range tensors {
			tensors[i].Name = prefix + tensors[i].Name
		}
		return dir.WriteFile(name, func(w io.Writer) error {
			return safetensors.Write(w, tensors, map[string]string{"format": "pt"})
		})
	}
	head := func(p *nnet.Parameter) bool { return p.Head }
	switch stores {
	case storesHead:
		return save(headName, "", head)
	case storesAdapter:
		if err := save(headName, "", head); err != nil {
			return err
		}
		if err := save(adapterName, peftPrefix, func(p *nnet.Parameter) bool { return strings.Contains(p.Name, ".lora_") }); err != nil {
			return err
		}
		config, err := peftConfig(t.card(stores).LoRA, absolute(t.folder.rootDir), "", nil)
		if err != nil {
			return err
		}
		return dir.WriteFile("adapter_config.json", writeBytes(config))
	}
	config, err := configWithHead(t.folder.config, t.card(stores).Head, t.configDType())
	if err != nil {
		return err
	}
	if err := dir.WriteFile(hfmodel.ConfigName, writeBytes(config)); err != nil {
		return err
	}
	return save(hfmodel.SingleName, "", func(*nnet.Parameter) bool { return true })
}

// saveDType is the dtype in which a tensor is saved: what the configuration says, or the base's; what the base lacks is f32.
func (t *trainer) saveDType(p *nnet.Parameter) safetensors.DType {
	switch t.c.SaveDType {
	case "f32":
		return safetensors.F32
	case "bf16":
		return safetensors.BF16
	}
	if stored, ok := t.folder.rootTrunk(p.Name); ok && !p.Head {
		return stored.Info.DType
	}
	return safetensors.F32
}

// copyTokenizer copies those of the tokenizer's files that are there; rename, if not nil, changes the JSON ones.
func copyTokenizer(dir *atomicfile.Dir, source string, names []string, rename func([]byte) ([]byte, error)) error {
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

// renameToken replaces a token's name wherever it stands as a whole JSON text. Everything else keeps its bytes.
func renameToken(text []byte, from, to string) ([]byte, error) {
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

// configWithHead is a base's config.json as a model with this head has it. dtype is what it says of the weights; "" leaves
// it as it was.
func configWithHead(config *hfmodel.Config, head cardHead, dtype string) ([]byte, error) {
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
	class := map[string]string{"qwen2": "Qwen2", "mistral": "Mistral", "llama": "Llama"}[config.ModelType]
	names, ids := map[string]string{}, map[string]int{}
	for i := range labels {
		name := fmt.Sprintf("LABEL_%d", i)
		names[fmt.Sprint(i)], ids[name] = name, i
	}
	set := map[string]any{"architectures": []string{class + architecture}, "num_labels": labels, "id2label": names, "label2id": ids}
	if architecture == "ForProcessRewardModel" && config.ModelType != "qwen2" {
		delete(set, "architectures")
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

// configDType is what config.json says of the weights; "" leaves it as it was.
func (t *trainer) configDType() string {
	return map[string]string{"f32": "float32", "bf16": "bfloat16"}[t.c.SaveDType]
}

// peftConfig is what PEFT reads beside an adapter's weights. modules are trained parts of the model that are no adapters.
func peftConfig(l *cardLoRA, base, task string, modules []string) ([]byte, error) {
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
