package label

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// terms are the licences of known sources, as the pages of the data sets state them.
var terms = map[string]string{
	"openthoughts": "Apache-2.0; traces by DeepSeek-R1; the problems come from collections with terms of their own",
	"s1k":          "Apache-2.0; traces by Gemini, whose terms of use hold for its outputs",
	"s1k-1.1":      "MIT; traces by Gemini, whose terms of use hold for its outputs, and by DeepSeek-R1",
	"prm800k":      "MIT",
	"prmbench":     "Apache-2.0",
}

// sourceOf is the row's source, with the collection that its problem comes from where a column "source" says so.
func sourceOf(row *Row) string {
	var from string
	if json.Unmarshal(row.Meta["source"], &from) != nil || from == "" || len(from) > 100 {
		return row.Source
	}
	return row.Source + "/" + from
}

// card is the data set's card.
func card(m Manifest) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	s := m.Summary
	line("# Labelled trajectories\n")
	line("Step rewards and trajectory rewards for training a process reward model, made by `prm label`. How each label was made stands " +
		"beside it, in `labels.made` of each row.\n")
	if m.Shards > 1 {
		line("This is shard %d of %d (from 0).\n", m.Shard, m.Shards)
	}
	line("| | |\n|---|---|")
	line("| trajectories | %d |", s.Trajectories)
	line("| thinking steps | %d, of which %d are labelled |", s.Steps, s.StepLabels)
	line("| trajectory labels | %d |", s.TrajectoryLabels)
	line("| without a response | %d |", s.NoResponse)
	line("| still open | %d items |", s.OpenItems())
	line("\n## How the labels were made\n")
	line("| | |\n|---|---|")
	line("| step reward | %s of %s |", m.Fusion, list(m.Parts))
	if m.Encoder != "" {
		c := m.Coherence
		line("| encoder | `%s` |", m.Encoder)
		line("| pairing | %s |", m.Pairing)
		line("| coherence | %s, %d negatives of a pool of %d, τ = %v, positive in the sum: %v, centred: %v |", c.Form, c.Negatives, m.PoolSize,
			c.Tau, c.Positive, c.Centre)
	}
	if m.Judge != "" {
		line("| judge | `%s` |", m.Judge)
		line("| the judge sees | %s |", m.Sees)
	}
	line("| trajectory reward | %s |", m.Trajectory.Kind)
	if m.Trajectory.sampled() {
		line("| | %d answers of `%s` under templates of `%s`; %d templates held the answer and were rejected |", m.Trajectory.Samples, m.Policy,
			m.Templater, s.Rejected)
	}
	if m.Verifier != "" {
		line("| verifier | `%s` |", m.Verifier)
	}
	line("| seed | %d |", m.Seed)
	line("\n## Distributions\n")
	line("| | values | mean | deviation | least | greatest |\n|---|---|---|---|---|---|")
	for _, name := range slices.Sorted(maps.Keys(s.Values)) {
		d := s.Values[name]
		line("| %s | %d | %.3f | %.3f | %.3f | %.3f |", name, d.N, d.Mean(), d.Deviation(), d.Min, d.Max)
	}
	line("\n## Sources and their terms\n")
	line("The labels are derived from these texts, whose terms go on to hold.\n")
	line("| source | trajectories | terms |\n|---|---|---|")
	for _, source := range slices.Sorted(maps.Keys(s.Sources)) {
		set, _, _ := strings.Cut(strings.ToLower(source), "/")
		name, known := source, terms[set]
		if name == "" {
			name = "(not named)"
		}
		if known == "" {
			known = "not known here: see the source"
		}
		line("| %s | %d | %s |", strings.NewReplacer("|", "\\|", "\n", " ").Replace(name), s.Sources[source], known)
	}
	return b.String()
}
