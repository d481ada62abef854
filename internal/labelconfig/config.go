// Package labelconfig is label.yaml: the settings of prm label, and the stages that they name.
package labelconfig

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/goprm/goprm/data/label"
	"github.com/goprm/goprm/internal/strictyaml"
)

// Config is label.yaml.
type Config struct {
	// Split cuts thinking and response where steps are not given.
	Split     string          `yaml:"split"`
	Encoder   Encoder         `yaml:"encoder"`
	Pairing   label.Pairing   `yaml:"pairing"`
	Coherence label.Coherence `yaml:"coherence"`
	Judge     Judge           `yaml:"judge"`
	Fusion    label.Fusion    `yaml:"fusion"`
	Parts     []label.Part    `yaml:"parts"`

	Trajectory Trajectory `yaml:"trajectory"`
	// Servers are those that stages name.
	Servers map[string]Server `yaml:"servers"`
	// Budget is for all that this folder ever asked, earlier runs included.
	Budget Budget `yaml:"budget"`

	Seed    uint64 `yaml:"seed"`
	Workers int    `yaml:"workers"` // trajectories worked on at once
	Calls   int    `yaml:"calls"`   // calls in flight, of all stages together
	Threads int    `yaml:"threads"`
}

// Encoder says which texts are alike.
type Encoder struct {
	// Kind is sentence, openai, file, backbone or none.
	Kind string `yaml:"kind"`
	// Path is the folder of a sentence encoder or of a backbone, or the file of vectors.
	Path   string `yaml:"path"`
	Server string `yaml:"server"`
	Model  string `yaml:"model"`
	// Revision tells apart what a server serves under one name.
	Revision string `yaml:"revision"`
	// Prefix stands before each text.
	Prefix     string `yaml:"prefix"`
	Dimensions int    `yaml:"dimensions"`
	MaxTokens  int    `yaml:"max_tokens"` // of a backbone
	Backend    string `yaml:"backend"`
}

// Judge gives a step its quality. Its kind is a required key.
type Judge struct {
	// Kind is openai, equations, prm, rollout, consensus or none.
	Kind string     `yaml:"kind"`
	Sees label.Sees `yaml:"sees"`
	// Prompt is a file that replaces the built-in one.
	Prompt   string `yaml:"prompt"`
	Sampling `yaml:",inline"`
	Samples  int  `yaml:"samples"`
	OneByOne bool `yaml:"one_by_one"`
	Reason   bool `yaml:"reason"`
	Tries    int  `yaml:"tries"`
	// Path is the model folder of a prm, Format its public format.
	Path   string `yaml:"path"`
	Format string `yaml:"format"`
	// Policy completes prefixes for rollout.
	Policy Policy `yaml:"policy"`
	// Of are the two judges of a consensus.
	Of        []Judge `yaml:"of"`
	Tolerance float64 `yaml:"tolerance"`
}

// Sampling says which model of which server answers, and how.
type Sampling struct {
	Server      string         `yaml:"server"`
	Model       string         `yaml:"model"`
	Temperature *float64       `yaml:"temperature"`
	TopP        float64        `yaml:"top_p"`
	MaxTokens   int            `yaml:"max_tokens"`
	Extra       map[string]any `yaml:"extra"`
}

// Policy answers problems.
type Policy struct {
	Sampling `yaml:",inline"`
	Prompt   string `yaml:"prompt"`
	Prefill  bool   `yaml:"prefill"`
}

// Trajectory is how the trajectory's reward is made.
type Trajectory struct {
	Kind      label.FinalKind `yaml:"kind"`
	Samples   int             `yaml:"samples"`
	Templates int             `yaml:"templates"`
	Templater Policy          `yaml:"templater"`
	Policy    Policy          `yaml:"policy"`
}

// Server is one of OpenAI's API.
type Server struct {
	URL               string        `yaml:"url"`
	KeyEnv            string        `yaml:"key_env"` // the environment variable that holds the key
	Concurrency       int           `yaml:"concurrency"`
	RequestsPerMinute int           `yaml:"requests_per_minute"`
	TokensPerMinute   int           `yaml:"tokens_per_minute"`
	Timeout           time.Duration `yaml:"timeout"` // of one attempt
	Attempts          int           `yaml:"attempts"`
	LimitField        string        `yaml:"limit_field"`
	Prices            Prices        `yaml:"prices"`
}

// Prices are per million tokens.
type Prices struct {
	Prompt     float64 `yaml:"prompt"`
	Cached     float64 `yaml:"cached"`
	Completion float64 `yaml:"completion"`
}

// Budget is a limit; 0 is none.
type Budget struct {
	Tokens int64   `yaml:"tokens"`
	Money  float64 `yaml:"money"`
}

