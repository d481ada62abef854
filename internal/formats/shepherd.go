package formats

import "fmt"

// openShepherd opens math-shepherd-mistral-7b-prm: "PROBLEM Step 1: ... ки\nStep 2: ... ки". See the model's card.
func openShepherd(f *Folder) (*Format, error) {
	return tagged{afterProblem: " ", between: "\n", tag: " ки", texts: numbered}.open(f)
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
