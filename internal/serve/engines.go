package serve

import (
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/goprm/goprm/data"
)

// engineRequest is what vLLM's and SGLang's endpoints have in common.
type engineRequest struct {
	Model          string    `json:"model"`
	Input          inputs    `json:"input"`
	Messages       []message `json:"messages"`
	EncodingFormat string    `json:"encoding_format"`
	Truncate       *int      `json:"truncate_prompt_tokens"`
	ChatTemplate   *string   `json:"chat_template"`
	Generation     bool      `json:"add_generation_prompt"`
	// vLLM's names for one thing, over the years.
	UseActivation *bool `json:"use_activation"`
	Activation    *bool `json:"activation"`
	Softmax       *bool `json:"softmax"`
}

// activated tells whether probabilities are asked for, not what they are made of.
func (q *engineRequest) activated() bool {
	for _, v := range []*bool{q.UseActivation, q.Activation, q.Softmax} {
		if v != nil {
			return *v
		}
	}
	return true
}

func (q *engineRequest) check(c *call) error {
	switch {
	case q.Model != "" && q.Model != c.info.Name:
		return &statusError{http.StatusNotFound, fmt.Errorf("model %q is not served here, %q is", q.Model, c.info.Name)}
	case q.Truncate != nil:
		return bad("truncate_prompt_tokens: nothing is cut off here; leave it out")
	case q.ChatTemplate != nil:
		return bad("chat_template: the model's own is used; leave it out")
	case q.Generation:
		return bad("add_generation_prompt: the answer is complete; leave it out")
	case q.EncodingFormat != "" && q.EncodingFormat != "float" && q.EncodingFormat != "base64":
		return bad("encoding_format: %q is neither float nor base64", q.EncodingFormat)
	case (len(q.Input) == 0) == (len(q.Messages) == 0):
		return bad("one of input and messages is needed")
	}
	return nil
}

// trajectories are the request's, each a question and an answer.
func (q *engineRequest) trajectories(c *call) ([]*data.Trajectory, error) {
	if q.Messages != nil {
		problem, answer, err := question(turnsOf(q.Messages))
		if err != nil {
			return nil, unprocessable(err)
		}
		return []*data.Trajectory{trajectory(problem, answer, c.info.Mark)}, nil
	}
	list := make([]*data.Trajectory, len(q.Input))
	for i, in := range q.Input {
		text, err := in.text, error(nil)
		if in.ids != nil {
			if text, err = c.model.Decode(in.ids); err != nil {
				return nil, bad("%v", at(i, len(q.Input), err))
			}
		}
		problem, answer, err := fromText(text, nil)
		if err != nil {
			return nil, unprocessable(at(i, len(q.Input), err))
		}
		list[i] = trajectory(problem, answer, c.info.Mark)
	}
	return list, nil
}

// marked are the request's texts, taken as they are, if the model's step marks are in all of them; ok is false else.
func (q *engineRequest) marked(c *call) (list []Text, ok bool, err error) {
	if c.info.Mark == "" {
		return nil, false, nil
	}
	in := q.Input
	if q.Messages != nil {
		text, err := c.model.Chat(turnsOf(q.Messages))
		if err != nil {
			return nil, false, unprocessable(err)
		}
		in = inputs{{text: text}}
	}
	mark, err := c.model.Encode(c.info.Mark)
	if err != nil || len(mark) != 1 {
		return nil, false, errors.Join(err, errors.New("the step mark is no token"))
	}
	for i, one := range in {
		ids := one.ids
		if ids == nil {
			if ids, err = c.model.Encode(one.text); err != nil {
				return nil, false, unprocessable(at(i, len(in), err))
			}
		}
		found := false
		for _, id := range ids {
			found = found || id == mark[0]
		}
		if !found {
			return nil, false, nil
		}
		if len(ids) > c.info.MaxTokens {
			return nil, false, unprocessable(at(i, len(in), fmt.Errorf("%d tokens, the model was trained for %d; ask /v1/steps, which reads in windows", len(ids), c.info.MaxTokens)))
		}
		text, err := c.model.RenderTokens(ids)
		if err != nil {
			return nil, false, unprocessable(at(i, len(in), err))
		}
		list = append(list, text)
	}
	return list, true, nil
}

