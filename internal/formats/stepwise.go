package formats

import (
	"fmt"
	"math"

	"github.com/goprm/goprm/internal/nnet"
)

// openTokenClassification opens what TRL's PRMTrainer makes: the problem, then each step and a newline, every piece tokenised on its
// own after the beginning-of-text token, if the tokenizer names one. A step is read at its newline: the probability of class 1.
// See trl/experimental/prm/prm_trainer.py.
func openTokenClassification(f *Folder) (*Format, error) {
	var begin []int32
	if token := f.Text.Special["bos_token"]; token != "" {
		id, ok := f.Tokenizer.ID(token)
		if !ok {
			return nil, fmt.Errorf("the tokenizer lacks its own bos_token %q", token)
		}
		begin = []int32{id}
	}
	return openStepwise(f, begin, "\n")
}

// openPure opens jinachris/Qwen2.5-Math-7B-PRM800K: as TRL's, with a blank line after each step and no beginning of text, and the
// score p1 − p0, from −1 to 1. See mr_eval/models/pure_prm.py of PRMBench.
func openPure(f *Folder) (*Format, error) {
	format, err := openStepwise(f, nil, "\n\n")
	if err != nil {
		return nil, err
	}
	format.Threshold, format.Signed = 0, true
	format.Score = func(z []float64) float64 { return math.Tanh((z[1] - z[0]) / 2) } // p1 − p0
	return format, nil
}

func openStepwise(f *Folder, begin []int32, separator string) (*Format, error) {
	tensors, err := named(f.Weights, linear("score.weight", "score.bias"))
	if err != nil {
		return nil, err
	}
	if tensors, err = f.goodLast(tensors); err != nil {
		return nil, err
	}
	ends, _, err := f.Tokenizer.Encode(separator)
	if err != nil {
		return nil, err
	}
	if len(ends) == 0 {
		return nil, fmt.Errorf("the separator %q has no tokens", separator)
	}
	lay := func(problem string, steps []step) (tokens, reads []int32, err error) {
		ids, _, err := f.Tokenizer.Encode(problem)
		if err != nil {
			return nil, nil, fmt.Errorf("problem: %w", err)
		}
		tokens = append(append(tokens, begin...), ids...)
		for _, s := range steps {
			ids, _, err := f.Tokenizer.Encode(s.text)
			if err != nil {
				return nil, nil, fmt.Errorf("step %d: %w", s.index, err)
			}
			tokens = append(append(tokens, ids...), ends...)
			reads = append(reads, int32(len(tokens)-1))
		}
		return tokens, reads, nil
	}
	head := nnet.HeadSpec{Kind: nnet.LinearTwoClass, Final: "shared"}
	return &Format{Head: head, Tensors: tensors, Threshold: 0.5, lay: lay}, nil
}
