package hfmodel

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// valueHeadNames are the files in which LLaMA-Factory, and what follows it, keeps TRL's value head (v_head.summary) beside a model without.
var valueHeadNames = []string{"value_head.safetensors", "value_head.bin", "value_head.pt", "value_head.pth"}

// valueHead is the name of the folder's file with a value head, "" if there is none.
func valueHead(dir string) (string, error) {
	found := ""
	for _, name := range valueHeadNames {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			continue
		}
		if found != "" {
			return "", fmt.Errorf("%s: holds %s and %s: two value heads, of which one is meant; remove the other", dir, found, name)
		}
		found = name
	}
	return found, nil
}

// headTensors are the names that heads of public formats have; everything else that is no trunk is unknown.
var headTensors = []string{
	"score.weight", "score.bias", "score.0.weight", "score.0.bias", "score.2.weight", "score.2.bias",
	"v_head.summary.weight", "v_head.summary.bias",
}

// CheckHead refuses a folder whose head contradicts config.json, or that has two. extra are the tensors that are no trunk.
func CheckHead(c *Config, w *Weights, extra []string) error {
	var heads []string
	for _, name := range []string{"score.weight", "score.0.weight", "v_head.summary.weight"} {
		if slices.Contains(extra, name) {
			heads = append(heads, name)
		}
	}
	if len(heads) > 1 {
		return fmt.Errorf("%s: two heads, %s and %s: which one is meant is unknown; remove the other", w.dir, heads[0], heads[1])
	}
	for _, name := range []string{"score.weight", "score.2.weight"} {
		if t, ok := w.Lookup(name); ok && len(t.Info.Shape) == 2 {
			if err := c.checkLabels(t.Info.Shape[0], t.File.Path()); err != nil {
				return err
			}
		}
	}
	return nil
}

// harmless are files that lie beside weights and are none: what trainers keep, copies in other precisions, and other programs' own.
var harmless = regexp.MustCompile(`^((pytorch_|tf_|flax_)?model([.-].*)?|training_args|optimizer.*|scheduler.*|rng_state.*|` +
	`scaler.*|random_states.*|consolidated.*|openvino.*)$`)

// CheckUsed refuses a folder with weights that a public format would pass over: tensors that belong to neither trunk nor a known head,
// and files that may hold a head. used are the files with a head that the format reads beside the weights.
func CheckUsed(w *Weights, extra, used []string) error {
	for _, name := range extra {
		if !slices.Contains(headTensors, name) {
			return fmt.Errorf("%s: tensor %q belongs to no head that is known, and passing it over would change the scores", w.dir, name)
		}
	}
	entries, err := os.ReadDir(w.dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name := entry.Name()
		base, ending := strings.TrimSuffix(name, filepath.Ext(name)), filepath.Ext(name)
		if entry.IsDir() || !isTorch(name) && ending != ".safetensors" || slices.Contains(used, name) || slices.Contains(w.names, name) ||
			harmless.MatchString(base) {
			continue
		}
		return fmt.Errorf("%s: it is none of the weights that are read, and may hold a head; "+
			"heads of their own are read from %s (v_head.summary.*) and %s; remove it if it is of no use",
			filepath.Join(w.dir, name), valueHeadNames[0], rewardHeadNames[0])
	}
	return nil
}

// sameTensors refuses two files that should hold the same and do not.
func sameTensors(a, b File) error {
	if len(a.Tensors()) != len(b.Tensors()) {
		return fmt.Errorf("%s and %s hold different tensors; remove one", a.Path(), b.Path())
	}
	for _, t := range a.Tensors() {
		other, ok := b.Info(t.Name)
		if !ok || other.DType != t.DType || !slices.Equal(other.Shape, t.Shape) || !bytes.Equal(a.Bytes(t.Name), b.Bytes(t.Name)) {
			return fmt.Errorf("%s and %s differ in tensor %q; remove one", a.Path(), b.Path(), t.Name)
		}
	}
	return nil
}
