// Package openai has the stages that ask a server of OpenAI's HTTP API (vLLM, Ollama, llama.cpp, OpenAI): a judge by rubric, a
// templater, a policy and an encoder.
package openai

import (
	"cmp"
	"crypto/sha256"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"github.com/goprm/goprm/internal/llm"
)

//go:embed prompts
var prompts embed.FS

// Prompt is a text/template that defines "user" and, if wanted, "system": the two messages of a request. What it is given is
// View. The messages of successive steps should begin alike as far as they can, since servers keep what they have read: the
// problem and the response first, then the steps, and last what is asked.
type Prompt struct {
	version string
	text    *template.Template
}

// View is what a prompt may show.
type View struct {
	Problem  string
	Response string   // the response's steps joined by a blank line; "" where the judge is not shown it
	Answer   string   // the gold answer; "" where the judge is not shown it
	Steps    []string // the thinking steps shown; a judge grades the last one, or all
	Template string   // to follow; for a policy
	Form     string   // the form of the JSON answer; for a judge
}

// BuiltinPrompt returns one of judge-v1, trajectory-v1, template-v1 and policy-v1.
func BuiltinPrompt(name string) (*Prompt, error) {
	text, err := prompts.ReadFile("prompts/" + name + ".tmpl")
	if errors.Is(err, fs.ErrNotExist) {
		entries, _ := prompts.ReadDir("prompts")
		names := make([]string, len(entries))
		for i, e := range entries {
			names[i] = strings.TrimSuffix(e.Name(), ".tmpl")
		}
		return nil, fmt.Errorf("prompt %q is not built in; there are %s", name, strings.Join(names, ", "))
	}
	if err != nil {
		return nil, err
	}
	return NewPrompt(name, string(text))
}

// maxPrompt bounds a prompt's file, in bytes.
const maxPrompt = 1 << 20

