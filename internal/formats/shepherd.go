package formats

import (
	"fmt"
	"slices"
	"strings"

	"github.com/goprm/goprm/data/tokenizer"
	"github.com/goprm/goprm/internal/nnet"
)

// stepTag stands after each step of Math-Shepherd's text.
const stepTag = " ки"

// openShepherd opens math-shepherd-mistral-7b-prm: "PROBLEM Step 1: ... ки\nStep 2: ... ки". At the tag after each step the
// language model predicts "+" or "-"; the score is the softmax of "+" among the two. See the model's card.
func openShepherd(f *Folder) (*Format, error) {
	good, bad, err := plusMinus(f.Tokenizer)
	if err != nil {
		return nil, err
	}
	tag, err := lastToken(f.Tokenizer, stepTag)
	if err != nil {
		return nil, err
	}
	tensors, err := pair(f, bad, good)
	if err != nil {
		return nil, err
	}
	before, after, err := tokenizer.Surround(f.Dir)
	if err != nil {
		return nil, err
	}
	lay := func(problem string, steps []step) (tokens, reads []int32, err error) {
		var text strings.Builder
		text.WriteString(problem + " ")
		at := make([]int, len(steps))
		for i, s := range numbered(steps) {
			if i > 0 {
				text.WriteByte('\n')
			}
			text.WriteString(strings.TrimSuffix(s, stepTag) + stepTag)
			at[i] = text.Len()
		}
		ids, ends, err := f.Tokenizer.Encode(text.String())
		if err != nil {
			return nil, nil, err
		}
		for i, end := range at {
			n, ok := tokensTo(ends, end)
			if before, _ := tokensTo(ends, end-len(stepTag)); !ok || n-before != 1 || ids[n-1] != tag {
				return nil, nil, fmt.Errorf("step %d: the tag %q after it is not one token of this tokenizer", steps[i].index, stepTag)
			}
			reads = append(reads, int32(len(before)+n-1))
		}
		if err := noOtherTag(ids, ends, tag, len(problem), at, steps); err != nil {
			return nil, nil, err
		}
		return append(append(append(tokens, before...), ids...), after...), reads, nil
	}
	head := nnet.HeadSpec{Kind: nnet.LinearTwoClass, Final: "shared"}
	return &Format{Head: head, Tensors: tensors, Threshold: 0.5, Surrounded: true, lay: lay}, nil
}

// noOtherTag refuses a problem or a step that holds the tag itself: the model would see a step end there. problem is where the problem
// ends in the text, at where each step's own tag does.
func noOtherTag(ids []int32, ends []int, tag int32, problem int, at []int, steps []step) error {
	for i, id := range ids {
		if id != tag {
			continue
		}
		switch after, own := slices.BinarySearch(at, ends[i]); {
		case own:
		case ends[i] <= problem || after == len(steps):
			return fmt.Errorf("the problem contains the step mark %q", strings.TrimSpace(stepTag))
		default:
			return fmt.Errorf("step %d contains the step mark %q", steps[after].index, strings.TrimSpace(stepTag))
		}
	}
	return nil
}

// plusMinus are the tokens that stand for a good and a bad step.
func plusMinus(tok tokenizer.Tokenizer) (plus, minus int32, err error) {
	if plus, err = lastToken(tok, "+"); err == nil {
		minus, err = lastToken(tok, "-")
	}
	return plus, minus, err
}

// numbered are the steps' texts, each beginning with "Step k: " as in the training data, unless the trajectory's bring such beginnings
// themselves.
func numbered(steps []step) []string {
	texts := make([]string, len(steps))
	for i, s := range steps {
		texts[i] = s.text
		if !s.given {
			texts[i] = fmt.Sprintf("Step %d: %s", s.index+1, s.text)
		}
	}
	return texts
}
