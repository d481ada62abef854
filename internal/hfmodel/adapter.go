package hfmodel

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// File names of a LoRA adapter's folder, as PEFT lays it out.
const (
	AdapterConfigName  = "adapter_config.json"
	AdapterWeightsName = "adapter_model.safetensors"
)

// AdapterDescription is a LoRA adapter folder's content.
type AdapterDescription struct {
	Kind    string              `json:"peft_type"`
	Base    string              `json:"base_model_name_or_path"` // "" if not named
	Rank    int                 `json:"r"`
	Alpha   float64             `json:"lora_alpha"`
	Targets []string            `json:"target_modules"` // sorted
	Goprm   bool                `json:"goprm"`          // holds a goprm.json
	Tensors *TensorsDescription `json:"safetensors"`
}

func describeAdapter(dir string) (*AdapterDescription, error) {
	path := filepath.Join(dir, AdapterConfigName)
	text, err := readJSON(path)
	if err != nil {
		return nil, err
	}
	f := &fields{}
	if err := json.Unmarshal(text, &f.values); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	found := &AdapterDescription{Kind: f.text("peft_type", ""), Base: f.text("base_model_name_or_path", "")}
	if f.err == nil && found.Kind != "LORA" {
		f.fail("peft_type %q is not supported; LORA is", found.Kind)
	}
	found.Rank = f.count("r", 0, maxHidden)
	found.Alpha = f.number("lora_alpha", 0)
	if found.Targets = []string{f.nameOrEmpty("target_modules")}; found.Targets[0] == "" {
		found.Targets = read(f, "target_modules", "a name or a list of names", []string{})
	}
	slices.Sort(found.Targets)
	if f.err != nil {
		return nil, fmt.Errorf("%s: %w", path, f.err)
	}
	if found.Tensors, err = describeWhole(filepath.Join(dir, AdapterWeightsName)); err != nil {
		return nil, err
	}
	_, err = os.Stat(filepath.Join(dir, goprmName))
	found.Goprm = err == nil
	return found, nil
}

// nameOrEmpty returns a key's value if it is a text: PEFT allows a pattern in the place of a list.
func (f *fields) nameOrEmpty(key string) string {
	var name string
	if json.Unmarshal(f.raw(key), &name) != nil {
		return ""
	}
	return name
}
