package serve

import (
	"encoding/json"

	"github.com/goprm/goprm/data"
)

// getReward is OpenRLHF's remote reward model: openrlhf/utils/agent.py and, before, openrlhf/utils/remote_rm_utils.py. With several
// URLs all but one are sent empty lists.
func getReward(c *call) (any, error) {
	var q struct {
		Query   texts  `json:"query"`
		Prompts texts  `json:"prompts"`
		Labels  labels `json:"labels"`
		// TokenEnds, of each text, are where the tokens of the response end in it; the answer then has token_rewards.
		TokenEnds []tokenEnds `json:"token_ends"`
	}
	if err := c.fields(&q); err != nil {
		return nil, err
	}
	if q.Query == nil && !c.has("query") {
		return nil, bad("query: missing")
	}
	if q.Prompts != nil && len(q.Prompts) != len(q.Query) || q.Labels != nil && len(q.Labels) != len(q.Query) {
		return nil, bad("%d texts, but %d prompts and %d labels", len(q.Query), len(q.Prompts), len(q.Labels))
	}
	samples := make([]sample, len(q.Query))
	for i, text := range q.Query {
		var known *string
		if q.Prompts != nil {
			known = &q.Prompts[i]
		}
		samples[i] = c.sampleOf(c.fromText(text, known))
		if q.Labels != nil {
			samples[i].label = q.Labels[i]
		}
	}
	list, err := c.rewards(samples)
	if err != nil {
		return nil, err
	}
	rewards, scores, logs := []*float64{}, []*float64{}, map[string][]float64{}
	for _, r := range list {
		rewards, scores = append(rewards, r.reward), append(scores, r.unit)
		for name, v := range c.logs(r) {
			logs[name] = append(logs[name], v)
		}
	}
	for name, values := range logs { // the trainer wants one number a text
		if len(values) != len(list) {
			delete(logs, name)
		}
	}
	answer := map[string]any{"rewards": rewards, "scores": scores, "extra_logs": logs}
	if q.TokenEnds != nil {
		if answer["token_rewards"], err = c.allTokenRewards(q.Query, q.TokenEnds, samples, list); err != nil {
			return nil, err
		}
	}
	return answer, nil
}

// logs are numbers to plot.
func (c *call) logs(r rewarded) map[string]float64 {
	logs := map[string]float64{"graded": 0}
	if c.unscored.answer {
		logs["unscored"] = 0
	}
	if r.unscored {
		logs["unscored"] = 1
		return logs
	}
	logs["prm"], logs["prm_steps"] = r.Reward, float64(len(r.Steps))
	if r.outcome != nil {
		logs["graded"], logs["outcome"] = 1, *r.outcome
	}
	if r.Trajectory != nil {
		logs["prm_trajectory"] = *r.Trajectory
	}
	if n := len(r.Steps); n > 0 {
		logs["prm_min"], logs["prm_last"] = r.Steps[0], r.Steps[n-1]
		for _, s := range r.Steps {
			logs["prm_min"] = min(logs["prm_min"], s)
		}
	}
	return logs
}

// has tells whether the request has the field.
func (c *call) has(field string) bool {
	var fields map[string]json.RawMessage
	return json.Unmarshal(c.body, &fields) == nil && fields[field] != nil
}

// remoteRM is slime's and miles' --rm-type remote_rm: one sample a request, answered with a number, or with ?as=object with an object
// for --reward-key reward.
func remoteRM(c *call) (any, error) {
	var q struct {
		Prompt    *prompt `json:"prompt"`
		Response  *string `json:"response"`
		Generated *string `json:"generated_output"`
		Label     labels  `json:"label"`
		// TokenEnds are where the tokens of the response end in it; the answer, an object, then has token_rewards.
		TokenEnds tokenEnds `json:"token_ends"`
	}
	if err := c.fields(&q); err != nil {
		return nil, err
	}
	if q.Response == nil {
		q.Response = q.Generated
	}
	if q.Prompt == nil || q.Response == nil {
		return nil, bad("prompt and response are needed")
	}
	if len(q.Label) > 1 {
		return nil, bad("label: %d labels for one response", len(q.Label))
	}
	err := c.checkSize(q.Prompt.size() + len(*q.Response))
	var problem, begun string
	if err == nil {
		problem, begun, err = q.Prompt.problem()
	}
	s := c.sampleOf(problem, begun+*q.Response, err)
	if len(q.Label) == 1 {
		s.label = q.Label[0]
	}
	list, err := c.rewards([]sample{s})
	if err != nil {
		return nil, err
	}
	switch as := c.http.URL.Query().Get("as"); as {
	case "", "number":
		if q.TokenEnds != nil {
			return nil, bad("token_ends: the answer is then an object, ask with ?as=object")
		}
		return list[0].reward, nil
	case "object":
		answer := map[string]any{"reward": list[0].reward, "score": list[0].reward}
		for name, v := range c.logs(list[0]) {
			answer[name] = v
		}
		if q.TokenEnds != nil {
			dense, err := c.allTokenRewards([]string{*q.Response}, []tokenEnds{q.TokenEnds}, []sample{s}, list)
			if err != nil {
				return nil, err
			}
			answer["token_rewards"] = dense[0]
		}
		return answer, nil
	default:
		return nil, bad("as: %q is neither number nor object", as)
	}
}

// llamaFactory is LLaMA-Factory's reward_model_type: api, see get_rewards_from_server of its train/ppo/ppo_utils.py.
func llamaFactory(c *call) (any, error) {
	var q struct {
		Messages texts `json:"messages"`
	}
	if err := c.fields(&q); err != nil {
		return nil, err
	}
	if q.Messages == nil && !c.has("messages") {
		return nil, bad("messages: missing")
	}
	samples := make([]sample, len(q.Messages))
	for i, text := range q.Messages {
		samples[i] = c.sampleOf(c.fromText(text, nil))
	}
	list, err := c.rewards(samples)
	if err != nil {
		return nil, err
	}
	rewards := []*float64{}
	for _, r := range list {
		rewards = append(rewards, r.reward)
	}
	return map[string]any{"scores": rewards}, nil
}

// trajectoryFields are those of a row that the data package reads as a trajectory.
var trajectoryFields = []string{"id", "problem", "thinking", "response", "steps", "response_steps", "labels", "source", "answer", "meta"}

// steps is this server's own: a trajectory as prm score reads it, answered with the line that prm score writes.
func steps(c *call) (any, error) {
	if err := checkBody(c.body); err != nil {
		return nil, err
	}
	if err := c.otherFields(trajectoryFields); err != nil {
		return nil, err
	}
	t := &data.Trajectory{}
	if err := t.UnmarshalJSON(c.body); err != nil {
		return nil, bad("%w", err)
	}
	scores, _, err := c.score([]*data.Trajectory{t})
	if err != nil {
		return nil, err
	}
	return scores[0].Line, nil
}
