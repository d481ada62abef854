// Package checkpoint keeps a training run's states: folders step-00000120 under one root, each written whole or not at all, with a
// manifest that holds the size and SHA-256 of every file.
//
// A folder in the making has a name that begins with a dot; one that a killed process left is ignored by [Newest] and removed by the
// next [Save]. One process at a time saves under a root.
package checkpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// ErrNone is returned by [Newest] where there is no checkpoint that verifies.
var ErrNone = errors.New("no checkpoint that verifies")

const folderPrefix = "step-"

func folderName(step int) string { return fmt.Sprintf(folderPrefix+"%08d", step) }

// stepOf is the inverse of folderName.
func stepOf(name string) (int, bool) {
	digits, ok := strings.CutPrefix(name, folderPrefix)
	step, err := strconv.Atoi(digits)
	return step, ok && err == nil && folderName(step) == name
}

// Checkpoint is a folder that verified when it was opened.
type Checkpoint struct {
	dir      string
	manifest *manifest
}

// Read opens one checkpoint folder and verifies all of it.
func Read(dir string) (*Checkpoint, error) {
	m, err := readManifest(dir)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	for _, name := range slices.Sorted(maps.Keys(m.Files)) {
		if err := m.Files[name].verify(dir, name); err != nil {
			return nil, fmt.Errorf("%s: %w", dir, err)
		}
	}
	return &Checkpoint{dir, m}, nil
}

// Newest opens the checkpoint of the highest step under root that verifies. For each newer one it calls skipped with the folder's
// name and the reason. Where there is none, or no root, the error is [ErrNone].
func Newest(root string, skipped func(name, reason string)) (*Checkpoint, error) {
	steps, strange, err := list(root)
	if errors.Is(err, os.ErrNotExist) {
		return nil, ErrNone
	}
	if err != nil {
		return nil, err
	}
	for _, name := range strange {
		skipped(name, "not the name of a checkpoint, "+folderName(120)+" for one")
	}
	for _, step := range slices.Backward(steps) {
		dir := filepath.Join(root, folderName(step))
		found, err := Read(dir)
		if err == nil && found.Step() != step {
			err = fmt.Errorf("%s: manifest is of step %d", dir, found.Step())
		}
		if err == nil {
			return found, nil
		}
		skipped(folderName(step), strings.TrimPrefix(err.Error(), dir+": "))
	}
	return nil, ErrNone
}

// list returns the steps under root, ascending, and what looks like a checkpoint's folder but is not named like one.
func list(root string) (steps []int, strange []string, err error) {
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, nil, err
	}
	for _, entry := range entries {
		if step, ok := stepOf(entry.Name()); ok {
			steps = append(steps, step)
		} else if strings.HasPrefix(entry.Name(), folderPrefix) {
			strange = append(strange, entry.Name())
		}
	}
	slices.Sort(steps) // more than eight digits sort wrongly by name
	return steps, strange, nil
}

// Dir is the folder of a step's checkpoint under root.
func Dir(root string, step int) string { return filepath.Join(root, folderName(step)) }

// Step is the optimizer step after which the state was saved.
func (c *Checkpoint) Step() int { return c.manifest.Step }

// Dir is the checkpoint's folder.
func (c *Checkpoint) Dir() string { return c.dir }

// Files maps each file's name to its size in bytes.
func (c *Checkpoint) Files() map[string]int64 {
	sizes := make(map[string]int64, len(c.manifest.Files))
	for name, entry := range c.manifest.Files {
		sizes[name] = entry.Size
	}
	return sizes
}

// Path is where the file of that name lies; an error if the checkpoint has none.
func (c *Checkpoint) Path(name string) (string, error) {
	if _, ok := c.manifest.Files[name]; !ok {
		return "", fmt.Errorf("%s: holds no file %q", c.dir, name)
	}
	return filepath.Join(c.dir, name), nil
}

// Open opens the file of that name.
func (c *Checkpoint) Open(name string) (*os.File, error) {
	path, err := c.Path(name)
	if err != nil {
		return nil, err
	}
	return os.Open(path)
}

// Meta decodes what was given to [Save] as meta.
func (c *Checkpoint) Meta(into any) error {
	if err := json.Unmarshal(c.manifest.Meta, into); err != nil {
		return fmt.Errorf("%s: meta: %w", filepath.Join(c.dir, manifestName), err)
	}
	return nil
}
