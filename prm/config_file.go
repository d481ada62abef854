package prm

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/goprm/goprm/internal/othernames"
	"github.com/goprm/goprm/internal/strictyaml"
)

// LoadTrainConfig reads a YAML configuration on top of the defaults, then applies overrides of the form "a.b=value". Without a path there
// are the overrides alone. Unknown keys are one error, which names the nearest known ones.
func LoadTrainConfig(path string, set []string) (TrainConfig, error) {
	c, err := ReadTrainConfig(path, set)
	if err == nil {
		err = inFile(path, c.Validate())
	}
	return c, err
}

// ReadTrainConfig is LoadTrainConfig without Validate: required keys may be missing.
func ReadTrainConfig(path string, set []string) (TrainConfig, error) {
	c := DefaultTrainConfig()
	if path != "" {
		if err := strictyaml.DecodeFile(path, &c, othernames.Train()); err != nil {
			return c, err
		}
	}
	for _, s := range set {
		if err := strictyaml.Set(&c, s, othernames.Train()); err != nil {
			return c, err
		}
	}
	if key := withoutValue(reflect.ValueOf(c), ""); key != "" {
		return c, inFile(path, fmt.Errorf("%s: it has no value; leave the key out for its default", key))
	}
	return c, nil
}

// YAML is the configuration with every default in place, as LoadTrainConfig reads it.
func (c TrainConfig) YAML() ([]byte, error) { return strictyaml.Encode(c.filled()) }

func inFile(path string, err error) error {
	if err == nil || path == "" {
		return err
	}
	return fmt.Errorf("%s: %w", path, err)
}

// withoutValue is the first key whose default a file has taken away with null; "" if there is none.
func withoutValue(v reflect.Value, prefix string) string {
	for i := range v.NumField() {
		name := prefix + v.Type().Field(i).Tag.Get("yaml")
		switch f := v.Field(i); {
		case !v.Type().Field(i).IsExported() || name == prefix+"-":
		case f.Kind() == reflect.Pointer && f.IsNil():
			return name
		case f.Kind() == reflect.Struct:
			if key := withoutValue(f, name+"."); key != "" {
				return key
			}
		}
	}
	return ""
}

// freeKeys may differ between a run and its resumption, since they change no number: where things lie (what lies there
// is compared by its hash), how often to look and to save, and how many threads work.
var freeKeys = []string{
	"model", "base", "data.train", "data.eval", "data.on_bad", "out", "cache", "threads", "device", "recompute", "optim.offload",
	"checkpoint.every", "checkpoint.keep", "on_nonfinite", "nonfinite_budget", "eval.every", "eval.best", "eval.max", "save", "tracking",
	"dist.zero", "dist.nccl", "dist.timeout",
}

// lengthKeys may differ too: they extend the run.
var lengthKeys = []string{"optim.epochs", "optim.steps"}

// rateKeys may differ too, from the step on that the run is resumed at; run.json records it.
var rateKeys = []string{"optim.lr", "optim.head_lr", "optim.clip"}

// change is a key whose value is another since a resumption.
type change struct {
	Key    string `json:"key"`
	Before string `json:"before"`
	Now    string `json:"now"`
}

// changedRates lists the rate keys in which two effective configurations differ.
func changedRates(before, after TrainConfig) []change {
	a, b := flatten(before), flatten(after)
	var changed []change
	for _, key := range rateKeys {
		if a[key] != b[key] {
			changed = append(changed, change{key, a[key], b[key]})
		}
	}
	return changed
}

// changedKeys lists the keys in which two effective configurations differ and that change numbers.
func changedKeys(before, after TrainConfig) []string {
	a, b := flatten(before), flatten(after)
	var changed []string
	for _, key := range slices.Sorted(maps.Keys(a)) {
		if a[key] != b[key] && !slices.Contains(freeKeys, key) && !slices.Contains(lengthKeys, key) && !slices.Contains(rateKeys, key) {
			changed = append(changed, fmt.Sprintf("%s (it was %s, now it is %s)", key, oneLine(a[key]), oneLine(b[key])))
		}
	}
	return changed
}

// flatten maps each YAML key's full name to its value as text.
func flatten(c TrainConfig) map[string]string {
	flat := map[string]string{}
	var walk func(v reflect.Value, prefix string)
	walk = func(v reflect.Value, prefix string) {
		for i := range v.NumField() {
			f := v.Type().Field(i)
			name := f.Tag.Get("yaml")
			if !f.IsExported() || name == "-" {
				continue
			}
			if f.Type.Kind() == reflect.String {
				flat[prefix+name] = strconv.Quote(v.Field(i).String())
				continue
			}
			if marshals(v.Field(i)) || f.Type.Kind() != reflect.Struct {
				text, err := strictyaml.Encode(v.Field(i).Interface())
				if err != nil {
					text = fmt.Appendf(nil, "%v", v.Field(i).Interface())
				}
				flat[prefix+name] = strings.TrimSuffix(string(text), "\n")
				continue
			}
			walk(v.Field(i), prefix+name+".")
		}
	}
	walk(reflect.ValueOf(c), "")
	return flat
}

// oneLine shows a YAML value within a message.
func oneLine(text string) string { return strings.ReplaceAll(text, "\n", " ") }

func marshals(v reflect.Value) bool {
	_, ok := v.Interface().(interface{ MarshalYAML() (any, error) })
	return ok
}
