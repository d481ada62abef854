package formats

import (
	"fmt"
	"slices"
	"strings"

	"github.com/goprm/goprm/data/tokenizer"
	"github.com/goprm/goprm/internal/nnet"
)

// tagged is a text in which a tag of one token stands behind each step. There the language model predicts "+" or "-"; the score is the
// softmax of "+" among the two. The text is tokenised as a whole, as tokenizer(text) does.
type tagged struct {
	afterProblem string
	between      string // two steps, behind the tag of the first
	tag          string
	texts        func([]step) []string // without the tag
}

func (d tagged) open(f *Folder) (*Format, error) {
	good, bad, err := plusMinus(f.Tokenizer)
	if err != nil {
		return nil, err
	}
	tag, err := lastToken(f.Tokenizer, d.tag)
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
		text, at := d.text(problem, steps)
		ids, ends, err := f.Tokenizer.Encode(text)
		if err != nil {
			return nil, nil, err
		}
		for i, end := range at {
			n, ok := tokensTo(ends, end)
			if before, _ := tokensTo(ends, end-len(d.tag)); !ok || n-before != 1 || ids[n-1] != tag {
				return nil, nil, fmt.Errorf("step %d: the tag %q after it is not one token of this tokenizer", steps[i].index, d.tag)
			}
			reads = append(reads, int32(len(before)+n-1))
		}
		if err := d.noOtherTag(ids, ends, tag, len(problem), at, steps); err != nil {
			return nil, nil, err
		}
		return slices.Concat(before, ids, after), reads, nil
	}
	head := nnet.HeadSpec{Kind: nnet.LinearTwoClass, Final: "shared"}
	return &Format{Head: head, Tensors: tensors, Threshold: 0.5, Surrounded: true, lay: lay}, nil
}

// text is the whole text, and where each step's tag ends.
func (d tagged) text(problem string, steps []step) (text string, at []int) {
	var b strings.Builder
	b.WriteString(problem + d.afterProblem)
	for i, s := range d.texts(steps) {
		if i > 0 {
			b.WriteString(d.between)
		}
		b.WriteString(strings.TrimSuffix(s, d.tag) + d.tag)
		at = append(at, b.Len())
	}
	return b.String(), at
}

// noOtherTag refuses a problem or a step that holds the tag itself: the model would see a step end there. problem is where the problem
// ends in the text, at where each step's own tag does.
func (d tagged) noOtherTag(ids []int32, ends []int, tag int32, problem int, at []int, steps []step) error {
	mark := d.tag
	if word := strings.TrimSpace(mark); word != "" {
		mark = word
	}
	for i, id := range ids {
		if id != tag {
			continue
		}
		switch after, own := slices.BinarySearch(at, ends[i]); {
		case own:
		case ends[i] <= problem || after == len(steps):
			return fmt.Errorf("the problem contains the step mark %q", mark)
		default:
			return fmt.Errorf("step %d contains the step mark %q", steps[after].index, mark)
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
