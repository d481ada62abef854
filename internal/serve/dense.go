package serve

import (
	"errors"
	"regexp"
	"sort"
	"strings"
	"unicode/utf8"

	"github.com/goprm/goprm/data"
)

// Rewards at the policy's tokens. The server does not know the policy's tokenizer, so a trainer says where each of its tokens ends in
// the text; the token in which a step ends gets the step's share of the reward, and the last token the rest, which is the outcome's and
// the trajectory's. So a text's token rewards add up to its reward.

// tokenEnds are the offsets, in characters of a text, just past each token.
type tokenEnds []int

// bytes are the same offsets in bytes.
func (e tokenEnds) bytes(text string) ([]int, error) {
	out := make([]int, len(e))
	at, chars := 0, 0
	for i, end := range e {
		if end < chars {
			return nil, bad("token_ends: %d at token %d is before the end of the token before it", end, i)
		}
		for chars < end && at < len(text) {
			_, n := utf8.DecodeRuneInString(text[at:])
			at, chars = at+n, chars+1
		}
		if chars < end {
			return nil, bad("token_ends: %d at token %d is past the text's %d characters", end, i, chars)
		}
		out[i] = at
	}
	return out, nil
}

var errNoPlaces = unprocessable(errors.New("token_ends: the steps' places in the text cannot be told"))

// betweenParts is what stands between thinking and response, at the end of the text before the response.
var betweenParts = regexp.MustCompile(`(?:</think>|<\|end_of_thought\|>|<\|begin_of_solution\|>|<\|im_start\|>answer|` +
	`(?:<\|end\|>)?(?:<\|start\|>assistant)?<\|channel\|>\w+<\|message\|>)$`)

// places are where thinking and response begin in the text that ends with both.
func places(text string, t *data.Trajectory) (thinking, response int, err error) {
	rest := trimRight(text)
	if t.Response != "" {
		for _, mark := range []string{"<|end_of_solution|>", "<|im_end|>"} {
			if !strings.HasSuffix(rest, t.Response) {
				rest = trimRight(strings.TrimSuffix(rest, mark))
			}
		}
		if !strings.HasSuffix(rest, t.Response) {
			return 0, 0, errNoPlaces
		}
		response = len(rest) - len(t.Response)
		rest = strings.TrimRight(rest[:response], " \t\r\n")
	}
	if t.Thinking != "" {
		for cut := true; cut; {
			before := rest
			rest = strings.TrimRight(betweenParts.ReplaceAllString(rest, ""), " \t\r\n")
			cut = rest != before
		}
		if !strings.HasSuffix(rest, t.Thinking) {
			return 0, 0, errNoPlaces
		}
		thinking = len(rest) - len(t.Thinking)
	}
	return thinking, response, nil
}

// tokenRewards spreads a sample's reward over the tokens that end at the given places of the text; nil if it has no reward.
func tokenRewards(text string, ends tokenEnds, s sample, r rewarded, process float64) ([]float64, error) {
	if len(ends) == 0 {
		return nil, bad("token_ends: empty")
	}
	at, err := ends.bytes(text)
	if err != nil || r.reward == nil {
		return nil, err
	}
	out, rest := make([]float64, len(ends)), *r.reward
	if !r.unscored {
		thinking, response, err := places(text, s.trajectory)
		if err != nil {
			return nil, err
		}
		for i, share := range r.Shares {
			if share.End < 0 {
				return nil, errNoPlaces
			}
			begin := response
			if share.Thinking {
				begin = thinking
			}
			token := sort.SearchInts(at, begin+share.End)
			if token == len(at) {
				return nil, bad("token_ends: step %d ends at byte %d, past the last token", i, begin+share.End)
			}
			value := process * share.Weight * r.Steps[i]
			out[token], rest = out[token]+value, rest-value
		}
	}
	out[len(out)-1] += rest
	return out, nil
}

// allTokenRewards are those of each of a request's texts; what ails one of them names it.
func (c *call) allTokenRewards(texts []string, ends []tokenEnds, samples []sample, list []rewarded) ([][]float64, error) {
	if len(ends) != len(texts) {
		return nil, bad("token_ends: %d for %d texts", len(ends), len(texts))
	}
	out := make([][]float64, len(texts))
	for i, r := range list {
		process := 1.0
		if r.outcome != nil {
			process = c.blend.process
		}
		var err error
		if out[i], err = tokenRewards(texts[i], ends[i], samples[i], r, process); err != nil {
			return nil, at(i, len(texts), err)
		}
	}
	return out, nil
}
