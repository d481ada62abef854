package hfmodel

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/goprm/goprm/internal/checkpoint"
	"github.com/goprm/goprm/internal/hub"
)

// Resolve returns the folder that holds the model which path names: path itself; of a run folder its model/, or the newest checkpoint that
// verifies; of a folder of checkpoints the newest; of a folder of Hugging Face's cache (models--OWNER--NAME) the snapshot of its
// branch main. It is an error that says what to do if path names no folder.
func Resolve(path string) (string, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", hub.Missing(path, hub.Model, "folder")
	case err != nil:
		return "", err
	case !info.IsDir():
		return "", fmt.Errorf("%s: not a folder; a model is one with config.json, weights and tokenizer", path)
	}
	has := func(name string) bool {
		_, err := os.Stat(filepath.Join(path, name))
		return err == nil
	}
	switch {
	case has(ConfigName) || has(goprmName) || has(AdapterConfigName):
		return path, nil
	case has("run.json"):
		if model := filepath.Join(path, "model"); has(filepath.Join("model", goprmName)) {
			return model, nil
		}
		return newestCheckpoint(path, filepath.Join(path, "checkpoints"))
	case has("snapshots"):
		return snapshot(path)
	case filepath.Base(path) == "checkpoints":
		return newestCheckpoint(path, path)
	}
	return path, nil
}

func newestCheckpoint(path, root string) (string, error) {
	var skipped []string
	found, err := checkpoint.Newest(root, func(name, reason string) { skipped = append(skipped, name+": "+reason) })
	if errors.Is(err, checkpoint.ErrNone) && len(skipped) > 0 {
		err = fmt.Errorf("%w (%s)", err, strings.Join(skipped, "; "))
	}
	if err != nil {
		return "", fmt.Errorf("%s: a run without a model: %w", path, err)
	}
	return found.Dir(), nil
}

// snapshot is the revision main of a folder of Hugging Face's cache, or the only one there is.
func snapshot(path string) (string, error) {
	main, err := os.ReadFile(filepath.Join(path, "refs", "main"))
	if err == nil {
		revision := strings.TrimSpace(string(main))
		if revision == "" || filepath.Base(revision) != revision || len(revision) > 64 {
			return "", fmt.Errorf("%s: names no revision", filepath.Join(path, "refs", "main"))
		}
		dir := filepath.Join(path, "snapshots", revision)
		if _, err := os.Stat(dir); err != nil {
			return "", fmt.Errorf("%s: refs/main names the revision %s, which is not among its snapshots: fetch it again with hf download",
				path, revision)
		}
		return dir, nil
	}
	entries, err := os.ReadDir(filepath.Join(path, "snapshots"))
	if err != nil {
		return "", err
	}
	if len(entries) != 1 {
		return "", fmt.Errorf("%s: %d snapshots and no refs/main: name the one that is meant", path, len(entries))
	}
	return filepath.Join(path, "snapshots", entries[0].Name()), nil
}

// HubID is the model's name on the hub, if the folder is a snapshot of Hugging Face's cache; else "".
func HubID(dir string) string {
	snapshots := filepath.Dir(filepath.Clean(dir))
	name, ok := strings.CutPrefix(filepath.Base(filepath.Dir(snapshots)), "models--")
	id := strings.Replace(name, "--", "/", 1)
	if !ok || filepath.Base(snapshots) != "snapshots" || !hub.IsID(id) {
		return ""
	}
	return id
}

// NoModel says what a folder without config.json is.
func NoModel(dir string) error {
	text, err := readJSON(filepath.Join(dir, AdapterConfigName))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: holds no %s, so it is no model folder", dir, ConfigName)
	}
	base := "its base model"
	if err == nil {
		f := &fields{}
		if f.parse(text) == nil {
			if named := f.text("base_model_name_or_path", ""); named != "" {
				base = "its base, " + named
			}
		}
	}
	return fmt.Errorf("%s: a PEFT adapter, not a model: merge it into %s, with PEFT's merge_and_unload() and save_pretrained(), "+
		"and give the merged folder", dir, base)
}
