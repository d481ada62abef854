package formats

import (
	"context"
	"slices"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/nnet"
)

// qwenMark stands behind each step.
const qwenMark = "<extra_0>"

// openQwen opens Qwen2.5-Math-PRM and ReasonFlux-PRM-7B: the chat template's text, each step followed by <extra_0> instead of its
// blank line. There a step is read: the probability of class 1 of a two-class MLP. See the models' cards.
func openQwen(f *Folder) (*Format, error) {
	tensors, err := named(f.Weights, map[string]string{
		"score.0.weight": "score.0.weight", "score.0.bias": "score.0.bias", "score.2.weight": "score.2.weight", "score.2.bias": "score.2.bias",
	})
	if err != nil {
		return nil, err
	}
	if tensors, err = f.goodLast(tensors); err != nil {
		return nil, err
	}
	text := data.DefaultText()
	text.ThinkTags, text.Separator, text.StepMark, text.Read = nil, "", qwenMark, "mark"
	r, err := data.NewRenderer(text, f.Tokenizer, f.Text)
	if err != nil {
		return nil, err
	}
	render := func(ctx context.Context, t *data.Trajectory, format *Format, limits data.RenderLimits) ([]*data.Example, error) {
		bare := *t
		bare.Where = "" // the caller says where
		list, err := r.RenderWithin(ctx, &bare, limits)
		if err != nil {
			return nil, err
		}
		for _, e := range list { // nobody trained it to judge the whole
			e.Reads = slices.DeleteFunc(e.Reads, func(read data.ReadOut) bool { return read.Kind == data.KindTrajectory })
		}
		return list, nil
	}
	head := nnet.HeadSpec{Kind: nnet.TwoClassMLP, Final: "shared"}
	return &Format{Head: head, Tensors: tensors, Threshold: 0.5, Mark: qwenMark, render: render}, nil
}
