package apicheck

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goprm/goprm/internal/othernames"
	"github.com/goprm/goprm/prm"
	"github.com/stretchr/testify/require"
)

const runHead = `# prm train --config run.yaml
#
# Every key with its default. Only model, data.train and out are required: delete what you do not change.
# Generated from the configuration's structs; docs/configuration.md is the same as a table.

`

const configurationHead = `# Configuration keys

Generated from the structs that read the files. A key that is left out has its default; an unknown key is an error that names the line and
the nearest known key, and knows the names that transformers, TRL, PEFT and LLaMA-Factory use. A bare text stands for a list of one.

` + "`prm train --print-config` prints the configuration of a run with every default in place; " +
	"[examples/run.yaml](../examples/run.yaml) and\n" +
	"[examples/label.yaml](../examples/label.yaml) have comments.\n"

// What is generated from the structs is current, and examples/run.yaml is a valid configuration that changes no default.
func TestConfigurationDocuments(t *testing.T) {
	dependOnSources(t)
	train, err := module.Keys(prm.DefaultTrainConfig())
	require.NoError(t, err)
	labels, err := module.Keys(prm.DefaultLabelConfig())
	require.NoError(t, err)
	given := map[string]string{"model": "Qwen2.5-1.5B-Instruct", "data.train": "[labelled.jsonl]", "out": "runs/one"}
	current(t, "examples/run.yaml", ExampleYAML(runHead, train, given))
	current(t, "docs/configuration.md", configurationHead+"\n## train.yaml\n\nOf `prm train` and `prm.TrainConfig`.\n\n"+KeyTable(train)+
		namesTable()+"\n## label.yaml\n\nOf `prm label` and `prm.LabelConfig`. `NAME` is a server's name, `N` a place in a list.\n\n"+
		KeyTable(labels))

	c, err := prm.LoadTrainConfig(filepath.Join(module.Dir, "examples", "run.yaml"), nil)
	require.NoError(t, err)
	defaults := prm.DefaultTrainConfig()
	defaults.Model, defaults.Data.Train, defaults.Out = c.Model, c.Data.Train, c.Out
	want, err := defaults.YAML()
	require.NoError(t, err)
	have, err := c.YAML()
	require.NoError(t, err)
	require.Equal(t, string(want), string(have))
	for _, k := range append(train, labels...) {
		if k.comment() == "" && !k.Section {
			t.Errorf("%s: its field has no comment", strings.Join(k.Path, "."))
		}
	}
	_, err = prm.LoadLabelConfig(filepath.Join(module.Dir, "examples", "label.yaml"))
	require.NoError(t, err)
}

// namesTable is what other programs call the keys.
func namesTable() string {
	var b strings.Builder
	b.WriteString("\n### Coming from TRL, transformers, PEFT, LLaMA-Factory, axolotl, OpenRLHF or verl\n\n| there | here |\n|---|---|\n")
	names := othernames.Train()
	for _, name := range slices.Sorted(maps.Keys(names)) {
		fmt.Fprintf(&b, "| `%s` | %s |\n", name, names[name])
	}
	return b.String()
}

// current compares a generated file with what it should hold, or writes it if GOPRM_UPDATE_DOCS is set.
func current(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(module.Dir, name)
	if os.Getenv("GOPRM_UPDATE_DOCS") != "" {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o666))
	}
	have, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, text, string(have), "%s is not current: GOPRM_UPDATE_DOCS=1 go test ./internal/apicheck ./cmd/prm", name)
}
