package hfmodel

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"
)

// String is a table for people.
func (d *Description) String() string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	row := func(key string, format string, args ...any) {
		_, _ = fmt.Fprintf(w, "%s\t%s\n", key, fmt.Sprintf(format, args...)) // a strings.Builder cannot fail
	}
	row(d.Kind, "%s", d.Path)
	switch {
	case d.Tensors != nil:
		d.Tensors.rows(row)
	case d.Model != nil:
		d.Model.rows(row)
	case d.Adapter != nil:
		d.Adapter.rows(row)
	case d.Checkpoint != nil:
		d.Checkpoint.rows(row)
	case d.Tokenizer != nil:
		d.Tokenizer.rows(row)
	}
	_ = w.Flush()
	return text.String()
}

type rowFunc func(key, format string, args ...any)

func (t *TensorsDescription) rows(row rowFunc) {
	row("tensors", "%d (%s), %d elements", len(t.Tensors), tally(t.DTypes), t.Elements)
	row("size", "%s", size(t.Bytes))
	for _, key := range slices.Sorted(maps.Keys(t.Metadata)) {
		row("metadata", "%s: %s", printable(key), printable(t.Metadata[key]))
	}
	for _, tensor := range t.Tensors {
		row("  "+printable(tensor.Name), "%s %v", tensor.DType, tensor.Shape)
	}
}

func (m *ModelDescription) rows(row rowFunc) {
	row("architecture", "%s (%s)", list(m.Architectures), m.ModelType)
	row("parameters", "%d, of them trunk %d", m.Parameters, m.TrunkParameters)
	row("tensors", "%d (%s) in %d file(s), %s", m.Tensors, tally(m.DTypes), m.Files, size(m.Bytes))
	row("layers", "%d", m.NumHiddenLayers)
	row("hidden size", "%d, intermediate %d", m.HiddenSize, m.IntermediateSize)
	row("heads", "%d, key/value %d, of %d each", m.NumAttentionHeads, m.NumKeyValueHeads, m.HeadDim)
	positions := fmt.Sprintf("%d, rotary base %g", m.MaxPositionEmbeddings, m.RopeTheta)
	if m.RopeScaling != "" {
		positions += ", scaling " + m.RopeScaling
	}
	if m.MaxLength != m.MaxPositionEmbeddings {
		positions += fmt.Sprintf(" to %d", m.MaxLength)
	}
	if m.SlidingWindow > 0 {
		positions += fmt.Sprintf(", sliding window %d", m.SlidingWindow)
	}
	row("positions", "%s", positions)
	row("vocabulary", "%d, embeddings tied: %t", m.VocabSize, m.TieWordEmbeddings)
	row("head", "%s%s", m.Head, m.classes())
	row("formats that fit", "%s", list(m.Formats))
	if m.Goprm {
		row("settings", "%s", goprmName)
	}
	if len(m.Extra) > 0 {
		row("other tensors", "%s", list(m.Extra))
	}
	if m.Tokenizer == nil {
		row("tokenizer", "no %s", TokenizerName)
	} else {
		m.Tokenizer.rows(row)
	}
}

// classes says what the head's classes are called and which is the good one.
func (m *ModelDescription) classes() string {
	text := ""
	if len(m.Labels) > 0 {
		text = ", classes " + list(m.Labels)
	}
	if m.GoodClass != nil {
		text += fmt.Sprintf(", good is class %d", *m.GoodClass)
	}
	return text
}

func (a *AdapterDescription) rows(row rowFunc) {
	row("base model", "%s", list(slices.DeleteFunc([]string{a.Base}, func(s string) bool { return s == "" })))
	row("rank", "%d, alpha %g", a.Rank, a.Alpha)
	row("targets", "%s", list(a.Targets))
	if a.Goprm {
		row("settings", "%s", goprmName)
	}
	a.Tensors.rows(row)
}

func (c *CheckpointDescription) rows(row rowFunc) {
	row("step", "%d", c.Step)
	row("size", "%s, every file verified", size(c.Bytes))
	for _, name := range slices.Sorted(maps.Keys(c.Files)) {
		row("  "+name, "%s", size(c.Files[name]))
	}
}

func (t *TokenizerDescription) rows(row rowFunc) {
	row("tokenizer", "%s: %d entries, %d merges, %d added tokens, ids up to %d", t.Model, t.Vocabulary, t.Merges, t.AddedTokens, t.LargestID)
}

func list(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	shown := make([]string, len(names))
	for i, name := range names {
		shown[i] = printable(name)
	}
	return strings.Join(shown, ", ")
}

// printable quotes a name from a file that would upset a terminal.
func printable(name string) string {
	if strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(name)
	}
	return name
}

func tally(counts map[string]int) string {
	var parts []string
	for _, key := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%s %d", key, counts[key]))
	}
	return list(parts)
}

func size(bytes int64) string {
	units := []string{"KiB", "MiB", "GiB", "TiB"}
	if bytes < 1024 {
		return fmt.Sprintf("%d bytes", bytes)
	}
	value, unit := float64(bytes)/1024, 0
	for value >= 1024 && unit < len(units)-1 {
		value, unit = value/1024, unit+1
	}
	return fmt.Sprintf("%.1f %s", value, units[unit])
}
