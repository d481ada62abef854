package prm

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"

	"github.com/goprm/goprm/data/grade"
	"github.com/goprm/goprm/data/label"
	"github.com/goprm/goprm/data/label/equations"
	"github.com/goprm/goprm/data/label/execjudge"
	"github.com/goprm/goprm/data/label/openai"
	"github.com/goprm/goprm/data/label/rollout"
	"github.com/goprm/goprm/nn/backbone"
	"github.com/goprm/goprm/nn/bert"
)

// labelBuilder opens the stages that a filled configuration names; one client serves all that name its server.
type labelBuilder struct {
	c       LabelConfig
	ledger  openai.Ledger
	keys    bool // whether API keys are needed
	clients map[string]*openai.Client
	closers []io.Closer
}

// close closes what was opened.
func (b *labelBuilder) close() error {
	var errs []error
	for _, c := range b.closers {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// pipeline opens the stages; close is needed after an error too.
func (b *labelBuilder) pipeline(ctx context.Context) (label.Pipeline, error) {
	c, p := b.c, b.c.pipeline()
	var err error
	if p.Encoder = c.Stages.Encoder; p.Encoder == nil {
		if p.Encoder, err = b.encoder(ctx); err != nil {
			return p, err
		}
	}
	if p.Judge = c.Stages.Judge; p.Judge == nil {
		if p.Judge, err = b.judge(c.Judge); err != nil {
			return p, err
		}
	}
	if c.Trajectory.Kind != label.NoFinal {
		p.Verifier = b.verifier()
	}
	if !c.Trajectory.sampled() {
		return p, nil
	}
	if p.Templater = c.Stages.Templater; p.Templater == nil {
		if p.Templater, err = b.templater(); err != nil {
			return p, err
		}
	}
	p.Policy, err = b.orOwn(c.Trajectory.Policy)
	return p, err
}

// pipeline is the settings without the stages.
func (c *LabelConfig) pipeline() label.Pipeline {
	return label.Pipeline{
		Split: c.Split, Pairing: c.Pairing, Coherence: c.Coherence, Fusion: c.Fusion, Parts: c.Parts, Seed: *c.Seed,
		Final: label.Final{Kind: c.Trajectory.Kind, Samples: c.Trajectory.Samples, Templates: c.Trajectory.Templates},
		Shard: c.Shard, Shards: c.Shards, Out: c.Out, Workers: c.Workers, Calls: c.Calls, SkipBad: c.SkipBad, Progress: c.Progress,
	}
}

func (b *labelBuilder) client(name string) (*openai.Client, error) {
	if client := b.clients[name]; client != nil {
		return client, nil
	}
	o := b.c.Servers[name]
	if !b.keys {
		o.KeyEnv = ""
	}
	if o.Ledger == nil {
		o.Ledger = b.ledger
	}
	o.Logger = cmp.Or(o.Logger, b.c.Logger)
	client, err := openai.NewClient(o)
	if err == nil {
		b.clients[name] = client
	}
	return client, err
}

func (b *labelBuilder) encoder(ctx context.Context) (label.Encoder, error) {
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

func (b *labelBuilder) served() (*openai.Encoder, error) {
	e := b.c.Encoder
	client, err := b.client(e.Server)
	if err != nil {
		return nil, err
	}
	return openai.NewEncoder(client, openai.EncoderOptions{Model: e.Model, Revision: e.Revision, Prefix: e.Prefix, Dimensions: e.Dimensions})
}

func (b *labelBuilder) judge(j JudgeConfig) (label.Judge, error) {
	switch j.Kind {
	case "equations":
		return equations.Judge{}, nil
	case "openai":
		return b.rubric(j)
	case "prm":
		return b.model(j)
	case "exec":
		judge, err := execjudge.New(j.exec(b.c.Logger))
		if err != nil {
			return nil, err
		}
		b.closers = append(b.closers, judge)
		return judge, nil
	case "rollout":
		policy, err := b.orOwn(j.Policy)
		if err != nil {
			return nil, err
		}
		return rollout.New(rollout.Options{Policy: policy, Verifier: b.verifier(), Samples: j.Samples, Seed: *b.c.Seed})
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

// exec are the options of a judge of kind exec.
func (j JudgeConfig) exec(logger *slog.Logger) execjudge.Options {
	return execjudge.Options{
		Command: j.Command, Revision: j.Revision, Sees: j.Sees, Timeout: j.Timeout, Concurrency: j.Concurrency, Restarts: j.Restarts,
		Logger: logger,
	}
}

// model opens a judge of kind prm.
func (b *labelBuilder) model(j JudgeConfig) (label.Judge, error) {
	model, err := Open(j.Path, OpenOptions{Format: j.Format, Base: j.Base, Threads: b.c.Threads})
	if err != nil {
		return nil, err
	}
	b.closers = append(b.closers, model)
	return NewJudge(model)
}

func (b *labelBuilder) rubric(j JudgeConfig) (*openai.Judge, error) {
	client, err := b.client(j.Server)
	if err != nil {
		return nil, err
	}
	prompt, err := labelPrompt(j.Prompt)
	if err != nil {
		return nil, err
	}
	o := j.rubric(b.c.Seed)
	o.Prompt = prompt
	return openai.NewJudge(client, o)
}

// rubric are the options of a judge of kind openai, without its prompt.
func (j JudgeConfig) rubric(seed *uint64) openai.JudgeOptions {
	return openai.JudgeOptions{
		Sampling: j.sampling(seed, 0), Sees: j.Sees, Samples: j.Samples, OneByOne: j.OneByOne, Reason: j.Reason,
		Schema: j.Schema, Tries: j.Tries,
	}
}

// The temperature where none is given: a judge's answers should not vary, a policy's and a templater's must.
const warm = 0.7

// orOwn is the caller's policy, or the one that is configured.
func (b *labelBuilder) orOwn(p PolicyConfig) (label.Policy, error) {
	if own := b.c.Stages.Policy; own != nil {
		return own, nil
	}
	return b.policy(p)
}

func (b *labelBuilder) policy(p PolicyConfig) (*openai.Policy, error) {
	client, err := b.client(p.Server)
	if err != nil {
		return nil, err
	}
	prompt, err := labelPrompt(p.Prompt)
	if err != nil {
		return nil, err
	}
	return openai.NewPolicy(client, openai.PolicyOptions{Sampling: p.sampling(b.c.Seed, warm), Prompt: prompt, Prefill: p.Prefill})
}

func (b *labelBuilder) templater() (*openai.Templater, error) {
	p := b.c.Trajectory.Templater
	client, err := b.client(p.Server)
	if err != nil {
		return nil, err
	}
	prompt, err := labelPrompt(p.Prompt)
	if err != nil {
		return nil, err
	}
	return openai.NewTemplater(client, openai.TemplaterOptions{Sampling: p.sampling(b.c.Seed, warm), Prompt: prompt})
}

func (b *labelBuilder) verifier() label.Verifier {
	if own := b.c.Stages.Verifier; own != nil {
		return own
	}
	return grade.Verifier{}
}

func (s SamplingConfig) sampling(seed *uint64, temperature float64) openai.Sampling {
	if s.Temperature != nil {
		temperature = *s.Temperature
	}
	return openai.Sampling{Model: s.Model, Temperature: temperature, TopP: s.TopP, MaxTokens: s.MaxTokens, Seed: *seed, Extra: s.Extra}
}

func labelPrompt(path string) (*openai.Prompt, error) {
	if path == "" {
		return nil, nil
	}
	return openai.ReadPrompt(path)
}
