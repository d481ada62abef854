package formats

import "strings"

// openVersa opens VersaPRM, Llama-PRM800K and Qwen-PRM800K (UW-Madison-Lee-Lab), and dPRM, which has the same text: the problem and a
// blank line, then each step followed by " \n\n\n\n". There is no chat template. See VersaPRM's card.
func openVersa(f *Folder) (*Format, error) {
	return tagged{afterProblem: " \n\n", tag: " \n\n\n\n", texts: trimmed}.open(f)
}

// trimmed are the steps' texts without white space around them, which would be one token with the tag.
func trimmed(steps []step) []string {
	texts := make([]string, len(steps))
	for i, s := range steps {
		texts[i] = strings.TrimSpace(s.text)
	}
	return texts
}
