package formats

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/hfmodel"
	"github.com/goprm/goprm/internal/nnet"
)

// eurusCoefficient is the published factor of the log-ratios.
const eurusCoefficient = 0.001

// openEurus opens EurusPRM-Stage1 and -Stage2, which reward implicitly: by how much likelier each token of the answer is to this
// language model than to the one it was trained from. A step scores the sum over its tokens, the trajectory the sum over all; the
// published use is the least step for Stage 1 and the whole sum for Stage 2. The text is the chat template's, with the steps "Step k:
// ..." joined by blank lines. Where a step ends is taken from the lengths of separately tokenised beginnings, as the models' card does.
func openEurus(f *Folder) (*Format, error) {
	tensors, err := VocabularyTensors(f.Config, f.Weights)
	if err != nil {
		return nil, err
	}
	chat, err := data.NewChat(f.Text)
	if err != nil {
		return nil, err
	}
	length := func(ctx context.Context, problem string, texts []string, all int) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		text, _, err := chat.Render([]data.Turn{{Role: "user", Content: problem}, {Role: "assistant", Content: strings.Join(texts, partBreak)}})
		if err != nil {
			return 0, err
		}
		text = strings.TrimSpace(text)
		if len(texts) > 0 && len(texts) < all {
			text += partBreak
		}
		ids, _, err := f.Tokenizer.Encode(text)
		return len(ids), err
	}
	render := func(ctx context.Context, t *data.Trajectory, format *Format, _ data.RenderLimits) ([]*data.Example, error) {
		steps := format.steps(t)
		if len(steps) == 0 {
			return nil, errNoSteps
		}
		texts := numbered(steps)
		text, _, err := chat.Render([]data.Turn{{Role: "user", Content: t.Problem}, {Role: "assistant", Content: strings.Join(texts, partBreak)}})
		if err != nil {
			return nil, err
		}
		e := &data.Example{ID: t.ID, Problem: data.KeyOf(t.Problem)}
		if e.Tokens, _, err = f.Tokenizer.Encode(text); err == nil {
			err = format.checkLength(len(e.Tokens))
		}
		if err != nil {
			return nil, err
		}
		// A read-out at a token is about the token after it. The card sums from three before the length of the text without an answer
		// to two before each step's, counted in read-outs.
		from, err := length(ctx, t.Problem, nil, len(texts))
		if err != nil {
			return nil, err
		}
		if from -= 3; from < 0 {
			return nil, errors.New("the chat template puts fewer than two tokens before the answer")
		}
		for i, s := range steps {
			to, err := length(ctx, t.Problem, texts[:i+1], len(texts))
			if err != nil {
				return nil, err
			}
			if to -= 2; to < from-1 || to >= len(e.Tokens)-1 {
				return nil, fmt.Errorf("step %d: its end is not found by tokenising the text up to it", s.index)
			}
			for ; from <= to; from++ {
				e.Reads = append(e.Reads, data.ReadOut{Pos: int32(from), Kind: data.KindStep, Part: s.part, Index: s.index})
			}
		}
		return []*data.Example{e}, nil
	}
	head := nnet.HeadSpec{Kind: nnet.TokenLogProb, Final: "shared"}
	return &Format{Head: head, Tensors: tensors, Outcome: true, Implicit: eurusCoefficient, render: render}, nil
}

// VocabularyTensors finds the language-model head in the blocks that a network takes.
func VocabularyTensors(c *hfmodel.Config, w *hfmodel.Weights) (nnet.Lookup, error) {
	head, err := vocabularyHead(&Folder{Config: c, Weights: w})
	if err != nil {
		return nil, err
	}
	width := head.Info.DType.Size() * int64(c.HiddenSize)
	found := map[string]nnet.StoredTensor{}
	for _, b := range nnet.VocabularyBlocks(c.VocabSize) {
		part := head
		part.Info.Shape = []int{b.To - b.From, c.HiddenSize}
		part.Data = head.Data[int64(b.From)*width : int64(b.To)*width]
		part.Info.Begin, part.Info.End = 0, int64(len(part.Data))
		found[b.Name] = part
	}
	return lookup(found), nil
}
