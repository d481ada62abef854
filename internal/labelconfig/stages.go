package labelconfig

import (
	"context"
	"errors"
	"io"
	"math"

	"github.com/goprm/goprm/data/grade"
	"github.com/goprm/goprm/data/label"
	"github.com/goprm/goprm/data/label/equations"
	"github.com/goprm/goprm/data/label/openai"
	"github.com/goprm/goprm/data/label/prmjudge"
	"github.com/goprm/goprm/data/label/rollout"
	"github.com/goprm/goprm/data/label/store"
	"github.com/goprm/goprm/internal/llm"
	"github.com/goprm/goprm/nn/backbone"
	"github.com/goprm/goprm/nn/bert"
	"github.com/goprm/goprm/prm"
)

// Stages are the open stages of a configuration.
type Stages struct {
	label.Pipeline
	closers []io.Closer
}

// Close closes them.
func (s *Stages) Close() error {
	var errs []error
	for _, c := range s.closers {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// Limit is the budget as the store's.
func (b Budget) Limit() store.Amount {
	return store.Amount{Tokens: b.Tokens, Nanos: int64(math.Round(b.Money * 1e9))}
}

// builder opens stages; one client serves all that name its server.
type builder struct {
	c       Config
	ledger  llm.Ledger
	keys    bool // whether API keys are needed
	clients map[string]*llm.Client
	closers []io.Closer
}

// Open opens the stages. Calls are accounted for in s, which is the pipeline's store.
func (c Config) Open(ctx context.Context, s *store.Store) (*Stages, error) {
	b := &builder{c: c, ledger: s, keys: true, clients: map[string]*llm.Client{}}
	p := c.pipeline()
	p.Store = s
	var err error
	if p.Encoder, err = b.encoder(ctx); err == nil {
		p.Judge, err = b.judge(c.Judge)
	}
	if err == nil && p.Final.Kind != label.NoFinal {
		p.Verifier = grade.Verifier{}
	}
	if err == nil && (p.Final.Kind == label.PaperFinal || p.Final.Kind == label.Lift) {
		if p.Templater, err = b.templater(); err == nil {
			p.Policy, err = b.policy(c.Trajectory.Policy)
		}
	}
	stages := &Stages{p, b.closers}
	if err != nil {
		return nil, errors.Join(err, stages.Close())
	}
	return stages, nil
}

// pipeline is the settings without the stages.
func (c Config) pipeline() label.Pipeline {
	return label.Pipeline{
		Split: c.Split, Pairing: c.Pairing, Coherence: c.Coherence, Fusion: c.Fusion, Parts: c.Parts, Seed: c.Seed, Workers: c.Workers, Calls: c.Calls,
		Final: label.Final{Kind: c.Trajectory.Kind, Samples: c.Trajectory.Samples, Templates: c.Trajectory.Templates},
	}
}

func (b *builder) client(name string) (*llm.Client, error) {
	if client := b.clients[name]; client != nil {
		return client, nil
	}
	s := b.c.Servers[name]
	o := llm.Options{
		URL: s.URL, KeyEnv: s.KeyEnv, Concurrency: s.Concurrency, RequestsPerMinute: s.RequestsPerMinute, TokensPerMinute: s.TokensPerMinute,
		Timeout: s.Timeout, Attempts: s.Attempts, LimitField: s.LimitField, Prices: llm.Prices(s.Prices), Ledger: b.ledger,
	}
	if !b.keys {
		o.KeyEnv = ""
	}
	client, err := llm.New(o)
	if err == nil {
		b.clients[name] = client
	}
	return client, err
}

func (b *builder) encoder(ctx context.Context) (label.Encoder, error) {
	e := b.c.Encoder
	switch e.Kind {
	case "sentence":
		encoder, err := bert.Open(e.Path, bert.Options{Backend: e.Backend, Threads: b.c.Threads, Prompt: e.Prefix})
		if err != nil {
			return nil, err
		}
		b.closers = append(b.closers, encoder)
		return encoder, nil
	case "backbone":
		encoder, err := backbone.Open(ctx, e.Path, backbone.Options{Backend: e.Backend, Threads: b.c.Threads, MaxTokens: e.MaxTokens})
		if err != nil {
			return nil, err
		}
		b.closers = append(b.closers, encoder)
		return encoder, nil
	case "file":
		v, err := label.ReadVectors(e.Path)
		if err != nil {
			return nil, err
		}
		return v, nil
	case "openai":
		return b.served()
	}
	return nil, nil
}

func (b *builder) served() (*openai.Encoder, error) {
	e := b.c.Encoder
	client, err := b.client(e.Server)
	if err != nil {
		return nil, err
	}
	return openai.NewEncoder(client, openai.EncoderOptions{Model: e.Model, Revision: e.Revision, Prefix: e.Prefix, Dimensions: e.Dimensions})
}

func (b *builder) judge(j Judge) (label.Judge, error) {
	switch j.Kind {
	case "equations":
		return equations.Judge{}, nil
	case "openai":
		return b.rubric(j)
	case "prm":
		judge, err := prmjudge.Open(prmjudge.Options{Model: j.Path, OpenOptions: prm.OpenOptions{Format: j.Format, Threads: b.c.Threads}})
		if err != nil {
			return nil, err
		}
		b.closers = append(b.closers, judge)
		return judge, nil
	case "rollout":
		policy, err := b.policy(j.Policy)
		if err != nil {
			return nil, err
		}
		return rollout.New(rollout.Options{Policy: policy, Verifier: grade.Verifier{}, Samples: j.Samples, Seed: b.c.Seed})
	case "consensus":
		first, err := b.judge(j.Of[0])
		if err != nil {
			return nil, err
		}
		second, err := b.judge(j.Of[1])
		if err != nil {
			return nil, err
		}
		both := label.Consensus{A: first, B: second, Tolerance: j.Tolerance}
		return both, both.Validate()
	}
	return nil, nil
}

func (b *builder) rubric(j Judge) (*openai.Judge, error) {
	client, err := b.client(j.Server)
	if err != nil {
		return nil, err
	}
	prompt, err := prompt(j.Prompt)
	if err != nil {
		return nil, err
	}
	return openai.NewJudge(client, openai.JudgeOptions{
		Sampling: b.sampling(j.Sampling, 0), Sees: j.Sees, Prompt: prompt, Samples: j.Samples, OneByOne: j.OneByOne, Reason: j.Reason, Tries: j.Tries,
	})
}

// The temperature where none is given: a judge's answers should not vary, a policy's and a templater's must.
const warm = 0.7

func (b *builder) policy(p Policy) (*openai.Policy, error) {
	client, err := b.client(p.Server)
	if err != nil {
		return nil, err
	}
	prompt, err := prompt(p.Prompt)
	if err != nil {
		return nil, err
	}
	return openai.NewPolicy(client, openai.PolicyOptions{Sampling: b.sampling(p.Sampling, warm), Prompt: prompt, Prefill: p.Prefill})
}

func (b *builder) templater() (*openai.Templater, error) {
	p := b.c.Trajectory.Templater
	client, err := b.client(p.Server)
	if err != nil {
		return nil, err
	}
	prompt, err := prompt(p.Prompt)
	if err != nil {
		return nil, err
	}
	return openai.NewTemplater(client, openai.TemplaterOptions{Sampling: b.sampling(p.Sampling, warm), Prompt: prompt})
}

func (b *builder) sampling(s Sampling, temperature float64) openai.Sampling {
	if s.Temperature != nil {
		temperature = *s.Temperature
	}
	return openai.Sampling{Model: s.Model, Temperature: temperature, TopP: s.TopP, MaxTokens: s.MaxTokens, Seed: b.c.Seed, Extra: s.Extra}
}

func prompt(path string) (*openai.Prompt, error) {
	if path == "" {
		return nil, nil
	}
	return openai.ReadPrompt(path)
}
