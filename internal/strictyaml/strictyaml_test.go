package strictyaml

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// lambda is a number or a word, as lambda_final is.
type lambda struct {
	Value    float64
	Balanced bool
}

func (l *lambda) UnmarshalYAML(n *yaml.Node) error {
	if n.Value == "balanced" {
		*l = lambda{Balanced: true}
		return nil
	}
	*l = lambda{}
	if n.Decode(&l.Value) != nil {
		return errors.New("a number or balanced is wanted")
	}
	return nil
}

func (l lambda) MarshalYAML() (any, error) {
	if l.Balanced {
		return "balanced", nil
	}
	return l.Value, nil
}

type level int

func (l *level) UnmarshalText(b []byte) error {
	if string(b) != "high" {
		return fmt.Errorf("level %q is not known", b)
	}
	*l = 3
	return nil
}

func (l level) MarshalText() ([]byte, error) { return []byte("high"), nil }

type shared struct {
	Note string `yaml:"note"`
}

type config struct {
	Model string `yaml:"model"`
	Optim struct {
		LR     float64    `yaml:"lr"`
		HeadLR float64    `yaml:"head_lr"`
		Betas  [2]float64 `yaml:"-"`
		Steps  int        `yaml:"steps"`
		Seed   uint64     `yaml:"seed"`
	} `yaml:"optim"`
	Data struct {
		Train []string `yaml:"train"`
	} `yaml:"data"`
	Lambda  lambda             `yaml:"lambda"`
	Level   level              `yaml:"level"`
	Quiet   bool               `yaml:"quiet"`
	Wait    time.Duration      `yaml:"wait"`
	Extra   map[string]float64 `yaml:"extra"`
	Any     any                `yaml:"any"`
	Limit   *int               `yaml:"limit"`
	Parts   []shared           `yaml:"parts"`
	Plain   string
	shared  int
	Inlined shared `yaml:",inline"`
}

func TestDecode(t *testing.T) {
	var c config
	c.Optim.HeadLR = 7
	c.Data.Train = []string{"default"}
	require.NoError(t, Decode([]byte(`
model: &m dir
optim:
  lr: 1e-4
  steps: 1_000
  seed: 18446744073709551615
data: {train: [a, *m]}
lambda: balanced
level: high
quiet: true
wait: 30s
extra: {a: 1, b: .inf}
any: {x: [1, two]}
limit: 5
parts: [{note: one}]
plain: p
note: inline
`), "run.yaml", &c))
	require.Equal(t, "dir", c.Model)
	require.Equal(t, 1e-4, c.Optim.LR)
	require.Equal(t, 7.0, c.Optim.HeadLR, "a key left out keeps its default")
	require.Equal(t, 1000, c.Optim.Steps)
	require.Equal(t, uint64(math.MaxUint64), c.Optim.Seed)
	require.Equal(t, []string{"a", "dir"}, c.Data.Train, "lists are replaced whole")
	require.True(t, c.Lambda.Balanced)
	require.Equal(t, level(3), c.Level)
	require.True(t, c.Quiet)
	require.Equal(t, 30*time.Second, c.Wait)
	require.Equal(t, map[string]float64{"a": 1, "b": math.Inf(1)}, c.Extra)
	require.Equal(t, map[string]any{"x": []any{1, "two"}}, c.Any)
	require.Equal(t, 5, *c.Limit)
	require.Equal(t, []shared{{Note: "one"}}, c.Parts)
	require.Equal(t, "p", c.Plain)
	require.Equal(t, "inline", c.Inlined.Note)

	require.NoError(t, Decode([]byte("optim:\ndata: {train: }\nlimit: null\n"), "", &c), "sections and lists may be left empty")
	require.Equal(t, 1e-4, c.Optim.LR)
	require.Nil(t, c.Data.Train)
	require.Nil(t, c.Limit)
}

