package tokenizer

import (
	"fmt"
	"sort"
	"strings"
	"unicode/utf8"
)

// TokenEnds decodes ids, as a policy has sampled them, and returns the text and, for each id, the offset in it just past the
// characters that are whole by then. The ids are taken as they are: encoding the text anew could give others.
func TokenEnds(tok Tokenizer, ids []int32) (text string, ends []int, err error) {
	var b strings.Builder
	ends = make([]int, len(ids))
	first := 0 // of the ids whose text is not in b yet
	for i := range ids {
		piece, err := tok.Decode(ids[first : i+1])
		if err != nil {
			return "", nil, fmt.Errorf("token %d: %w", i, err)
		}
		// A character of at most UTFMax bytes may come in as many tokens; what is broken for longer stays broken.
		if last, _ := utf8.DecodeLastRuneInString(piece); last != utf8.RuneError || i+1-first >= utf8.UTFMax || i == len(ids)-1 {
			b.WriteString(piece)
			first = i + 1
		}
		ends[i] = b.Len()
	}
	return b.String(), ends, nil
}

// StepTokens finds the token in which each step ends. tokenEnds are the ends of the tokens, stepEnds those of the steps, both
// in bytes of the same text, ascending. A step may end inside a token, as where full stop and line break are one.
func StepTokens(tokenEnds, stepEnds []int) ([]int, error) {
	at := make([]int, len(stepEnds))
	for i, end := range stepEnds {
		if end < 1 || i > 0 && end < stepEnds[i-1] {
			return nil, fmt.Errorf("step %d: its end %d is not past the step before", i, end)
		}
		at[i] = sort.SearchInts(tokenEnds, end)
		if at[i] == len(tokenEnds) {
			return nil, fmt.Errorf("step %d ends at byte %d, past the last token: the text is not that of these tokens", i, end)
		}
	}
	return at, nil
}