// ReadPrompt reads a prompt from a file. Its name is the file's, without the extension.
func ReadPrompt(path string) (*Prompt, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if st.Size() > maxPrompt {
		return nil, fmt.Errorf("prompt %s: %d bytes are more than %d", path, st.Size(), maxPrompt)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	base := filepath.Base(path)
	return NewPrompt(strings.TrimSuffix(base, filepath.Ext(base)), string(text))
}

// NewPrompt parses a prompt and tries it once.
func NewPrompt(name, text string) (*Prompt, error) {
	t, err := template.New(name).Funcs(template.FuncMap{"number": func(i int) int { return i + 1 }}).Parse(text)
	if err != nil {
		return nil, fmt.Errorf("prompt %s: %w", name, err)
	}
	if t.Lookup("user") == nil {
		return nil, fmt.Errorf(`prompt %s: it must hold {{define "user"}}…{{end}}`, name)
	}
	p := &Prompt{version: fmt.Sprintf("%s@%.6x", name, sha256.Sum256([]byte(text))), text: t}
	_, err = p.messages(&View{Problem: "p", Response: "r", Answer: "a", Steps: []string{"s", "s"}, Template: "t", Form: "f"})
	return p, err
}

// Version is the prompt's name and the hash of its text.
func (p *Prompt) Version() string { return p.version }

func (p *Prompt) messages(v *View) ([]llm.Message, error) {
	var all []llm.Message
	for _, role := range []string{"system", "user"} {
		t := p.text.Lookup(role)
		if t == nil {
			continue
		}
		var b strings.Builder
		if err := t.Execute(&b, v); err != nil {
			return nil, fmt.Errorf("prompt %s: %w", p.version, err)
		}
		if b.Len() > 0 {
			all = append(all, llm.Message{Role: role, Content: b.String()})
		}
	}
	return all, nil
}

func orBuiltin(p *Prompt, name string) (*Prompt, error) {
	if p != nil {
		return p, nil
	}
	return BuiltinPrompt(name)
}

// Sampling says which model answers and how.
type Sampling struct {
	Model       string
	Temperature float64
	TopP        float64 // 0: the server's default
	MaxTokens   int     // of one completion; 0: the stage's default
	Seed        uint64
	// Extra fields of the request, for what one server offers and others do not, e.g. chat_template_kwargs. Null leaves
	// temperature or seed out.
	Extra map[string]any
}

func (s Sampling) validate() error {
	if s.Model == "" {
		return errors.New("openai: the model needs a name")
	}
	if !(s.Temperature >= 0 && s.Temperature <= 10) || !(s.TopP >= 0 && s.TopP <= 1) || s.MaxTokens < 0 {
		return fmt.Errorf("openai: temperature %g must be in [0,10], top_p %g in [0,1], max_tokens %d not negative", s.Temperature, s.TopP,
			s.MaxTokens)
	}
	return s.validateExtra()
}

// open checks the options of a stage, fills in its limit of tokens, and returns the client and the prompt, or the built-in one.
func (s *Sampling) open(client *Client, maxTokens int, prompt *Prompt, builtin string) (*llm.Client, *Prompt, error) {
	asked, err := client.inner()
	if err != nil {
		return nil, nil, err
	}
	if err := s.validate(); err != nil {
		return nil, nil, err
	}
	s.MaxTokens = cmp.Or(s.MaxTokens, maxTokens)
	prompt, err = orBuiltin(prompt, builtin)
	return asked, prompt, err
}

// ownOptions are the fields of a request that options set, and by what name.
var ownOptions = map[string]string{
	"response_format":       "schema (auto, json_schema, json_object or none) says how a judge's JSON is asked for",
	"max_tokens":            "max_tokens stands beside extra",
	"max_completion_tokens": "max_tokens stands beside extra; the server's limit_field names the field",
	"model":                 "model stands beside extra",
	"messages":              "prompt names a file of its own",
	"n":                     "samples stands beside extra",
	"temperature":           "temperature stands beside extra (null here leaves it out)",
	"seed":                  "seed is the labelling's (null here leaves it out)",
	"top_p":                 "top_p stands beside extra",
	"stream":                "answers are read whole",
}

func (s Sampling) validateExtra() error {
	for _, name := range slices.Sorted(maps.Keys(s.Extra)) {
		why, own := ownOptions[name]
		if own && !(s.Extra[name] == nil && (name == "temperature" || name == "seed")) {
			return fmt.Errorf("openai: extra.%s: this field has an option of its own: %s", name, why)
		}
	}
	return nil
}

func (s Sampling) id() string {
	return fmt.Sprintf("model=%q temperature=%g top_p=%g max_tokens=%d seed=%d extra=%v", s.Model, s.Temperature, s.TopP, s.MaxTokens, s.Seed,
		s.Extra)
}

func (s Sampling) chat(messages []llm.Message, seed int64) llm.Chat {
	return llm.Chat{
		Model: s.Model, Messages: messages, MaxTokens: s.MaxTokens, Temperature: s.Temperature, TopP: s.TopP, Seed: seed, Extra: s.Extra,
	}
}

// seedOf mixes a seed with a number; the result has 31 bits, which every server takes.
func seedOf(seed, number uint64) int64 { return int64(rand.NewPCG(seed, number).Uint64() >> 33) }

// Estimate is what a stage would ask for, in tokens of four bytes.
type Estimate struct {
	Calls, Prompt, Cached, Completion int64 // Cached is the part of Prompt that an earlier call of the same trajectory began with
}

const bytesPerToken = 4

func tokens(bytes int) int64 { return int64(bytes+bytesPerToken-1) / bytesPerToken }

// add counts n completions of a call whose prompt shares its first bytes with the call before.
func (e *Estimate) add(prompt, shared int, n int, completion int64) {
	e.Calls++
	e.Prompt += tokens(prompt)
	e.Cached += int64(shared / bytesPerToken)
	e.Completion += int64(n) * completion
}

func flat(messages []llm.Message) string {
	var b strings.Builder
	for _, m := range messages {
		b.WriteString(m.Content)
		b.WriteByte(0)
	}
	return b.String()
}

func commonPrefix(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}