func TestErrorsNameTheirPlace(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"model: a\noptim:\n  lrr: 1", "run.yaml:3: unknown key optim.lrr: the nearest known key is optim.lr"},
		{"model: a\noptim: {head-lr: 1}", "run.yaml:2: unknown key optim.head-lr: the nearest known key is optim.head_lr"},
		{"modle: a", "run.yaml:1: unknown key modle: the nearest known key is model"},
		{"head_lr: 1", "run.yaml:1: unknown key head_lr: the nearest known key is optim.head_lr"},
		{"optim: {train: x}", "unknown key optim.train: the nearest known key is data.train"},
		{"parts: [{note: a}, {nota: b}]", "unknown key parts.1.nota: the nearest known key is parts.1.note"},
		{"shared: 1", "unknown key shared"},
		{"Model: a", "unknown key Model: the nearest known key is model"},
		{"model: a\nquiet: true\nmodel: b", "run.yaml:3: model: the key is given twice"},
		{"extra: {a: 1, a: 2}", "extra.a: the key is given twice"},
		{"any: {a: 1, a: 2}", "any: "},
		{"model: a\n---\nmodel: b", "run.yaml:2: a second document begins here"},
		{"optim:\n  steps: many", "run.yaml:2: optim.steps: a whole number is wanted, not \"many\""},
		{"optim:\n  steps: 2.5", "run.yaml:2: optim.steps: a whole number is wanted, not \"2.5\""},
		{"optim: {steps: 1e30}", "optim.steps: a whole number is wanted"},
		{"optim: {steps: 010}", "begins with a zero"},
		{"optim: {seed: -1}", "optim.seed: a whole number from 0 is wanted, not \"-1\""},
		{"optim: {lr: fast}", "optim.lr: a number is wanted, not \"fast\""},
		{"optim: {lr: [1]}", "optim.lr: a number is wanted, not a list"},
		{"optim: {lr: }", "optim.lr: it has no value; a number is wanted"},
		{"optim: 3", "optim: a section of keys is wanted, not \"3\": its keys are lr, head_lr, steps, seed"},
		{"data: {train: 7}", "data.train: a list is wanted, not \"7\""},
		{"data: {train: \"\"}", "data.train: a list is wanted"},
		{"data: {train: [a, [b]]}", "data.train.1: a text is wanted, not a list"},
		{"model: {a: b}", "model: a text is wanted, not a section of keys"},
		{"quiet: maybe", "quiet: true or false is wanted, not \"maybe\""},
		{"wait: soon", "wait: a duration such as 30s is wanted"},
		{"extra: {a: x}", "extra.a: a number is wanted"},
		{"lambda: some", "run.yaml:1: lambda: a number or balanced is wanted"},
		{"lambda: ", "lambda: it has no value"},
		{"level: low", `level: level "low" is not known`},
		{"level: [high]", "level: a single value is wanted, not a list"},
		{"? [a]\n: 1", "run.yaml:1: a key must be a plain name"},
		{"base: &b {}\n<<: *b", "unknown key base"},
		{"<<: {model: a}", "a key must be a plain name"},
		{"- a", "run.yaml:1: a section of keys is wanted, not a list"},
		{"", "run.yaml: there is nothing in it"},
		{"# only a comment", "run.yaml: there is nothing in it"},
		{"model: [a", "run.yaml:"},
		{"model: \x80", "run.yaml: "},
		{"model: *nowhere", "run.yaml: unknown anchor 'nowhere' referenced"},
		{strings.Repeat(" ", MaxBytes+1), "a configuration has at most"},
	} {
		var got config
		require.ErrorContains(t, Decode([]byte(c.text), "run.yaml", &got), c.want, c.text)
		require.Zero(t, got.shared, "an unexported field is no key")
	}
	require.Error(t, Decode([]byte("a: 1"), "", config{}))
	require.Error(t, Set(nil, "a=1"))
}

// Nine levels of nine aliases would unfold into half a billion values.
func TestAliasBomb(t *testing.T) {
	type tree struct{ A, B, C, D, E, F, G, H, I any }
	var text strings.Builder
	text.WriteString("a: &a [" + strings.Repeat("x,", 9) + "]\n")
	for level := 'b'; level <= 'i'; level++ {
		fmt.Fprintf(&text, "%c: &%c [%s]\n", level, level, strings.Repeat("*"+string(level-1)+",", 9))
	}
	start := time.Now()
	require.Error(t, Decode([]byte(text.String()), "bomb.yaml", &tree{}))
	require.Less(t, time.Since(start), 10*time.Second)

	var typed struct{ L [][][][][]string }
	bomb := "l: [[[[&a [" + strings.Repeat("x,", 50) + "]," + strings.Repeat("*a,", 3000) + "]]]]"
	require.ErrorContains(t, Decode([]byte(bomb), "typed.yaml", &typed), "more than 100000 values")
	require.Error(t, Decode([]byte("any: &a [*a]"), "loop.yaml", &config{}))
	require.Error(t, Decode([]byte("any: "+strings.Repeat("[", 20000)), "deep.yaml", &config{}))
}

type loop struct {
	Next *loop  `yaml:"next"`
	Name string `yaml:"name"`
}

