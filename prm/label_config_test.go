package prm

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/data/label"
	"github.com/goprm/goprm/data/label/openai"
	"github.com/goprm/goprm/data/label/store"
	"github.com/stretchr/testify/require"
)

func loadLabel(t *testing.T, text string) (LabelConfig, error) {
	path := filepath.Join(t.TempDir(), "label.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	return LoadLabelConfig(path)
}

const servedLabels = `
servers: {main: {url: "http://localhost:1/v1", requests_per_minute: 10, tokens_per_minute: 100000, timeout: 30s, prices: {prompt: 1, cached: 0.1, completion: 10}}}
encoder: {kind: openai, server: main, model: e}
`

func TestLoadLabelConfigRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"encoder: {kind: none}":                                                "judge.kind: it is required",
		"judge: {kind: oracle}":                                                `judge.kind: "oracle" is none of`,
		"judge: {kind: equations}":                                             "encoder.path",
		"judge: {kind: equations}\nencoder: {kind: none}":                      "set parts: [quality]",
		"judge: {kind: none}\nencoder: {kind: file, path: f}":                  "set parts: [align, coherence]",
		"judge: {kind: equations}\nencoderr: {kind: none}":                     "unknown key encoderr: the nearest known key is encoder",
		"judge: {kind: equations, temprature: 1}":                              "the nearest known key is judge.temperature",
		"judge: {kind: openai, model: m}":                                      "judge.server: it is missing",
		servedLabels + "judge: {kind: openai, server: other, model: m}":        `servers has no "other", only main`,
		servedLabels + "judge: {kind: openai, server: main}":                   "judge.model",
		servedLabels + "judge: {kind: prm}":                                    "judge.path",
		servedLabels + "judge: {kind: rollout}":                                "judge.policy.server",
		servedLabels + "judge: {kind: consensus, of: [{kind: equations}]}":     "1 judges",
		servedLabels + "judge: {kind: consensus, of: [{kind: equations}, {}]}": "judge.of.1.kind",
		servedLabels + "judge: {kind: equations}\ntrajectory: {kind: lift}":    "trajectory.",
		servedLabels + "judge: {kind: equations}\nbudget: {money: -1}":         "budget",
	} {
		_, err := loadLabel(t, text)
		require.ErrorContains(t, err, want, text)
	}
}

// A configuration that names every kind of stage opens without a call, and its pipeline is whole.
func TestLabelStagesCallNobody(t *testing.T) {
	for _, text := range []string{
		servedLabels + "judge: {kind: openai, server: main, model: m, samples: 2, temperature: 0.5}\ntrajectory: {kind: paper, templater: " +
			"{server: main, model: m}, policy: {server: main, model: m}}",
		servedLabels + "judge: {kind: rollout, policy: {server: main, model: m}, samples: 3}\ntrajectory: {kind: rule}",
		servedLabels + "judge: {kind: consensus, tolerance: 0.2, of: [{kind: equations}, {kind: openai, server: main, model: m}]}\nfusion: min",
		"encoder: {kind: none}\njudge: {kind: equations}\nparts: [quality]",
	} {
		c, err := loadLabel(t, text)
		require.NoError(t, err, text)
		s, err := store.Open(filepath.Join(t.TempDir(), "s"), store.Options{Budget: c.Budget.limit()})
		require.NoError(t, err)
		b := &labelBuilder{c: c.filled(), ledger: s, keys: true, clients: map[string]*openai.Client{}}
		p, err := b.pipeline(t.Context())
		require.NoError(t, err, text)
		p.Out, p.Store = t.TempDir(), s
		require.NoError(t, p.Validate(), text)
		require.NoError(t, b.close())
		require.NoError(t, s.Close())
	}
}

// The calls of a plan by hand: 3 thinking steps are judged one a call, that without a response is not; two templates' worth of answers each
// with and without.
func TestLabelPlanByHand(t *testing.T) {
	c, err := loadLabel(t, servedLabels+"judge: {kind: openai, server: main, model: m}\ntrajectory: {kind: lift, samples: 4, templater: "+
		"{server: main, model: m}, policy: {server: main, model: m, max_tokens: 100}}")
	require.NoError(t, err)
	in := func(yield func(*data.Trajectory, error) bool) {
		long := strings.Repeat("word ", 400)
		_ = yield(&data.Trajectory{ID: "a", Problem: long, Thinking: "One.\n\nTwo.\n\nThree.", Response: "So.\n\n4", Answer: "4"}, nil) &&
			yield(nil, &data.RowError{File: "f", Line: 2}) && yield(&data.Trajectory{ID: "b", Problem: long, Thinking: "Never closed."}, nil)
	}
	c.Trajectories = in
	_, err = PlanLabels(t.Context(), c)
	require.Error(t, err)
	c.SkipBad = true
	p, err := PlanLabels(t.Context(), c)
	require.NoError(t, err)
	require.Equal(t, []int{2, 1, 1, 4, 2}, []int{p.Rows, p.Bad, p.NoResponse, p.Steps, p.ResponseSteps})
	calls := map[string]int64{}
	total := 0.0
	for _, s := range p.Stages {
		calls[s.Stage] = s.Calls
		require.InDelta(t, float64(s.Prompt-s.Cached)/1e6+0.1*float64(s.Cached)/1e6+10*float64(s.Completion)/1e6, s.Cost, 1e-6, s.Stage)
		total += s.Cost
	}
	require.Equal(t, map[string]int64{"quality": 3, "vectors": 2, "template": 2, "answers": 16}, calls)
	require.InDelta(t, total, p.Cost, 1e-9)
	require.InDelta(t, 23.0/10, p.Minutes, 1e-9) // 23 calls at 10 a minute
	require.Equal(t, int64(16*100), p.Stages[len(p.Stages)-1].Completion)
	// The second and third step's prompts begin as the first's, with the long problem.
	require.Greater(t, p.Stages[0].Cached, int64(2*2000/4))
	require.Equal(t, "quality", p.Stages[0].Stage)
	require.Equal(t, label.Lift, c.Trajectory.Kind)
}

// The example stays readable, and what it calls a default is one.
func TestLabelExampleConfig(t *testing.T) {
	c, err := LoadLabelConfig(filepath.Join("..", "examples", "label.yaml"))
	require.NoError(t, err)
	d := DefaultLabelConfig()
	require.Equal(t, []any{d.Split, d.Encoder.Kind, d.Pairing, d.Coherence, d.Fusion, d.Parts, d.Trajectory.Samples, d.Trajectory.Templates,
		d.Seed},
		[]any{c.Split, c.Encoder.Kind, c.Pairing, c.Coherence, c.Fusion, c.Parts, c.Trajectory.Samples, c.Trajectory.Templates, c.Seed})
	require.Equal(t, label.DefaultPairing, d.Pairing)
}
