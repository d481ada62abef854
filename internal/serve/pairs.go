package serve

import (
	"cmp"
	"errors"
	"slices"

	"github.com/goprm/goprm/data"
)

// scorePairs is vLLM's request of /score; its two sides have four pairs of names.
type scorePairs struct {
	activation
	Text1     documents `json:"text_1"`
	Text2     documents `json:"text_2"`
	Queries   documents `json:"queries"`
	Documents documents `json:"documents"`
	Items     documents `json:"items"`
	Data1     documents `json:"data_1"`
	Data2     documents `json:"data_2"`
}

// sides are the problems and the responses, one problem with each response, or as many.
func (q *scorePairs) sides() (problems, responses documents, err error) {
	type pair struct {
		names  string
		first  documents
		second documents
	}
	var given []pair
	for _, p := range []pair{
		{"queries and documents", q.Queries, q.Documents}, {"queries and items", q.Queries, q.Items},
		{"data_1 and data_2", q.Data1, q.Data2}, {"text_1 and text_2", q.Text1, q.Text2},
	} {
		if p.second != nil {
			given = append(given, p)
		}
	}
	sides := 0
	for _, side := range []documents{q.Text1, q.Queries, q.Data1} {
		if side != nil {
			sides++
		}
	}
	if len(given) != 1 || sides != 1 {
		return nil, nil, bad("one of queries and documents, queries and items, data_1 and data_2, text_1 and text_2 is needed")
	}
	p := given[0]
	if len(p.second) == 0 || len(p.first) != 1 && len(p.first) != len(p.second) {
		return nil, nil, bad("%s: %d with %d: one with each, or as many", p.names, len(p.first), len(p.second))
	}
	return p.first, p.second, nil
}

// values scores the pairs: the reward in [0,1], or, without activation, r̂.
func (q *scorePairs) values(c *call) ([]float64, usage, error) {
	on, err := q.on()
	if err != nil {
		return nil, usage{}, err
	}
	problems, responses, err := q.sides()
	if err != nil {
		return nil, usage{}, err
	}
	return c.pairs(problems, responses, on)
}

// pairScore is vLLM's /score: of a problem with its response, or of each of several, the reward in [0,1].
func pairScore(c *call) (any, error) {
	var q scorePairs
	if err := c.fields(&q); err != nil {
		return nil, err
	}
	values, u, err := q.values(c)
	if err != nil {
		return nil, err
	}
	return scoreList(c, "score", values, u), nil
}

func scoreList(c *call, prefix string, values []float64, u usage) any {
	out := make([]any, len(values))
	for i, v := range values {
		out[i] = map[string]any{"index": i, "object": "score", "score": v}
	}
	return listAnswer(c, prefix, out, u)
}

// pairScoreV1 is vLLM's name of old, save with items, which is SGLang's request: a list of scores an item. With label_token_ids they are
// the labels' probabilities as the next token, else the one that /score gives.
func pairScoreV1(c *call) (any, error) {
	var q struct {
		scorePairs
		Query documentOrIDs `json:"query"`
		labelRequest
	}
	if !c.has("items") {
		return pairScore(c)
	}
	if c.has("label_token_ids") {
		return sglangLabels(c)
	}
	if err := c.fields(&q); err != nil {
		return nil, err
	}
	if q.Query.given && q.Queries != nil {
		return nil, bad("query and queries are two names for one thing")
	}
	if q.ApplySoftmax != nil || q.ItemFirst {
		return nil, bad("apply_softmax, item_first: they go with label_token_ids")
	}
	if q.Query.given {
		if q.Query.ids != nil {
			return nil, bad("query: token ids go with label_token_ids")
		}
		q.Queries = documents{q.Query.text}
	}
	values, u, err := q.values(c)
	if err != nil {
		return nil, err
	}
	scores := make([][]float64, len(values))
	for i, v := range values {
		scores[i] = []float64{v}
	}
	return sglangScores(c, scores, u), nil
}

func sglangScores(c *call, scores [][]float64, u usage) any {
	return map[string]any{"scores": scores, "model": c.info.Name, "usage": u, "object": "scoring"}
}

// rerank is vLLM's: the responses to a problem from the best to the worst, or the best top_n of them, by the reward in [0,1]; equal ones
// stay in order.
func rerank(c *call) (any, error) {
	var q struct {
		activation
		Query     string    `json:"query"`
		Documents documents `json:"documents"`
		TopN      int       `json:"top_n"`
		Return    *bool     `json:"return_documents"`
	}
	if err := c.fields(&q); err != nil {
		return nil, err
	}
	if len(q.Documents) == 0 || q.TopN < 0 {
		return nil, bad("%d documents and a top_n of %d: one document at least is needed, and top_n is 0 for all", len(q.Documents), q.TopN)
	}
	on, err := q.on()
	if err != nil {
		return nil, err
	}
	scores, u, err := c.pairs(documents{q.Query}, q.Documents, on)
	if err != nil {
		return nil, err
	}
	type document struct {
		Text string `json:"text"`
	}
	type result struct {
		Index    int       `json:"index"`
		Document *document `json:"document,omitempty"`
		Score    float64   `json:"relevance_score"`
	}
	list := make([]result, len(scores))
	for i, s := range scores {
		list[i] = result{Index: i, Score: s}
		if q.Return == nil || *q.Return {
			list[i].Document = &document{q.Documents[i]}
		}
	}
	slices.SortStableFunc(list, func(a, b result) int { return cmp.Compare(b.Score, a.Score) })
	if q.TopN > 0 {
		list = list[:min(q.TopN, len(list))]
	}
	return map[string]any{
		"id": c.answerID("rerank"), "model": c.info.Name, "results": list,
		"usage": map[string]int{"prompt_tokens": u.PromptTokens, "total_tokens": u.TotalTokens},
	}, nil
}

// pairs scores each response to its problem, or to the only one.
func (c *call) pairs(problems, responses documents, activated bool) ([]float64, usage, error) {
	list := make([]*data.Trajectory, len(responses))
	for i, r := range responses {
		problem := problems[min(i, len(problems)-1)]
		if err := cmp.Or(c.ctx.Err(), c.checkSize(len(problem)+len(r))); err != nil {
			return nil, usage{}, at(i, len(responses), err)
		}
		list[i] = c.trajectory(problem, r)
	}
	scores, u, err := c.finite(list)
	values := make([]float64, len(scores))
	for i, s := range scores {
		if values[i] = s.Reward; activated {
			values[i] = c.unit.of(s.Reward)
		}
	}
	return values, u, err
}

// documents is a list of texts, or one. A text may come as an object that holds it as text, as other rerank APIs have it, or as content,
// a string or parts.
type documents []string

func (d *documents) UnmarshalJSON(b []byte) error {
	list, err := elements(b)
	if err != nil {
		return err
	}
	*d = documents{}
	for i, raw := range list {
		text, err := documentText(raw)
		if err != nil {
			return at(i, len(list), err)
		}
		*d = append(*d, text)
	}
	return nil
}

var errDocument = errors.New("neither a text nor an object that holds one as text or content")
