package formats

import (
	"fmt"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/nn"
)

// openQwen opens Qwen2.5-Math-PRM and ReasonFlux-PRM-7B: the chat template's text, each step followed by <extra_0> instead of its
// blank line. There a step is read: the probability of class 1 of a two-class MLP. See the models' cards.
func openQwen(f *Folder) (*Format, error) {
	tensors, err := named(f.Weights, map[string]string{
		"score.0.weight": "score.0.weight", "score.0.bias": "score.0.bias", "score.2.weight": "score.2.weight", "score.2.bias": "score.2.bias",
	})
	if err != nil {
		return nil, err
	}
	text := data.DefaultText()
	text.ThinkTags, text.Separator, text.StepMark, text.Read = nil, "", "<extra_0>", "mark"
	text.MaxTokens = f.Config.MaxPositionEmbeddings
	r, err := data.NewRenderer(text, f.Tokenizer, f.Text)
	if err != nil {
		return nil, err
	}
	render := func(t *data.Trajectory, _ *Format) ([]*data.Example, error) {
		bare := *t
		bare.Where = "" // the caller says where
		e, _, err := r.Render(&bare)
		if err != nil {
			return nil, err
		}
		steps := e.Reads[:0]
		for _, read := range e.Reads {
			if read.Kind == data.Step { // nobody trained it to judge the whole
				steps = append(steps, read)
			}
		}
		if e.Reads = steps; len(steps) == 0 {
			return nil, fmt.Errorf("no step is read")
		}
		return []*data.Example{e}, nil
	}
	head := nn.HeadSpec{Kind: nn.TwoClassMLP, Final: "shared"}
	return &Format{Head: head, Tensors: tensors, Threshold: 0.5, render: render}, nil
}