// pooling is vLLM's, of Qwen2ForProcessRewardModel: a row for each step, [bad, good]. A text that holds the model's step marks is
// taken as it is; another one is taken apart. Of models whose scores are no probabilities a row is the score; models that score no
// steps give one row.
func pooling(c *call) (any, error) {
	var q engineRequest
	if err := c.fields(&q); err != nil {
		return nil, err
	}
	if err := q.check(c); err != nil {
		return nil, err
	}
	if !q.activated() && c.info.Range != Unbounded {
		return nil, bad("use_activation: the model's probabilities are all there is here")
	}
	texts, ok, err := q.marked(c)
	if err != nil {
		return nil, err
	}
	if !ok {
		list, err := q.trajectories(c)
		if err != nil {
			return nil, err
		}
		if texts, err = c.render(list); err != nil {
			return nil, err
		}
	}
	scores, err := c.batches.score(c.ctx, texts)
	if err != nil {
		return nil, err
	}
	c.metrics.scored(texts, scores)
	pooled := make([]any, len(scores))
	for i, s := range scores {
		values := s.Steps
		if len(values) == 0 {
			values = []float64{s.Reward}
		}
		rows := make([][]float64, len(values))
		for j, v := range values {
			rows[j] = c.info.row(v)
		}
		pooled[i] = map[string]any{"index": i, "object": "pooling", "data": encoded(q.EncodingFormat, rows...)}
		if q.EncodingFormat != "base64" {
			pooled[i] = map[string]any{"index": i, "object": "pooling", "data": rows}
		}
	}
	return listAnswer(c, "pool", pooled, usageOf(texts, scores)), nil
}

// row is a score as the classes' probabilities.
func (i Info) row(score float64) []float64 {
	switch i.Range {
	case Symmetric:
		score = (score + 1) / 2
	case Unbounded:
		return []float64{score}
	}
	return []float64{1 - score, score}
}

// encoded is the values, or, for base64, their float32 bytes.
func encoded(format string, rows ...[]float64) any {
	if format != "base64" {
		return rows[0]
	}
	var b []byte
	for _, row := range rows {
		for _, v := range row {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(v)))
		}
	}
	return base64.StdEncoding.EncodeToString(b)
}

func listAnswer(c *call, prefix string, list any, u usage) map[string]any {
	return map[string]any{
		"id": prefix + "-" + strings.ToLower(rand.Text()), "object": "list", "created": time.Now().Unix(), "model": c.info.Name, "data": list, "usage": u,
	}
}

// classify is vLLM's: the reward in [0,1] as the probability of LABEL_1; with "activation": false, as verl asks, it is r̂ itself.
// With "text" it is SGLang's own, which answers with r̂ too.
func classify(c *call) (any, error) {
	var q struct {
		engineRequest
		Text inputs `json:"text"`
	}
	if err := c.fields(&q); err != nil {
		return nil, err
	}
	if len(q.Text) > 0 && len(q.Input) == 0 {
		q.Input = q.Text
	}
	if err := q.check(c); err != nil {
		return nil, err
	}
	list, err := q.trajectories(c)
	if err != nil {
		return nil, err
	}
	scores, u, err := c.finite(list)
	if err != nil {
		return nil, err
	}
	out := make([]any, len(scores))
	for i, s := range scores {
		unit, name := c.unit.of(s.Reward), "LABEL_0"
		if unit > 0.5 {
			name = "LABEL_1"
		}
		probs := []float64{1 - unit, unit}
		if !q.activated() {
			probs = []float64{s.Reward}
		}
		out[i] = map[string]any{"index": i, "label": name, "probs": probs, "num_classes": len(probs)}
		if len(q.Text) > 0 {
			out[i] = map[string]any{"embedding": []float64{s.Reward}}
		}
	}
	if len(q.Text) > 0 {
		return out, nil
	}
	return listAnswer(c, "classify", out, u), nil
}

// pairScore is vLLM's /score: of a problem with its response, or of each of several, the reward in [0,1].
func pairScore(c *call) (any, error) {
	var q struct {
		Model     string `json:"model"`
		Text1     texts  `json:"text_1"`
		Text2     texts  `json:"text_2"`
		Queries   texts  `json:"queries"`
		Documents texts  `json:"documents"`
		Data1     texts  `json:"data_1"`
		Data2     texts  `json:"data_2"`
	}
	if err := c.fields(&q); err != nil {
		return nil, err
	}
	problems, responses := append(append(q.Text1, q.Queries...), q.Data1...), append(append(q.Text2, q.Documents...), q.Data2...)
	if len(responses) == 0 || len(problems) != 1 && len(problems) != len(responses) {
		return nil, bad("%d of text_1 with %d of text_2: one with each, or as many", len(problems), len(responses))
	}
	scores, u, err := c.pairs(q.Model, problems, responses)
	if err != nil {
		return nil, err
	}
	out := make([]any, len(scores))
	for i, s := range scores {
		out[i] = map[string]any{"index": i, "object": "score", "score": c.unit.of(s.Reward)}
	}
	return listAnswer(c, "score", out, u), nil
}

