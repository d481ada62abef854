package serve

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/goprm/goprm/data"
)

// engineRequest is what vLLM's and SGLang's endpoints have in common.
type engineRequest struct {
	Input    inputs    `json:"input"`
	Messages []message `json:"messages"`
}

func (q *engineRequest) check() error {
	if (len(q.Input) == 0) == (len(q.Messages) == 0) {
		return bad("one of input and messages is needed")
	}
	return nil
}

// activation is whether probabilities are asked for, or what they are made of. Over the years vLLM had three names for it.
type activation struct {
	UseActivation *bool `json:"use_activation"`
	Activation    *bool `json:"activation"`
	Softmax       *bool `json:"softmax"`
}

func (a *activation) on() (bool, error) {
	on, by := true, ""
	for _, f := range []struct {
		name  string
		value *bool
	}{{"use_activation", a.UseActivation}, {"activation", a.Activation}, {"softmax", a.Softmax}} {
		switch {
		case f.value == nil:
		case by != "" && *f.value != on:
			return false, bad("%s and %s contradict each other", by, f.name)
		default:
			on, by = *f.value, f.name
		}
	}
	return on, nil
}

// trajectories are the request's, each a question and an answer.
func (q *engineRequest) trajectories(c *call) ([]*data.Trajectory, error) {
	if q.Messages != nil {
		if err := c.checkSize((&prompt{messages: q.Messages}).size()); err != nil {
			return nil, err
		}
		problem, answer, err := question(turnsOf(q.Messages))
		if err != nil {
			return nil, unprocessable(err)
		}
		return []*data.Trajectory{c.trajectory(problem, answer)}, nil
	}
	list := make([]*data.Trajectory, len(q.Input))
	for i, in := range q.Input {
		text, err := in.text, error(nil)
		if in.ids != nil {
			if text, err = c.model.Decode(in.ids); err != nil {
				return nil, bad("%v", at(i, len(q.Input), err))
			}
		}
		problem, answer, err := c.fromText(text, nil)
		switch {
		case isTooLarge(err) || c.ctx.Err() != nil:
			return nil, at(i, len(q.Input), err)
		case err != nil:
			return nil, unprocessable(at(i, len(q.Input), err))
		}
		list[i] = c.trajectory(problem, answer)
	}
	return list, nil
}

