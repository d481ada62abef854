package prm

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/goprm/goprm/internal/hfmodel"
	"github.com/goprm/goprm/internal/strictyaml"
)

// readme is the model card.
func (x *export) readme() string {
	c := &x.card
	var s strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&s, format+"\n", args...) }
	line("%s\n# Process reward model\n\nTrained with goprm (%s), exported as %s.\n", x.frontMatter(), c.Version, x.To)
	line("| | |\n|---|---|")
	if base := x.folder.Card.Base; base != nil {
		line("| base | `%s`, SHA-256 of its content %s; its licence holds for this model too |", base.Path, base.SHA256)
	} else {
		line("| licence | that of the backbone it was trained from |")
	}
	line("| trained | %s, on labels of: %s |", c.Trained, strings.Join(c.Parts, ", "))
	line("| adapters merged | %d |", x.result.Merged)
	line("| score | softmax of the two logits, second entry, at each read-out |")
	line("| a step counts as wrong | below %v |", c.Threshold)
	line("| reward | mean score of the steps (%s) + %v × the trajectory's score, where it has one |", c.Over, c.Alpha)
	line("| text | template %s, order %s, thinking between %s, separator %s, step mark %s, read at %s, trajectory read at %s |",
		quoted(c.Text.Template), c.Text.Order, quoted(strings.Join(c.Text.ThinkTags, " … ")), quoted(c.Text.Separator), quoted(c.Text.StepMark),
		c.Text.Read, c.Text.Final)
	line("\n`goprm.json` holds these settings; `prm score --model .` follows them. Elsewhere the text must be laid out the same way:\n")
	line("```python\n%s\n```", x.snippet())
	return s.String()
}

// frontMatter is the card's metadata, as the Hugging Face hub reads it. base_model is a name on the hub, so a folder of this machine is
// left out.
func (x *export) frontMatter() string {
	m := struct {
		Tags    []string `yaml:"tags"`
		Library string   `yaml:"library_name"`
		Base    string   `yaml:"base_model,omitempty"`
	}{[]string{"process-reward-model", "goprm"}, "transformers", hfmodel.HubID(x.folder.RootDir)}
	if x.To == ToPEFT {
		m.Library = "peft"
	}
	return frontMatter(m)
}

// frontMatter is the YAML block that begins a card on the hub.
func frontMatter(metadata any) string {
	text, err := strictyaml.Encode(metadata)
	if err != nil { // structs of texts have no way to fail
		return ""
	}
	return "---\n" + string(text) + "---\n"
}

func quoted(text string) string {
	var raw strings.Builder
	to := json.NewEncoder(&raw)
	to.SetEscapeHTML(false) // <extra_0> is to be read by people
	err := to.Encode(text)
	if err != nil { // no string fails
		return text
	}
	return "`" + strings.TrimSpace(raw.String()) + "`"
}

func (x *export) snippet() string {
	const softmax = "scores = model(input_ids).logits.softmax(-1)[..., 1]  # read at each step's last token"
	switch x.To {
	case ToPEFT:
		return "from peft import AutoPeftModelForTokenClassification\n" +
			"model = AutoPeftModelForTokenClassification.from_pretrained(\".\")\n" + softmax
	case ToProcessReward:
		return "# vllm serve . --runner pooling; POST /pooling gives [p_wrong, p_right] at each <extra_0>"
	}
	return "from transformers import AutoModelForTokenClassification\n" +
		"model = AutoModelForTokenClassification.from_pretrained(\".\")\n" + softmax
}