// rerank is vLLM's: the responses to a problem from the best to the worst, or the best top_n of them, by the reward in [0,1]; equal ones
// stay in order.
func rerank(c *call) (any, error) {
	var q struct {
		Model     string `json:"model"`
		Query     string `json:"query"`
		Documents texts  `json:"documents"`
		TopN      int    `json:"top_n"`
	}
	if err := c.fields(&q); err != nil {
		return nil, err
	}
	if len(q.Documents) == 0 || q.TopN < 0 {
		return nil, bad("%d documents and a top_n of %d: one document at least is needed, and top_n is 0 for all", len(q.Documents), q.TopN)
	}
	scores, u, err := c.pairs(q.Model, []string{q.Query}, q.Documents)
	if err != nil {
		return nil, err
	}
	type document struct {
		Text string `json:"text"`
	}
	type result struct {
		Index    int      `json:"index"`
		Document document `json:"document"`
		Score    float64  `json:"relevance_score"`
	}
	list := make([]result, len(scores))
	for i, s := range scores {
		list[i] = result{i, document{q.Documents[i]}, c.unit.of(s.Reward)}
	}
	slices.SortStableFunc(list, func(a, b result) int { return cmp.Compare(b.Score, a.Score) })
	if q.TopN > 0 {
		list = list[:min(q.TopN, len(list))]
	}
	return map[string]any{
		"id": "rerank-" + strings.ToLower(rand.Text()), "model": c.info.Name, "results": list,
		"usage": map[string]int{"prompt_tokens": u.PromptTokens, "total_tokens": u.TotalTokens},
	}, nil
}

// pairs scores each response to its problem, or to the only one.
func (c *call) pairs(model string, problems, responses []string) ([]Score, usage, error) {
	if model != "" && model != c.info.Name {
		return nil, usage{}, &statusError{http.StatusNotFound, fmt.Errorf("model %q is not served here, %q is", model, c.info.Name)}
	}
	list := make([]*data.Trajectory, len(responses))
	for i, r := range responses {
		list[i] = trajectory(problems[min(i, len(problems)-1)], r, c.info.Mark)
	}
	return c.finite(list)
}

// embeddings is how SGLang serves reward models: the embedding is r̂.
func embeddings(c *call) (any, error) {
	var q engineRequest
	if err := c.fields(&q); err != nil {
		return nil, err
	}
	if err := q.check(c); err != nil {
		return nil, err
	}
	list, err := q.trajectories(c)
	if err != nil {
		return nil, err
	}
	scores, u, err := c.finite(list)
	if err != nil {
		return nil, err
	}
	out := make([]any, len(scores))
	for i, s := range scores {
		out[i] = map[string]any{"object": "embedding", "index": i, "embedding": encoded(q.EncodingFormat, []float64{s.Reward})}
	}
	return listAnswer(c, "embd", out, u), nil
}

// tokenize is vLLM's. No token is added.
func tokenize(c *call) (any, error) {
	var q struct {
		Prompt   *string   `json:"prompt"`
		Messages []message `json:"messages"`
	}
	if err := c.fields(&q); err != nil {
		return nil, err
	}
	if (q.Prompt == nil) == (q.Messages == nil) {
		return nil, bad("one of prompt and messages is needed")
	}
	text := ""
	if q.Prompt != nil {
		text = *q.Prompt
	} else {
		var err error
		if text, err = c.model.Chat(turnsOf(q.Messages)); err != nil {
			return nil, unprocessable(err)
		}
	}
	ids, err := c.model.Encode(text)
	if err != nil {
		return nil, unprocessable(err)
	}
	if ids == nil {
		ids = []int32{}
	}
	return map[string]any{"count": len(ids), "max_model_len": c.info.MaxTokens, "tokens": ids, "token_strs": nil}, nil
}

// models lists the one that is served.
func (s *Server) models(w http.ResponseWriter, r *http.Request) {
	one := map[string]any{
		"id": s.info.Name, "object": "model", "created": s.started.Unix(), "owned_by": "goprm", "root": s.info.Name, "parent": nil,
		"max_model_len": s.info.MaxTokens,
	}
	s.reply(w, r, map[string]any{"object": "list", "data": []any{one}}, nil)
}