func TestRecursiveTypes(t *testing.T) {
	var l loop
	require.NoError(t, Decode([]byte("next: {next: {name: x}}"), "", &l))
	require.Equal(t, "x", l.Next.Next.Name)
	require.ErrorContains(t, Decode([]byte("nxet: {}"), "", &l), "nearest known key is next")
	require.ErrorContains(t, Decode([]byte("next: &a {next: *a}"), "", &l), "nested more than")
}

func TestSet(t *testing.T) {
	var c config
	for _, s := range []string{"optim.steps=100", "optim.lr=2e-5", "data.train=[a.jsonl, b.jsonl]", "model=x=y", "lambda=0.5", "level=high",
		"quiet=true", `note="\n\n"`, "plain=", "extra={k: 2}"} {
		require.NoError(t, Set(&c, s), s)
	}
	require.Equal(t, 100, c.Optim.Steps)
	require.Equal(t, 2e-5, c.Optim.LR)
	require.Equal(t, []string{"a.jsonl", "b.jsonl"}, c.Data.Train)
	require.Equal(t, "x=y", c.Model)
	require.Equal(t, 0.5, c.Lambda.Value)
	require.Equal(t, "\n\n", c.Inlined.Note)
	require.Equal(t, 2.0, c.Extra["k"])
	require.NoError(t, Set(&c, "extra.k=3"))
	require.Equal(t, 3.0, c.Extra["k"])
	require.NoError(t, Set(&c, "optim={lr: 5}"))
	require.Equal(t, 100, c.Optim.Steps, "a section given whole leaves its other keys")

	for s, want := range map[string]string{
		"optim.lrr=1":      "--set optim.lrr=1: unknown key optim.lrr: the nearest known key is optim.lr",
		"optim.steps=many": "--set optim.steps=many: optim.steps: a whole number is wanted",
		"optim.steps=":     "optim.steps: a whole number is wanted",
		"optim.steps":      "it must read key=value",
		"=1":               "it must read key=value",
		"optim..lr=1":      "unknown key optim.",
		"model=[":          "the value cannot be read",
		"model=a: b":       "model: a text is wanted, not a section",
		"data.train=":      "data.train: a list is wanted",
		"optim.lr.x=1":     "optim.lr: a number is wanted, not a section",
		"model=~":          "model: it has no value",
	} {
		require.ErrorContains(t, Set(&c, s), want, s)
	}
}

func TestBareStringIsAListOfOne(t *testing.T) {
	var c config
	require.NoError(t, Decode([]byte("data: {train: a.jsonl}"), "", &c))
	require.Equal(t, []string{"a.jsonl"}, c.Data.Train)
	require.NoError(t, Set(&c, "data.train=b, c"))
	require.Equal(t, []string{"b, c"}, c.Data.Train)
}

func TestEncode(t *testing.T) {
	var c config
	require.NoError(t, Decode([]byte("extra: {b: 1, a: 1e-7}\nlambda: balanced\nlevel: high\noptim: {lr: 1e-4, seed: "+
		"18446744073709551615}\nnote: \"x\\n\\n\"\nwait: 90s"), "", &c))
	first, err := Encode(c)
	require.NoError(t, err)
	for range 20 {
		again, err := Encode(c)
		require.NoError(t, err)
		require.Equal(t, string(first), string(again))
	}
	var back config
	require.NoError(t, Decode(first, "again.yaml", &back), "%s", first)
	require.Equal(t, c.Optim, back.Optim)
	require.Equal(t, c.Extra, back.Extra)
	require.Equal(t, c.Lambda, back.Lambda)
	require.Equal(t, c.Inlined, back.Inlined)
	require.Equal(t, c.Wait, back.Wait)
	require.Contains(t, string(first), "lr: 0.0001\n")
	require.Less(t, strings.Index(string(first), "a: 1e-07"), strings.Index(string(first), "b: 1\n"))
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"lr", "lrr", 1}, {"modle", "model", 1}, {"kitten", "sitting", 3}, {"ca", "abc", 3}} {
		require.Equal(t, c.want, distance(c.a, c.b), "%v", c)
		require.Equal(t, c.want, distance(c.b, c.a), "%v", c)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("optim: {lr: 1}\ndata: {train: [a]}\nlambda: 1\nany: &a [1, *b]")
	f.Add("a: &a [x]\nb: [*a, *a]\n? [c]\n: d\n--- \n!!float 3: !!int .5")
	f.Fuzz(func(t *testing.T, text string) {
		var c config
		if err := Decode([]byte(text), "fuzz.yaml", &c); err != nil {
			require.NotEmpty(t, err.Error())
			return
		}
		out, err := Encode(c)
		require.NoError(t, err)
		require.NotEmpty(t, out)
	})
}
