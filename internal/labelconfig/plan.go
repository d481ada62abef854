package labelconfig

import (
	"context"
	"errors"
	"iter"
	"math"
	"strings"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/data/label"
	"github.com/goprm/goprm/data/label/openai"
	"github.com/goprm/goprm/internal/llm"
)

// Plan is what a run would ask for if nothing were stored yet. Tokens are estimated at four bytes each; completions of policy
// and templater are counted in full, so the cost is an upper estimate.
type Plan struct {
	Rows          int     `json:"rows"`
	Bad           int     `json:"bad"`
	NoResponse    int     `json:"no_response"`
	Steps         int     `json:"steps"`
	ResponseSteps int     `json:"response_steps"`
	Stages        []Stage `json:"stages"`
	// Cost is in the currency of the prices; Minutes are at the servers' limits, 0 where no limits are given.
	Cost    float64 `json:"cost"`
	Minutes float64 `json:"minutes"`
}

// Stage is what one stage would ask a server for.
type Stage struct {
	Stage  string `json:"stage"`
	Server string `json:"server"`
	Calls  int64  `json:"calls"`
	// Prompt counts all prompt tokens; Cached those of them that a server with a prefix cache has read before.
	Prompt     int64   `json:"prompt_tokens"`
	Cached     int64   `json:"cached_tokens"`
	Completion int64   `json:"completion_tokens"`
	Cost       float64 `json:"cost"`
}

// MakePlan reads the input and calls nobody.
func (c Config) MakePlan(ctx context.Context, in iter.Seq2[*data.Trajectory, error], skipBad bool) (Plan, error) {
	b := &builder{c: c, clients: map[string]*llm.Client{}}
	asks, err := b.asks()
	if err != nil {
		return Plan{}, err
	}
	p := Plan{Stages: make([]Stage, len(asks))}
	for i, a := range asks {
		p.Stages[i] = Stage{Stage: a.stage, Server: a.server}
	}
	for t, err := range in {
		var bad *data.RowError
		if errors.As(err, &bad) && skipBad {
			p.Bad++
			continue
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return p, err
		}
		of := label.CaseOf(t, c.Split)
		p.Rows++
		p.Steps += len(of.Thinking)
		p.ResponseSteps += len(of.Response)
		if len(of.Response) == 0 {
			p.NoResponse++
		}
		for i, a := range asks {
			e, err := a.estimate(of)
			if err != nil {
				return p, err
			}
			s := &p.Stages[i]
			s.Calls, s.Prompt, s.Cached, s.Completion = s.Calls+e.Calls, s.Prompt+e.Prompt, s.Cached+e.Cached, s.Completion+e.Completion
		}
	}
	type load struct{ calls, tokens int64 }
	loads := map[string]load{}
	for i := range p.Stages {
		s := &p.Stages[i]
		amount := llm.Prices(c.Servers[s.Server].Prices).Cost(llm.Usage{Prompt: s.Prompt, Cached: s.Cached, Completion: s.Completion})
		s.Cost = float64(amount.Nanos) / 1e9
		p.Cost += s.Cost
		l := loads[s.Server]
		loads[s.Server] = load{l.calls + s.Calls, l.tokens + s.Prompt + s.Completion}
	}
	for name, l := range loads { // servers work side by side
		s := c.Servers[name]
		if s.RequestsPerMinute > 0 {
			p.Minutes = math.Max(p.Minutes, float64(l.calls)/float64(s.RequestsPerMinute))
		}
		if s.TokensPerMinute > 0 {
			p.Minutes = math.Max(p.Minutes, float64(l.tokens)/float64(s.TokensPerMinute))
		}
	}
	return p, nil
}

// ask is a stage that a server answers.
type ask struct {
	stage, server string
	estimate      func(c *label.Case) (openai.Estimate, error)
}

// typicalTemplate stands for a template nobody has written yet.
var typicalTemplate = strings.Repeat("a line of a template. ", 40)

func (b *builder) asks() ([]ask, error) {
	asks, err := b.judgeAsks("quality", b.c.Judge)
	if err != nil {
		return nil, err
	}
	if b.c.Encoder.Kind == "openai" {
		encoder, err := b.served()
		if err != nil {
			return nil, err
		}
		asks = append(asks, ask{"vectors", b.c.Encoder.Server, func(c *label.Case) (openai.Estimate, error) {
			texts := append(append([]string{c.Problem}, c.Thinking...), c.Response...)
			return encoder.Plan(texts), nil
		}})
	}
	if k := b.c.Trajectory.Kind; k != label.PaperFinal && k != label.Lift {
		return asks, nil
	}
	templater, err := b.templater()
	if err != nil {
		return nil, err
	}
	policy, err := b.policy(b.c.Trajectory.Policy)
	if err != nil {
		return nil, err
	}
	return append(asks,
		ask{"template", b.c.Trajectory.Templater.Server, templater.Plan},
		ask{"answers", b.c.Trajectory.Policy.Server, func(c *label.Case) (openai.Estimate, error) {
			with, err := policy.Plan(label.Prompt{Problem: c.Problem, Template: typicalTemplate})
			if err != nil {
				return with, err
			}
			without, err := policy.Plan(label.Prompt{Problem: c.Problem})
			return times(sum(with, without), int64(b.c.Trajectory.Samples)), err
		}}), nil
}

func (b *builder) judgeAsks(stage string, j Judge) ([]ask, error) {
	switch j.Kind {
	case "openai":
		judge, err := b.rubric(j)
		if err != nil {
			return nil, err
		}
		return []ask{{stage, j.Server, judge.Plan}}, nil
	case "rollout":
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
				total = sum(total, times(e, samples))
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

func sum(a, b openai.Estimate) openai.Estimate {
	return openai.Estimate{Calls: a.Calls + b.Calls, Prompt: a.Prompt + b.Prompt, Cached: a.Cached + b.Cached, Completion: a.Completion + b.Completion}
}

func times(e openai.Estimate, n int64) openai.Estimate {
	return openai.Estimate{Calls: e.Calls * n, Prompt: e.Prompt * n, Cached: e.Cached * n, Completion: e.Completion * n}
}
