package prm

import (
	"cmp"
	"fmt"
	"iter"
	"log/slog"
	"time"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/data/label"
	"github.com/goprm/goprm/data/label/openai"
	"github.com/goprm/goprm/internal/strictyaml"
)

// LabelConfig describes a labelling. Its YAML form is label.yaml, which LoadLabelConfig reads; the fields without a key there say
// what is labelled, where to and by which stages of the caller's. A field that is left at its zero value stands for its default.
// Relative paths are relative to the working directory.
type LabelConfig struct {
	Split     string          `yaml:"split"` // cuts thinking and response where steps are not given; a blank line
	Encoder   EncoderConfig   `yaml:"encoder"`
	Pairing   label.Pairing   `yaml:"pairing"`   // the response step that a thinking step is compared with
	Coherence label.Coherence `yaml:"coherence"` // of a step with the one before it, against steps of other problems
	Judge     JudgeConfig     `yaml:"judge"`
	Fusion    label.Fusion    `yaml:"fusion"` // how the parts become one reward
	Parts     []label.Part    `yaml:"parts"`  // what is fused; a step that lacks one of them gets no label

	Trajectory TrajectoryConfig `yaml:"trajectory"`
	// Servers are those that stages name.
	Servers map[string]openai.ClientOptions `yaml:"servers"`
	// Budget is for all that the output folder ever asked, earlier runs included; 0: no limit.
	Budget BudgetConfig `yaml:"budget"`

	Seed    *uint64 `yaml:"seed"`    // of what is drawn and sampled; nil: 1
	Workers int     `yaml:"workers"` // trajectories worked on at once; 0: 64
	Calls   int     `yaml:"calls"`   // calls in flight, of all stages together; 0: 64
	Threads int     `yaml:"threads"` // of encoders and reward models that run here; 0: as many as Go uses

	// Stages of the caller's take the place of those that are configured.
	Stages LabelStages `yaml:"-"`
	// In are files or folders of trajectories: JSON lines or parquet. They are read twice, as Trajectories are.
	In []string `yaml:"-"`
	// Trajectories, if set, are labelled instead of In. They may be ranged over more than once, and are not changed. A row that
	// cannot be had comes as a *data.RowError.
	Trajectories iter.Seq2[*data.Trajectory, error] `yaml:"-"`
	// Out is the folder for labels.jsonl, labels.parquet, manifest.json, the card and the store.
	Out string `yaml:"-"`
	// Shard of Shards, from 0, is labelled alone; label.Merge joins them. Both 0: all.
	Shard  int `yaml:"-"`
	Shards int `yaml:"-"`
	// SkipBad passes over rows that cannot be read, and counts them; otherwise the first one ends the run.
	SkipBad bool `yaml:"-"`
	// Progress, if not nil, is told of every finished trajectory, in order. It must not keep the summary's maps.
	Progress func(done label.Summary) `yaml:"-"`
	// Logger gets warnings, and what a judge's program writes to standard error; nil: slog.Default.
	Logger *slog.Logger `yaml:"-"`
}

// LabelStages are stages of a program of its own; those that are nil are opened as configured.
type LabelStages struct {
	Encoder   label.Encoder   // in place of the encoder
	Judge     label.Judge     // in place of the judge
	Templater label.Templater // in place of trajectory.templater
	Policy    label.Policy    // in place of trajectory.policy, and of judge.policy for roll-outs
	Verifier  label.Verifier  // in place of data/grade's, for trajectory rewards and roll-outs
}

// EncoderConfig says which texts are alike.
type EncoderConfig struct {
	// Kind is sentence (default), openai, file, backbone or none.
	Kind string `yaml:"kind"`
	// Path is the folder of a sentence encoder or of a backbone, or the file of vectors.
	Path   string `yaml:"path"`
	Server string `yaml:"server"` // of openai: a name in servers
	Model  string `yaml:"model"`  // of openai
	// Revision tells apart what a server serves under one name.
	Revision string `yaml:"revision"`
	// Prefix stands before each text.
	Prefix     string `yaml:"prefix"`
	Dimensions int    `yaml:"dimensions"` // asked of the server; 0: its own
	MaxTokens  int    `yaml:"max_tokens"` // of a backbone; 0: what it was trained for
	Backend    string `yaml:"backend"`    // which kernels; "": auto
}

