package formats

import (
	"fmt"
	"strings"

	"github.com/goprm/goprm/internal/nnet"
)

// openSkywork opens Skywork-o1-Open-PRM: begin of text, the problem and a newline, then each line of the response and a newline,
// every piece tokenised on its own. A step is read at the newline that ends it: sigmoid of a linear value head.
// See model_utils/io_utils.py of SkyworkAI/skywork-o1-prm-inference.
func openSkywork(f *Folder) (*Format, error) {
	tensors, err := named(f.Weights, linear("v_head.summary.weight", "v_head.summary.bias"))
	if err != nil {
		return nil, err
	}
	begin := f.Text.Special["bos_token"]
	if begin == "" {
		begin = "<|im_start|>" // what the published tokenizers name
	}
	if _, ok := f.Tokenizer.ID(begin); !ok {
		return nil, fmt.Errorf("the tokenizer has no token %q for the beginning", begin)
	}
	newline, err := lastToken(f.Tokenizer, "\n")
	if err != nil {
		return nil, err
	}
	lay := func(problem string, steps []step) (tokens, reads []int32, err error) {
		tokens, _, err = f.Tokenizer.Encode(begin + problem + "\n")
		if err != nil {
			return nil, nil, fmt.Errorf("problem: %w", err)
		}
		for _, s := range steps {
			for _, line := range strings.Split(s.text, "\n") {
				ids, _, err := f.Tokenizer.Encode(line)
				if err != nil {
					return nil, nil, fmt.Errorf("step %d: %w", s.index, err)
				}
				tokens = append(append(tokens, ids...), newline)
			}
			reads = append(reads, int32(len(tokens)-1))
		}
		return tokens, reads, nil
	}
	head := nnet.HeadSpec{Kind: nnet.Scalar, Activation: "sigmoid", Final: "shared"}
	return &Format{Head: head, Tensors: tensors, Threshold: 0.5, cut: cutLines, lay: lay}, nil
}
