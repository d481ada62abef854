package formats

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/data/tokenizer"
	"github.com/goprm/goprm/internal/hfmodel"
	"github.com/goprm/goprm/internal/nnet"
)

// openReasonFlux opens ReasonFlux-PRM-1.5B: the problem and the answer, end to end, with what the tokenizer adds of its own; sigmoid
// of a linear head at the last token. The head lies in a file of its own. The model scores whole texts; here a step's score is that
// of the text up to its end, tokenised as such. See utils/rm_utils.py of Gen-Verse/ReasonFlux.
func openReasonFlux(f *Folder) (*Format, error) {
	weights, err := hfmodel.OpenRewardHead(f.Dir)
	if err != nil {
		return nil, err
	}
	tensors, err := ownHead(weights, f.Config.HiddenSize)
	if err := errors.Join(err, weights.Close()); err != nil {
		return nil, err
	}
	before, after, err := tokenizer.Surround(f.Dir)
	if err != nil {
		return nil, err
	}
	texts := wholeTexts{tokenizer: f.Tokenizer, before: before, after: after}
	head := nnet.HeadSpec{Kind: nnet.Scalar, Activation: "sigmoid", Final: "shared"}
	return &Format{Head: head, Tensors: tensors, Threshold: 0.5, Outcome: true, Surrounded: true, render: texts.render}, nil
}

// wholeTexts renders a text for each step, up to its end, and one of the whole trajectory; each is read at its last token.
type wholeTexts struct {
	tokenizer     tokenizer.Tokenizer
	before, after []int32
}

func (w wholeTexts) encode(text string) ([]int32, error) {
	ids, _, err := w.tokenizer.Encode(text)
	if err == nil && len(w.before)+len(ids)+len(w.after) == 0 {
		err = errors.New("a text without tokens")
	}
	return slices.Concat(w.before, ids, w.after), err
}

func (w wholeTexts) render(ctx context.Context, t *data.Trajectory, format *Format, limits data.RenderLimits) ([]*data.Example, error) {
	thinking, response := format.cut(t)
	whole, ends := content(thinking, response)
	if len(ends) == 0 {
		return nil, errNoSteps
	}
	begins, window, err := w.windows(ctx, t.Problem, whole, starts(thinking, response), ends, limits)
	if err != nil {
		return nil, err
	}
	var list []*data.Example
	total := 0 // every step has a text of its own
	add := func(upTo string, window int, read data.ReadOut) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		ids, err := w.encode(t.Problem + upTo)
		if total += len(ids); err == nil {
			err = limits.Check(total)
		}
		if err == nil {
			err = format.checkLength(len(ids)) // white space behind the last step may be too much
		}
		if err != nil {
			return err
		}
		read.Pos, read.Window = int32(len(ids)-1), window
		list = append(list, &data.Example{ID: t.ID, Tokens: ids, Problem: data.KeyOf(t.Problem), Reads: []data.ReadOut{read}})
		return nil
	}
	for i, end := range ends {
		part := data.PartThinking
		if i >= len(thinking.Steps) {
			part = data.PartResponse
		}
		if err := add(whole[begins[i]:end], window[i], data.ReadOut{Kind: data.KindStep, Part: part, Index: i}); err != nil {
			return nil, err
		}
	}
	last := len(ends) - 1
	err = add(whole[begins[last]:], window[last], data.ReadOut{Kind: data.KindTrajectory, Part: data.PartTrajectory, Index: -1})
	return list, err
}

// windows returns, for each step, where its window begins in the text, and which window it is.
func (w wholeTexts) windows(ctx context.Context, problem, whole string, starts, ends []int, limits data.RenderLimits) (
	begins, window []int, err error,
) {
	begins, window = make([]int, len(ends)), make([]int, len(ends))
	all, err := w.encode(problem + whole)
	if err == nil {
		err = limits.Check(len(all))
	}
	if err != nil || len(all) <= limits.Window {
		return begins, window, err
	}
	windows, err := data.WindowsWithin(ctx, len(ends), limits, func(from, to int) (int, error) {
		text := problem
		if to > from {
			text += whole[starts[from]:ends[to-1]]
		}
		ids, err := w.encode(text)
		return len(ids), err
	})
	for n, run := range windows {
		for i := run.Read; i < run.To; i++ {
			begins[i], window[i] = starts[run.From], n
		}
	}
	return begins, window, err
}

// ownHead copies weight [1, h] and bias [1] out of their file, which nothing else needs.
func ownHead(file hfmodel.File, hidden int) (nnet.Lookup, error) {
	found := map[string]nnet.StoredTensor{}
	for name, shape := range map[string][]int{"weight": {1, hidden}, "bias": {1}} {
		info, ok := file.Info(name)
		if !ok || !slices.Equal(info.Shape, shape) || !info.DType.IsFloat() {
			return nil, fmt.Errorf("%s: holds no %q of shape %v", file.Path(), name, shape)
		}
		found["score."+name] = nnet.StoredTensor{File: file.Path(), Info: info, Data: slices.Clone(file.Bytes(name))}
	}
	if n := len(file.Tensors()); n != 2 {
		return nil, fmt.Errorf("%s: %d tensors, where a linear head has two", file.Path(), n)
	}
	return lookup(found), nil
}
