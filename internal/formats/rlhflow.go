package formats

import (
	"fmt"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/nnet"
)

// openRLHFlow opens Llama3.1-8B-PRM-Mistral-Data and -Deepseek-Data: a chat in which the user says the problem with the first step,
// then a step a turn, and the assistant answers "+". Where that answer is predicted, the score is the softmax of "+" among "+" and
// "-". See math-rm/prm_evaluate.py of RLHFlow/RLHF-Reward-Modeling.
func openRLHFlow(f *Folder) (*Format, error) {
	good, bad, err := plusMinus(f.Tokenizer)
	if err != nil {
		return nil, err
	}
	tensors, err := pair(f, bad, good)
	if err != nil {
		return nil, err
	}
	chat, err := data.NewChat(f.Text)
	if err != nil {
		return nil, err
	}
	lay := func(problem string, steps []step) (tokens, reads []int32, err error) {
		turns := make([]data.Turn, 0, 2*len(steps))
		for i, s := range steps {
			said := s.text
			if i == 0 {
				said = problem + " " + said
			}
			turns = append(turns, data.Turn{Role: "user", Content: said}, data.Turn{Role: "assistant", Content: "+"})
		}
		if len(steps) == 0 {
			turns = append(turns, data.Turn{Role: "user", Content: problem})
		}
		text, places, err := chat.Render(turns)
		if err != nil {
			return nil, nil, err
		}
		tokens, ends, err := f.Tokenizer.Encode(text)
		if err != nil {
			return nil, nil, err
		}
		for i, s := range steps {
			answer := places[2*i+1]
			n, ok := tokensTo(ends, answer)
			if !ok || tokens[min(n, len(tokens)-1)] != good {
				return nil, nil, fmt.Errorf("step %d: the answer \"+\" to it is not the one token %d in the chat template's text", s.index, good)
			}
			reads = append(reads, int32(n-1))
		}
		return tokens, reads, nil
	}
	head := nnet.HeadSpec{Kind: nnet.LinearTwoClass, Final: "shared"}
	return &Format{Head: head, Tensors: tensors, Threshold: 0.5, lay: lay}, nil
}
