package prm

import (
	"context"
	"errors"
	"math"
	"strings"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/data/label"
	"github.com/goprm/goprm/data/label/openai"
)

// LabelPlan is what a labelling would ask servers for if nothing were stored yet. Tokens are estimated at four bytes each;
// completions of policy and templater are counted in full, so the cost is an upper estimate.
type LabelPlan struct {
	Rows          int              `json:"rows"`
	Bad           int              `json:"bad"`
	NoResponse    int              `json:"no_response"`
	Steps         int              `json:"steps"`
	ResponseSteps int              `json:"response_steps"`
	Stages        []LabelPlanStage `json:"stages"`
	// Cost is in the currency of the prices; Minutes are at the servers' limits, 0 where no limits are given.
	Cost    float64 `json:"cost"`
	Minutes float64 `json:"minutes"`
}

// LabelPlanStage is what one stage would ask a server for.
type LabelPlanStage struct {
	Stage  string `json:"stage"`
	Server string `json:"server"`
	Calls  int64  `json:"calls"`
	// Prompt counts all prompt tokens; Cached those of them that a server with a prefix cache has read before.
	Prompt     int64   `json:"prompt_tokens"`
	Cached     int64   `json:"cached_tokens"`
	Completion int64   `json:"completion_tokens"`
	Cost       float64 `json:"cost"`
}

// PlanLabels reads the input and calls nobody. It needs neither the keys of servers nor Out.
func PlanLabels(ctx context.Context, c LabelConfig) (LabelPlan, error) {
	if err := c.validateSettings(); err != nil {
		return LabelPlan{}, err
	}
	if err := c.validateInput(); err != nil {
		return LabelPlan{}, err
	}
	c = c.filled()
	b := &labelBuilder{c: c, clients: map[string]*openai.Client{}}
	asks, err := b.asks()
	if err != nil {
		return LabelPlan{}, err
	}
	p := LabelPlan{Stages: make([]LabelPlanStage, len(asks))}
	for i, a := range asks {
		p.Stages[i] = LabelPlanStage{Stage: a.stage, Server: a.server}
	}
	for t, err := range c.input() {
		var bad *data.RowError
		if errors.As(err, &bad) && c.SkipBad {
			p.Bad++
			continue
		}
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = p.add(label.CaseOf(t, c.Split), asks)
		}
		if err != nil {
			return p, err
		}
	}
	p.price(c.Servers)
	return p, nil
}

// add counts what one trajectory asks for.
func (p *LabelPlan) add(c *label.Case, asks []ask) error {
	p.Rows++
	p.Steps += len(c.Thinking)
	p.ResponseSteps += len(c.Response)
	if len(c.Response) == 0 {
		p.NoResponse++
	}
	for i, a := range asks {
		e, err := a.estimate(c)
		if err != nil {
			return err
		}
		s := &p.Stages[i]
		s.Calls, s.Prompt, s.Cached, s.Completion = s.Calls+e.Calls, s.Prompt+e.Prompt, s.Cached+e.Cached, s.Completion+e.Completion
	}
	return nil
}

// price fills in cost and time.
func (p *LabelPlan) price(servers map[string]openai.ClientOptions) {
	type load struct{ calls, tokens int64 }
	loads := map[string]load{}
	for i := range p.Stages {
		s := &p.Stages[i]
		amount := servers[s.Server].Prices.Cost(openai.Estimate{Prompt: s.Prompt, Cached: s.Cached, Completion: s.Completion})
		s.Cost = float64(amount.Nanos) / 1e9
		p.Cost += s.Cost
		l := loads[s.Server]
		loads[s.Server] = load{l.calls + s.Calls, l.tokens + s.Prompt + s.Completion}
	}
	for name, l := range loads { // servers work side by side
		s := servers[name]
		if s.RequestsPerMinute > 0 {
			p.Minutes = math.Max(p.Minutes, float64(l.calls)/float64(s.RequestsPerMinute))
		}
		if s.TokensPerMinute > 0 {
			p.Minutes = math.Max(p.Minutes, float64(l.tokens)/float64(s.TokensPerMinute))
		}
	}
}

