package formats

import (
	"slices"
	"strings"

	"github.com/goprm/goprm/internal/hfmodel"
)

// headKind is the arrangement of tensors that a public format has on the trunk.
type headKind int

const (
	noHead         headKind = iota // none, or one that no public format has
	twoClassMLP                    // score.0 [h, h], score.2 [2, h], with biases
	valueHead                      // v_head.summary [1, h], with bias
	twoClassLinear                 // score [2, h], with bias
	rewardLinear                   // score [1, h], without bias
	rewardFile                     // a file of its own beside a causal LM
	languageModel                  // lm_head, or the embedding where it is tied
)

// Fits lists the public formats, by their names for --format, that fit a folder's architecture and tensor names; none for a head that no
// public format has. Plain causal LMs fit several, which only their maker can tell apart.
func Fits(c *hfmodel.Config, w *hfmodel.Weights) []string {
	_, fits := Recognise(c, w)
	return fits
}

// Recognise describes the head of a folder, and lists the formats that have it.
func Recognise(c *hfmodel.Config, w *hfmodel.Weights) (description string, fits []string) {
	kind, description := headOf(c, w)
	for _, d := range table {
		if kind != noHead && d.head == kind {
			fits = append(fits, d.name)
		}
	}
	return description, fits
}

func headOf(c *hfmodel.Config, w *hfmodel.Weights) (kind headKind, description string) {
	h := c.HiddenSize
	has := func(name string, shape ...int) bool {
		tensor, found := w.Lookup(name)
		return found && slices.Equal(tensor.Info.Shape, shape)
	}
	switch {
	case w.Has("score.0.weight"):
		if has("score.0.weight", h, h) && has("score.0.bias", h) && has("score.2.weight", 2, h) && has("score.2.bias", 2) {
			return twoClassMLP, "two-class MLP (score.0, score.2)"
		}
		return noHead, "score.0 and further, not a two-class MLP"
	case w.Has("v_head.summary.weight"):
		if has("v_head.summary.weight", 1, h) && has("v_head.summary.bias", 1) {
			return valueHead, "value head (v_head.summary)"
		}
		return noHead, "v_head.summary, not a linear layer to 1 with bias"
	case w.Has("score.weight"):
		return linearHead(c, w)
	}
	switch name := hfmodel.RewardHeadName(w.Dir()); {
	case !mayBe(c, "ForCausalLM"):
		return noHead, "none"
	case name != "":
		return rewardFile, "value head in " + name
	case has(lmHead, c.VocabSize, h):
		return languageModel, "language model (lm_head)"
	case c.TieWordEmbeddings:
		return languageModel, "language model (tied to the embedding)"
	}
	return noHead, "none (lm_head.weight is missing, and tie_word_embeddings is false)"
}

// linearHead is the kind of a head score.weight.
func linearHead(c *hfmodel.Config, w *hfmodel.Weights) (headKind, string) {
	score, _ := w.Lookup("score.weight")
	shape := score.Info.Shape
	if len(shape) != 2 || shape[1] != c.HiddenSize {
		return noHead, "score.weight of an unknown shape"
	}
	bias, _ := w.Lookup("score.bias")
	switch biased := slices.Equal(bias.Info.Shape, shape[:1]); {
	case biased && shape[0] == 2 && mayBe(c, "ForTokenClassification"):
		return twoClassLinear, "linear to 2 with bias (score)"
	case biased:
		return noHead, "linear with bias (score)"
	case !w.Has("score.bias") && shape[0] == 1 && mayBe(c, "ForSequenceClassification"):
		return rewardLinear, "linear to 1 without bias (score)"
	}
	return noHead, "linear (score)"
}

// mayBe tells whether config.json names an architecture with the ending, or none, which contradicts nothing.
func mayBe(c *hfmodel.Config, ending string) bool {
	return len(c.Architectures) == 0 || slices.ContainsFunc(c.Architectures, func(a string) bool { return strings.HasSuffix(a, ending) })
}

// FilesBeside are the files that a format reads beside the weights.
func FilesBeside(name string) []string {
	if slices.ContainsFunc(table, func(d definition) bool { return d.name == name && d.head == rewardFile }) {
		return hfmodel.RewardHeadNames()
	}
	return nil
}