// marked are the request's texts, taken as they are, if the model's step marks are in all of them; ok is false else. With special,
// texts that are no ids get the tokens that the tokenizer adds.
func (q *engineRequest) marked(c *call, special bool) (list []Text, ok bool, err error) {
	if c.info.Mark == "" {
		return nil, false, nil
	}
	in := q.Input
	if q.Messages != nil {
		if err := c.checkSize((&prompt{messages: q.Messages}).size()); err != nil {
			return nil, false, err
		}
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
		if err := cmp.Or(c.ctx.Err(), c.checkSize(len(one.text))); err != nil {
			return nil, false, at(i, len(in), err)
		}
		ids := one.ids
		if ids == nil {
			if ids, err = c.model.Encode(one.text); err != nil {
				return nil, false, unprocessable(at(i, len(in), err))
			}
			if special {
				if ids, err = c.withSpecial(ids); err != nil {
					return nil, false, err
				}
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
			return nil, false, unprocessable(at(i, len(in), fmt.Errorf(
				"%d tokens, the model was trained for %d; ask /v1/steps, which reads in windows", len(ids), c.info.MaxTokens)))
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
// steps give one row. Without activation the rows are the logits that the scores are made of.
func pooling(c *call) (any, error) {
	var q struct {
		engineRequest
		activation
		encoding
		AddSpecialTokens *bool `json:"add_special_tokens"`
	}
	if err := c.fields(&q); err != nil {
		return nil, err
	}
	on, err := q.on()
	if err := errors.Join(err, q.check(), q.fill()); err != nil {
		return nil, err
	}
	texts, ok, err := q.marked(c, q.AddSpecialTokens != nil && *q.AddSpecialTokens)
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
	c.uncached = c.uncached || !on // a remembered beginning has no logits
	scores, err := c.scoreTexts(texts)
	if err != nil {
		return nil, err
	}
	list, flat := make([][][]float64, len(scores)), false
	for i, s := range scores {
		if flat = oneLabel(c.info, s); flat {
			list[i] = [][]float64{{c.labelOf(s, on)}}
		} else if list[i], err = rowsOf(c.info, s, on); err != nil {
			return nil, at(i, len(scores), err)
		}
	}
	return numberList(c, "pooling", "pooling", "data", q.encoding, list, flat, usageOf(texts, scores)), nil
}

// oneLabel tells whether the score is one that vLLM has too: the one logit of sequence classification, for a whole text.
func oneLabel(i Info, s Score) bool { return !i.Steps && i.Range == Unbounded && len(s.Steps) == 0 }

// labelOf is that label's probability, or its logit.
func (c *call) labelOf(s Score, activated bool) float64 {
	if activated {
		return c.unit.of(s.Reward)
	}
	return s.Reward
}

// rowsOf are a text's scores as vLLM pools them, or the logits that they are made of. A score that is the sigmoid of one logit z is the
// softmax of [0, z].
func rowsOf(i Info, s Score, activated bool) ([][]float64, error) {
	values := s.Steps
	if len(values) == 0 {
		values = []float64{s.Reward}
	}
	rows := make([][]float64, len(values))
	for j, v := range values {
		switch {
		case activated || i.Range == Unbounded:
			rows[j] = rowOf(i, v)
		case j >= len(s.Logits):
			return nil, bad("use_activation: the model's probabilities are all there is here")
		case len(s.Logits[j]) == 1:
			rows[j] = []float64{0, s.Logits[j][0]}
		default:
			rows[j] = s.Logits[j]
		}
	}
	return rows, nil
}

// rowOf is a score as the classes' probabilities.
func rowOf(i Info, score float64) []float64 {
	switch i.Range {
	case Symmetric:
		score = (score + 1) / 2
	case Unbounded:
		return []float64{score}
	}
	return []float64{1 - score, score}
}

func listAnswer(c *call, prefix string, list any, u usage) map[string]any {
	return map[string]any{
		"id": c.answerID(prefix), "object": "list", "created": time.Now().Unix(), "model": c.info.Name, "data": list, "usage": u,
	}
}

// answerID is the request's own id, or a random one, behind the kind of answer.
func (c *call) answerID(prefix string) string {
	if c.requestID == "" {
		return prefix + "-" + strings.ToLower(rand.Text())
	}
	return prefix + "-" + c.requestID
}

// classify is vLLM's: the reward in [0,1] as the probability of LABEL_1, or of the one label of a sequence classification; with
// "activation": false, as verl asks, it is r̂ itself. With "text" it is SGLang's own, which answers with r̂ too.
func classify(c *call) (any, error) {
	var q struct {
		engineRequest
		activation
		Text inputs `json:"text"`
	}
	if err := c.fields(&q); err != nil {
		return nil, err
	}
	if len(q.Text) > 0 && len(q.Input) > 0 {
		return nil, bad("one of input and text is needed")
	}
	if len(q.Text) > 0 {
		q.Input = q.Text
	}
	on, err := q.on()
	if err := errors.Join(err, q.check()); err != nil {
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
		switch {
		case oneLabel(c.info, s):
			probs, name = []float64{c.labelOf(s, on)}, "LABEL_0"
		case !on:
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

// embeddings is how SGLang serves reward models: the embedding is r̂.
func embeddings(c *call) (any, error) {
	var q struct {
		engineRequest
		encoding
	}
	if err := c.fields(&q); err != nil {
		return nil, err
	}
	if err := errors.Join(q.check(), q.fill()); err != nil {
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
	out := make([][][]float64, len(scores))
	for i, s := range scores {
		out[i] = [][]float64{{s.Reward}}
	}
	return numberList(c, "embd", "embedding", "embedding", q.encoding, out, true, u), nil
}

// withSpecial puts the tokens around a text that the tokenizer's own post-processing adds.
func (c *call) withSpecial(ids []int32) ([]int32, error) {
	before, after, err := c.model.Surround()
	if err != nil {
		return nil, bad("add_special_tokens: %v; send token ids, or false", err)
	}
	return slices.Concat(before, ids, after), nil
}

// tokenize is vLLM's (entrypoints/serve/tokenize/protocol.py): a text gets what the tokenizer adds, and a conversation the beginning of
// an answer, unless the request says otherwise.
func tokenize(c *call) (any, error) {
	var q struct {
		Prompt              *string   `json:"prompt"`
		Messages            []message `json:"messages"`
		AddSpecialTokens    *bool     `json:"add_special_tokens"`
		AddGenerationPrompt *bool     `json:"add_generation_prompt"`
		ReturnTokenStrs     bool      `json:"return_token_strs"`
	}
	if err := c.fields(&q); err != nil {
		return nil, err
	}
	special, text := q.Prompt != nil, ""
	switch {
	case (q.Prompt == nil) == (q.Messages == nil):
		return nil, bad("one of prompt and messages is needed")
	case q.Prompt != nil && q.AddGenerationPrompt != nil:
		return nil, bad("add_generation_prompt: it is for messages; leave it out")
	case q.Prompt != nil:
		text = *q.Prompt
	default:
		write := c.model.ChatPrompt
		if q.AddGenerationPrompt != nil && !*q.AddGenerationPrompt {
			write = c.model.Chat
		}
		err := c.checkSize((&prompt{messages: q.Messages}).size())
		if err != nil {
			return nil, err
		}
		if text, err = write(turnsOf(q.Messages)); err != nil {
			return nil, unprocessable(err)
		}
	}
	if err := c.checkSize(len(text)); err != nil {
		return nil, err
	}
	ids, err := c.model.Encode(text)
	if err != nil {
		return nil, unprocessable(err)
	}
	if q.AddSpecialTokens != nil {
		special = *q.AddSpecialTokens
	}
	if special {
		if ids, err = c.withSpecial(ids); err != nil {
			return nil, err
		}
	}
	var tokens []string // null unless it is asked for
	if q.ReturnTokenStrs {
		tokens = make([]string, len(ids))
		for i, id := range ids {
			tokens[i], _ = c.model.Token(id)
		}
	}
	return map[string]any{"count": len(ids), "max_model_len": c.info.MaxTokens, "tokens": append([]int32{}, ids...), "token_strs": tokens}, nil
}

// detokenize is vLLM's.
func detokenize(c *call) (any, error) {
	var q struct {
		Tokens []int32 `json:"tokens"`
	}
	if err := c.fields(&q); err != nil {
		return nil, err
	}
	if q.Tokens == nil {
		return nil, bad("tokens is missing")
	}
	text, err := c.model.Decode(q.Tokens)
	if err != nil {
		return nil, bad("tokens: %v", err)
	}
	return map[string]string{"prompt": text}, nil
}

// models lists the one that is served.
func (s *Server) models(w http.ResponseWriter, r *http.Request) {
	info := s.current().info
	one := map[string]any{
		"id": info.Name, "object": "model", "created": s.started.Unix(), "owned_by": "goprm", "root": info.Name, "parent": nil,
		"max_model_len": info.MaxTokens,
	}
	s.reply(w, r, map[string]any{"object": "list", "data": []any{one}}, nil)
}