// ask is a stage that a server answers.
type ask struct {
	stage, server string
	estimate      func(c *label.Case) (openai.Estimate, error)
}

// typicalTemplate stands for a template nobody has written yet.
var typicalTemplate = strings.Repeat("a line of a template. ", 40)

func (b *labelBuilder) asks() ([]ask, error) {
	own := b.c.Stages
	var asks []ask
	var err error
	if own.Judge == nil {
		if asks, err = b.judgeAsks("quality", b.c.Judge); err != nil {
			return nil, err
		}
	}
	if own.Encoder == nil && b.c.Encoder.Kind == "openai" {
		encoder, err := b.served()
		if err != nil {
			return nil, err
		}
		asks = append(asks, ask{"vectors", b.c.Encoder.Server, func(c *label.Case) (openai.Estimate, error) {
			texts := append(append([]string{c.Problem}, c.Thinking...), c.Response...)
			return encoder.Plan(texts), nil
		}})
	}
	if !b.c.Trajectory.sampled() {
		return asks, nil
	}
	if own.Templater == nil {
		templater, err := b.templater()
		if err != nil {
			return nil, err
		}
		asks = append(asks, ask{"template", b.c.Trajectory.Templater.Server, templater.Plan})
	}
	if own.Policy == nil {
		policy, err := b.policy(b.c.Trajectory.Policy)
		if err != nil {
			return nil, err
		}
		asks = append(asks, ask{"answers", b.c.Trajectory.Policy.Server, func(c *label.Case) (openai.Estimate, error) {
			with, err := policy.Plan(label.Prompt{Problem: c.Problem, Template: typicalTemplate})
			if err != nil {
				return with, err
			}
			without, err := policy.Plan(label.Prompt{Problem: c.Problem})
			return timesEstimate(addEstimates(with, without), int64(b.c.Trajectory.Samples)), err
		}})
	}
	return asks, nil
}

func (b *labelBuilder) judgeAsks(stage string, j JudgeConfig) ([]ask, error) {
	switch j.Kind {
	case "openai":
		judge, err := b.rubric(j)
		if err != nil {
			return nil, err
		}
		return []ask{{stage, j.Server, judge.Plan}}, nil
	case "rollout":
		if b.c.Stages.Policy != nil {
			return nil, nil
		}
		policy, err := b.policy(j.Policy)
		if err != nil {
			return nil, err
		}
		samples := int64(j.Samples)
		if samples == 0 {
			samples = 8
		}
		return []ask{{stage, j.Policy.Server, func(c *label.Case) (total openai.Estimate, err error) {
			for t := range c.Thinking {
				e, err := policy.Plan(label.Prompt{Problem: c.Problem, Prefix: c.Thinking[:t+1]})
				if err != nil {
					return total, err
				}
				total = addEstimates(total, timesEstimate(e, samples))
			}
			return total, nil
		}}}, nil
	case "consensus":
		var all []ask
		for _, one := range j.Of {
			asks, err := b.judgeAsks(stage+" "+one.Kind, one)
			if err != nil {
				return nil, err
			}
			all = append(all, asks...)
		}
		return all, nil
	}
	return nil, nil
}

func addEstimates(a, b openai.Estimate) openai.Estimate {
	return openai.Estimate{
		Calls: a.Calls + b.Calls, Prompt: a.Prompt + b.Prompt, Cached: a.Cached + b.Cached, Completion: a.Completion + b.Completion,
	}
}

func timesEstimate(e openai.Estimate, n int64) openai.Estimate {
	return openai.Estimate{Calls: e.Calls * n, Prompt: e.Prompt * n, Cached: e.Cached * n, Completion: e.Completion * n}
}
