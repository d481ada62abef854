package inputs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/goprm/goprm/internal/report"
)

const (
	configName    = "config.yaml"
	longestConfig = 1 << 20
)

// settings are a run's effective configuration, key by key in its order: optim.lr → 0.0001.
type settings struct {
	keys   []string
	values map[string]string
}

// readSettings reads the configuration of a run folder; nil if it has none.
func readSettings(dir string) (*settings, error) {
	path := filepath.Join(dir, configName)
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	text, err := io.ReadAll(io.LimitReader(file, longestConfig+1))
	if err != nil {
		return nil, err
	}
	var document yaml.Node
	if len(text) > longestConfig {
		err = fmt.Errorf("more than %d bytes", longestConfig)
	} else {
		err = yaml.Unmarshal(text, &document)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	s := &settings{values: map[string]string{}}
	for _, root := range document.Content {
		s.add("", root, 0)
	}
	return s, nil
}

// add flattens a node; aliases are not followed, so that a small file stays small.
func (s *settings) add(name string, n *yaml.Node, depth int) {
	value := n.Value
	switch {
	case n.Kind == yaml.MappingNode && depth < 10:
		for i := 0; i+1 < len(n.Content); i += 2 {
			s.add(strings.TrimPrefix(name+"."+n.Content[i].Value, "."), n.Content[i+1], depth+1)
		}
		return
	case n.Kind == yaml.SequenceNode:
		var list []string
		for _, one := range n.Content {
			list = append(list, one.Value)
		}
		value = strings.Join(list, ", ")
	case value == "" || strings.TrimSpace(value) != value:
		value = fmt.Sprintf("%q", value)
	}
	if name != "" && s.values[name] == "" {
		s.keys = append(s.keys, name)
		s.values[name] = value
	}
}

// principal are the keys that a reader looks for first; the others are folded away.
var principal = []string{
	"train", "lora.rank", "lora.alpha", "loss.kind", "optim.lr", "optim.head_lr", "optim.schedule", "optim.warmup", "optim.weight_decay",
	"optim.epochs", "optim.steps", "batch.trajectories", "data.train", "data.eval", "seed",
}

// tables show the principal keys, then all of them.
func (s *settings) tables() []report.Block {
	if s == nil || len(s.keys) == 0 {
		return nil
	}
	first := report.Table{Title: "Hyperparameters", Columns: []string{"key", "value"}}
	for _, key := range principal {
		if strings.HasPrefix(key, "lora.") && s.values["train"] != "lora" {
			continue
		}
		if v := s.values[key]; v != "" && v != `""` && v != "0" && v != "null" {
			first.Rows = append(first.Rows, []string{key, v})
		}
	}
	whole := report.Table{Title: fmt.Sprintf("All %d keys of the configuration", len(s.keys)), Columns: []string{"key", "value"}, Folded: true}
	for _, key := range s.keys {
		whole.Rows = append(whole.Rows, []string{key, s.values[key]})
	}
	if len(first.Rows) == 0 {
		return []report.Block{whole}
	}
	return []report.Block{first, whole}
}

// differing shows the keys in which runs differ; a dash where a run has no such key. The run folder always differs and says nothing.
func differing(runs []*runCurves, names map[*runCurves]string) []report.Block {
	t := report.Table{Title: "Hyperparameters that differ", Columns: []string{"key"}}
	var keys []string
	for _, c := range runs {
		t.Columns = append(t.Columns, names[c])
		if c.settings == nil {
			continue
		}
		for _, key := range c.settings.keys {
			if key != "out" && !slices.Contains(keys, key) {
				keys = append(keys, key)
			}
		}
	}
	for _, key := range keys {
		row, same := []string{key}, true
		for _, c := range runs {
			v := "–"
			if c.settings != nil && c.settings.values[key] != "" {
				v = c.settings.values[key]
			}
			row = append(row, v)
			same = same && v == row[1]
		}
		if !same {
			t.Rows = append(t.Rows, row)
		}
	}
	if len(t.Rows) == 0 {
		return nil
	}
	return []report.Block{t}
}
