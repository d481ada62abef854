package serve

import (
	"cmp"
	"errors"
	"math"
	"net/http"
	"slices"

	"github.com/goprm/goprm/internal/served"
)

// labelRequest asks how likely some tokens are to come next.
type labelRequest struct {
	Labels       []int32 `json:"label_token_ids"`
	ApplySoftmax *bool   `json:"apply_softmax"`
	ItemFirst    bool    `json:"item_first"`
	// AddSpecialTokens concerns texts: tokens that come as ids are taken as they are.
	AddSpecialTokens *bool `json:"add_special_tokens"`
}

// generativeRequest is vLLM's request of /generative_scoring, and SGLang's of /v1/score.
type generativeRequest struct {
	labelRequest
	Query documentOrIDs `json:"query"`
	Items scoredItems   `json:"items"`
}

// scoredItems is a list of texts or of their tokens, or one text.
type scoredItems []documentOrIDs

func (l *scoredItems) UnmarshalJSON(b []byte) error {
	list, err := elements(b)
	if err != nil {
		return err
	}
	*l = make(scoredItems, len(list))
	for i, raw := range list {
		if err := (*l)[i].UnmarshalJSON(raw); err != nil {
			return at(i, len(list), err)
		}
		if !(*l)[i].given {
			return at(i, len(list), errors.New("null"))
		}
	}
	return nil
}

// generativeScoring is vLLM's: how likely the first label is to follow the query with each item, among the labels or, without
// apply_softmax, among all tokens.
func generativeScoring(c *call) (any, error) {
	var q generativeRequest
	if err := c.fields(&q); err != nil {
		return nil, err
	}
	list, u, err := q.probabilities(c, q.ApplySoftmax == nil || *q.ApplySoftmax)
	if err != nil {
		return nil, err
	}
	values := make([]float64, len(list))
	for i, p := range list {
		values[i] = p[0]
	}
	return scoreList(c, "generative-scoring", values, u), nil
}

// sglangLabels gives all labels' probabilities. SGLang's apply_softmax is false where it is not given.
func sglangLabels(c *call) (any, error) {
	var q generativeRequest
	if err := c.fields(&q); err != nil {
		return nil, err
	}
	list, u, err := q.probabilities(c, q.ApplySoftmax != nil && *q.ApplySoftmax)
	if err != nil {
		return nil, err
	}
	return sglangScores(c, list, u), nil
}

// probabilities are those of the labels after each item.
func (q *generativeRequest) probabilities(c *call, softmax bool) ([][]float64, usage, error) {
	texts, err := q.texts(c)
	if err != nil {
		return nil, usage{}, err
	}
	c.turn.end()
	list, err := c.model.NextToken(c.ctx, texts, q.Labels, !softmax)
	if err == nil {
		err = c.turn.take(c.ctx)
	}
	switch {
	case errors.Is(err, served.ErrNoVocabulary):
		return nil, usage{}, withStatus(http.StatusNotFound, err)
	case err != nil:
		return nil, usage{}, err
	}
	u := usage{CompletionTokens: len(texts)} // vLLM counts the token that it has sampled
	for i, row := range list {
		u.PromptTokens += len(texts[i])
		if softmax {
			most, sum := slices.Max(row), 0.0
			for _, v := range row {
				sum += math.Exp(v - most)
			}
			for j := range row {
				row[j] -= most + math.Log(sum)
			}
		}
		for j, v := range row {
			row[j] = math.Exp(v)
		}
	}
	u.TotalTokens = u.PromptTokens + u.CompletionTokens
	return list, u, nil
}

// texts are the query with each item, as tokens, or the item with the query.
func (q *generativeRequest) texts(c *call) ([][]int32, error) {
	switch {
	case !q.Query.given || len(q.Items) == 0:
		return nil, bad("query and items are needed")
	case len(q.Labels) == 0:
		return nil, bad("label_token_ids: one at least is needed")
	}
	query, err := c.idsOf(q.Query)
	if err != nil {
		return nil, err
	}
	if q.Query.ids == nil && (q.AddSpecialTokens == nil || *q.AddSpecialTokens) {
		if query, err = c.withSpecial(query); err != nil {
			return nil, err
		}
	}
	texts := make([][]int32, len(q.Items))
	for i, item := range q.Items {
		ids, err := c.idsOf(item)
		if err != nil {
			return nil, at(i, len(q.Items), err)
		}
		if q.ItemFirst {
			texts[i] = append(append([]int32{}, ids...), query...)
		} else {
			texts[i] = append(append([]int32{}, query...), ids...)
		}
		if n := len(texts[i]); n == 0 || n >= c.info.MaxTokens {
			return nil, at(i, len(q.Items), bad("%d tokens, from 1 to %d are read", n, c.info.MaxTokens-1))
		}
	}
	return texts, nil
}

func (c *call) idsOf(d documentOrIDs) ([]int32, error) {
	if d.ids != nil {
		return d.ids, nil
	}
	if err := cmp.Or(c.ctx.Err(), c.checkSize(len(d.text))); err != nil {
		return nil, err
	}
	ids, err := c.model.Encode(d.text)
	if err != nil {
		return nil, unprocessable(err)
	}
	return ids, nil
}