// JudgeConfig says what gives a step its quality. Its kind is a required key.
type JudgeConfig struct {
	// Kind is openai, equations, prm, exec, rollout, consensus or none.
	Kind string     `yaml:"kind"`
	Sees label.Sees `yaml:"sees"` // of openai and exec
	// Prompt is a file that replaces the built-in one.
	Prompt         string `yaml:"prompt"`
	SamplingConfig `yaml:",inline"`
	Samples        int  `yaml:"samples"`    // answers that are averaged into a soft score; 0: 1 (of rollout 8)
	OneByOne       bool `yaml:"one_by_one"` // one answer a call, for servers that do not offer more
	Reason         bool `yaml:"reason"`     // a sentence or two before the grades
	// Tries is how often an answer is asked for while it cannot be read; 0: 2.
	Tries int `yaml:"tries"`
	// Schema is how the server of openai is asked for JSON: auto (json_schema, or none once the server refuses that), json_schema,
	// json_object or none.
	Schema string `yaml:"schema" guesses:"schema_as,response_format,json_mode,json_object,guided_json,guided_decoding,structured_outputs"`
	Path   string `yaml:"path"`   // model folder of a prm
	Format string `yaml:"format"` // its public format, where several fit
	Base   string `yaml:"base"`   // where the base of an adapter or a head lies now
	// Command is the program of exec with its arguments; execjudge.Options describes it and the next four.
	Command     []string      `yaml:"command"`
	Revision    string        `yaml:"revision"`    // of the program: another asks anew
	Timeout     time.Duration `yaml:"timeout"`     // of a request; 0: 5m
	Concurrency int           `yaml:"concurrency"` // requests in flight; 0: 1
	Restarts    *int          `yaml:"restarts"`    // of a program that ends; nil: 10
	// Policy completes prefixes for rollout.
	Policy PolicyConfig `yaml:"policy"`
	// Of are the two judges of a consensus.
	Of        []JudgeConfig `yaml:"of"`
	Tolerance float64       `yaml:"tolerance"` // of a consensus: most that they may differ for a label
}

// SamplingConfig says which model of which server answers, and how.
type SamplingConfig struct {
	Server      string         `yaml:"server"`      // a name in servers
	Model       string         `yaml:"model"`       // as the server calls it
	Temperature *float64       `yaml:"temperature"` // nil: 0 of a judge, 0.7 of a policy or a templater
	TopP        float64        `yaml:"top_p"`       // 0: not sent
	MaxTokens   int            `yaml:"max_tokens"`  // of a completion; 0: as its kind needs
	Extra       map[string]any `yaml:"extra"`       // more fields of the request
}

// PolicyConfig says who answers problems, or extracts templates.
type PolicyConfig struct {
	SamplingConfig `yaml:",inline"`
	Prompt         string `yaml:"prompt"`  // file that replaces the built-in one
	Prefill        bool   `yaml:"prefill"` // the prefix begins the assistant's turn, which the server continues
}

// TrajectoryConfig says how the trajectory's reward is made.
type TrajectoryConfig struct {
	Kind      label.FinalKind `yaml:"kind"`      // trajectory's reward: none, rule (right or wrong), paper (k/N), lift ((1+p-p0)/2)
	Samples   int             `yaml:"samples"`   // N, answers of the policy; 8
	Templates int             `yaml:"templates"` // attempts, since a template that holds the answer is rejected; 3
	Templater PolicyConfig    `yaml:"templater"`
	Policy    PolicyConfig    `yaml:"policy"`
}

// BudgetConfig is a limit of what servers may be asked for; 0 is none.
type BudgetConfig struct {
	Tokens int64   `yaml:"tokens"` // of prompts and completions
	Money  float64 `yaml:"money"`  // in the currency of the servers' prices
}

// DefaultLabelConfig returns what keys that are left out mean. The judge has no default.
func DefaultLabelConfig() LabelConfig {
	return LabelConfig{
		Split: "\n\n", Encoder: EncoderConfig{Kind: "sentence"}, Pairing: label.DefaultPairing, Coherence: label.DefaultCoherence(),
		Fusion: label.Normalised, Parts: []label.Part{label.Align, label.Quality, label.Coherent},
		Trajectory: TrajectoryConfig{Kind: label.NoFinal, Samples: 8, Templates: 3}, Seed: new(uint64(1)),
	}
}

// filled returns the configuration with defaults in place of zero fields.
func (c LabelConfig) filled() LabelConfig {
	d := DefaultLabelConfig()
	if c.Coherence == (label.Coherence{}) {
		c.Coherence = d.Coherence
	}
	if c.Parts == nil {
		c.Parts = d.Parts
	}
	c.Split, c.Encoder.Kind = cmp.Or(c.Split, d.Split), cmp.Or(c.Encoder.Kind, d.Encoder.Kind)
	c.Pairing, c.Fusion, c.Seed = cmp.Or(c.Pairing, d.Pairing), cmp.Or(c.Fusion, d.Fusion), cmp.Or(c.Seed, d.Seed)
	t := &c.Trajectory
	t.Kind, t.Samples = cmp.Or(t.Kind, d.Trajectory.Kind), cmp.Or(t.Samples, d.Trajectory.Samples)
	t.Templates = cmp.Or(t.Templates, d.Trajectory.Templates)
	c.Logger = cmp.Or(c.Logger, slog.Default())
	return c
}

// sampled tells whether a policy is asked for trajectory rewards.
func (t TrajectoryConfig) sampled() bool { return t.Kind == label.PaperFinal || t.Kind == label.Lift }

// LoadLabelConfig reads label.yaml on top of the defaults and checks it. An unknown key is an error that names the nearest known one.
func LoadLabelConfig(path string) (LabelConfig, error) {
	c := DefaultLabelConfig()
	if err := strictyaml.DecodeFile(path, &c); err != nil {
		return c, err
	}
	if err := c.validateSettings(); err != nil {
		return c, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}