// Default is what keys that are left out mean. The judge has no default.
func Default() Config {
	return Config{
		Split: "\n\n", Encoder: Encoder{Kind: "sentence"}, Pairing: label.DefaultPairing, Coherence: label.DefaultCoherence(), Fusion: label.Normalised,
		Parts: []label.Part{label.Align, label.Quality, label.Coherent}, Trajectory: Trajectory{Kind: label.NoFinal, Samples: 8, Templates: 3}, Seed: 1,
	}
}

// Load reads the file on top of the defaults.
func Load(path string) (Config, error) {
	c := Default()
	info, err := os.Stat(path)
	if err != nil {
		return c, err
	}
	if info.Size() > strictyaml.MaxBytes {
		return c, fmt.Errorf("%s: %d bytes: a configuration has at most %d", path, info.Size(), strictyaml.MaxBytes)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return c, err
	}
	if err := strictyaml.Decode(text, path, &c); err != nil {
		return c, err
	}
	if err := c.Validate(); err != nil {
		return c, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// Validate checks what can be checked before a stage is opened. Its errors name the key.
func (c Config) Validate() error {
	if c.Judge.Kind == "" {
		return errors.New("judge.kind: it is required: openai, equations, prm, rollout, consensus or none")
	}
	if err := c.judge("judge", c.Judge); err != nil {
		return err
	}
	e := c.Encoder
	switch e.Kind {
	case "sentence", "file", "backbone":
		if e.Path == "" {
			return fmt.Errorf("encoder.path: the %s encoder needs it", e.Kind)
		}
	case "openai":
		if err := c.served("encoder", e.Server, e.Model); err != nil {
			return err
		}
	case "none":
	default:
		return fmt.Errorf("encoder.kind: %q is none of sentence, openai, file, backbone, none", e.Kind)
	}
	if c.Trajectory.Kind == label.PaperFinal || c.Trajectory.Kind == label.Lift {
		for key, p := range map[string]Policy{"trajectory.templater": c.Trajectory.Templater, "trajectory.policy": c.Trajectory.Policy} {
			if err := c.served(key, p.Server, p.Model); err != nil {
				return err
			}
		}
	}
	if c.Budget.Tokens < 0 || !(c.Budget.Money >= 0 && c.Budget.Money < 1e9) {
		return fmt.Errorf("budget: %d tokens and %v must not be negative, nor the money 10⁹ or more", c.Budget.Tokens, c.Budget.Money)
	}
	if c.Threads < 0 {
		return fmt.Errorf("threads: %d is negative", c.Threads)
	}
	if slices.ContainsFunc(c.Parts, func(p label.Part) bool { return p != label.Quality }) && e.Kind == "none" {
		return fmt.Errorf("parts: %v need an encoder; with encoder.kind: none, set parts: [quality]", c.Parts)
	}
	if slices.Contains(c.Parts, label.Quality) && c.Judge.Kind == "none" {
		return errors.New("parts: quality needs a judge; with judge.kind: none, set parts: [align, coherence]")
	}
	return nil
}

func (c Config) judge(key string, j Judge) error {
	switch j.Kind {
	case "equations", "none":
	case "openai":
		return c.served(key, j.Server, j.Model)
	case "prm":
		if j.Path == "" {
			return fmt.Errorf("%s.path: the model folder is missing", key)
		}
	case "rollout":
		return c.served(key+".policy", j.Policy.Server, j.Policy.Model)
	case "consensus":
		if len(j.Of) != 2 {
			return fmt.Errorf("%s.of: %d judges; a consensus is of two", key, len(j.Of))
		}
		for i, one := range j.Of {
			inner := fmt.Sprintf("%s.of.%d", key, i)
			if one.Kind == "none" || one.Kind == "consensus" || one.Kind == "" {
				return fmt.Errorf("%s.kind: %q cannot be in a consensus", inner, one.Kind)
			}
			if err := c.judge(inner, one); err != nil {
				return err
			}
		}
	default:
		return fmt.Errorf("%s.kind: %q is none of openai, equations, prm, rollout, consensus, none", key, j.Kind)
	}
	return nil
}

// served checks that the server is there and that a model is named.
func (c Config) served(key, server, model string) error {
	if _, ok := c.Servers[server]; !ok {
		if server == "" {
			return fmt.Errorf("%s.server: it is missing; name one of servers", key)
		}
		return fmt.Errorf("%s.server: servers has no %q, only %s", key, server, strings.Join(slices.Sorted(maps.Keys(c.Servers)), ", "))
	}
	if model == "" {
		return fmt.Errorf("%s.model: it is missing", key)
	}
	return nil
}
