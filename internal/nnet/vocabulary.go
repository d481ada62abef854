package nnet

import "fmt"

// vocabularyBlock is how many tokens' logits exist at once: [R, vocabularyBlock] and never [R, V].
const vocabularyBlock = 8192

// VocabularyBlock is a part of the language-model head, [To−From, hidden].
type VocabularyBlock struct {
	Name     string // of the parameter
	From, To int    // tokens
}

// VocabularyBlocks cuts a language-model head of that many tokens into the parameters that a TokenLogProb head takes.
func VocabularyBlocks(tokens int) []VocabularyBlock {
	var blocks []VocabularyBlock
	for from := 0; from < tokens; from += vocabularyBlock {
		to := min(tokens, from+vocabularyBlock)
		blocks = append(blocks, VocabularyBlock{fmt.Sprintf("lm_head.weight[%d:%d]", from, to), from, to})
	}
	return blocks
}

// checkLabels makes sure that every read-out has a token to be the label.
func (n *Network) checkLabels(what output, b MicroBatch) error {
	if n.spec.Head.Kind != TokenLogProb || what != outValues {
		return nil
	}
	if len(b.Labels) != len(b.Reads) {
		return fmt.Errorf("labels: %d for %d read-outs", len(b.Labels), len(b.Reads))
	}
	for i, label := range b.Labels {
		if label < 0 || int(label) >= n.spec.Config.VocabSize {
			return fmt.Errorf("labels: read-out %d has token %d, the vocabulary %d", i, label, n.spec.Config.VocabSize)
		}
	}
	return nil
}
