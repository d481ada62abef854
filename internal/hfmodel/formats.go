package hfmodel

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// rewardHeadNames are the files in which ReasonFlux-PRM-1.5B keeps its head beside a plain causal LM: as published, and converted.
// The converted one, where there is one, is read.
var rewardHeadNames = [...]string{"reward_head.safetensors", "reward_head.pt"}

// rewardHead is the name of the folder's file with a head, "" if there is none.
func rewardHead(dir string) string {
	for _, name := range rewardHeadNames {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return name
		}
	}
	return ""
}

// OpenRewardHead opens the folder's file with a head.
func OpenRewardHead(dir string) (File, error) {
	name := rewardHead(dir)
	if name == "" {
		return nil, fmt.Errorf("%s: neither %s nor %s is there", dir, rewardHeadNames[0], rewardHeadNames[1])
	}
	file, err := openFile(filepath.Join(dir, name))
	if err != nil || name != rewardHeadNames[0] {
		return file, err
	}
	published, err := openFile(filepath.Join(dir, rewardHeadNames[1]))
	if errors.Is(err, fs.ErrNotExist) {
		return file, nil
	}
	if err == nil {
		err = errors.Join(sameTensors(file, published), published.Close())
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// RewardHeadNames are the files that OpenRewardHead reads.
func RewardHeadNames() []string { return rewardHeadNames[:] }

// head is what stands on the trunk.
type head struct {
	description string
	formats     []string // names of the public PRM formats that have it
}

// Formats lists the public PRM formats, by their names for --format, that fit a folder's architecture and tensor names; none for a
// head that no public format has. Plain causal LMs fit several, which only their maker can tell apart.
func Formats(c *Config, w *Weights) []string { return headOf(c, w).formats }

func headOf(c *Config, w *Weights) head {
	h := c.HiddenSize
	has := func(name string, shape ...int) bool {
		tensor, found := w.Lookup(name)
		return found && slices.Equal(tensor.Info.Shape, shape)
	}
	// An absent architecture contradicts nothing.
	is := func(ending string) bool {
		return len(c.Architectures) == 0 || slices.ContainsFunc(c.Architectures, func(a string) bool { return strings.HasSuffix(a, ending) })
	}
	if w.Has("score.0.weight") {
		if has("score.0.weight", h, h) && has("score.0.bias", h) && has("score.2.weight", 2, h) && has("score.2.bias", 2) {
			return head{"two-class MLP (score.0, score.2)", []string{"qwen_math_prm"}}
		}
		return head{"score.0 and further, not a two-class MLP", nil}
	}
	if w.Has("v_head.summary.weight") {
		if has("v_head.summary.weight", 1, h) && has("v_head.summary.bias", 1) {
			return head{"value head (v_head.summary)", []string{"skywork"}}
		}
		return head{"v_head.summary, not a linear layer to 1 with bias", nil}
	}
	if score, found := w.Lookup("score.weight"); found {
		shape := score.Info.Shape
		switch {
		case len(shape) != 2 || shape[1] != h:
			return head{"score.weight of an unknown shape", nil}
		case has("score.bias", shape[0]) && shape[0] == 2 && is("ForTokenClassification"):
			return head{"linear to 2 with bias (score)", []string{"token_classification", "pure"}}
		case has("score.bias", shape[0]):
			return head{"linear with bias (score)", nil}
		case !w.Has("score.bias") && shape[0] == 1 && is("ForSequenceClassification"):
			return head{"linear to 1 without bias (score)", []string{"sequence_classification"}}
		}
		return head{"linear (score)", nil}
	}
	if name := rewardHead(w.dir); name != "" && is("ForCausalLM") {
		return head{"value head in " + name, []string{"reasonflux_1_5b"}}
	}
	if has(lmHead, c.VocabSize, h) && is("ForCausalLM") {
		return head{"language model (lm_head)", causalFormats()}
	}
	if c.TieWordEmbeddings && is("ForCausalLM") {
		return head{"language model (tied to the embedding)", causalFormats()}
	}
	return head{"none", nil}
}

func causalFormats() []string { return []string{"math_shepherd", "rlhflow", "eurus"} }
