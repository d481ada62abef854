package formats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/nnet"
)

// openSequence opens outcome models of transformers' sequence classification with one label: the chat template's text of problem and
// answer; the raw logit of a linear head without bias at the last token that is no padding. They score no steps.
func openSequence(f *Folder) (*Format, error) {
	tensors, err := named(f.Weights, map[string]string{"score.weight": "score.weight"})
	if err != nil {
		return nil, err
	}
	if l := f.Config.Labels; len(l) == 1 && l.Bad() {
		return nil, fmt.Errorf("id2label calls its one class %q, so its logit would be high for what is bad", l[0])
	}
	var padding struct {
		ID *int32 `json:"pad_token_id"`
	}
	if err := json.Unmarshal(f.Config.Raw, &padding); err != nil {
		return nil, fmt.Errorf("config.json: pad_token_id: %w", err)
	}
	chat, err := data.NewChat(f.Text)
	if err != nil {
		return nil, err
	}
	render := func(_ context.Context, t *data.Trajectory, format *Format, _ data.RenderLimits) ([]*data.Example, error) {
		answer, _ := content(format.cut(t))
		if answer == "" {
			return nil, errNoSteps
		}
		text, _, err := chat.Render([]data.Turn{{Role: "user", Content: t.Problem}, {Role: "assistant", Content: answer}})
		if err != nil {
			return nil, err
		}
		ids, _, err := f.Tokenizer.Encode(text)
		if err != nil {
			return nil, err
		}
		if err := format.checkLength(len(ids)); err != nil {
			return nil, err
		}
		last := len(ids) - 1
		for last > 0 && padding.ID != nil && ids[last] == *padding.ID {
			last--
		}
		if last < 0 {
			return nil, errors.New("a text without tokens")
		}
		read := data.ReadOut{Pos: int32(last), Kind: data.KindTrajectory, Part: data.PartTrajectory, Index: -1}
		return []*data.Example{{ID: t.ID, Tokens: ids, Problem: data.KeyOf(t.Problem), Reads: []data.ReadOut{read}}}, nil
	}
	head := nnet.HeadSpec{Kind: nnet.Scalar, Activation: "identity", Final: "shared"}
	return &Format{Head: head, Tensors: tensors, Outcome: true, Raw: true, render: render}, nil
}
