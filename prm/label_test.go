package prm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/data/label"
	"github.com/stretchr/testify/require"
)

// ownStage is every stage of a caller: a step's score is its number of a's by ten, and an answer is right if a template or a
// prefix says so.
type ownStage struct{ id string }

func (s ownStage) ID() string      { return s.id }
func (ownStage) Sees() label.Sees  { return label.SeesPrefix }
func (ownStage) StepsPerCall() int { return 0 }

func (ownStage) Judge(_ context.Context, c *label.Case, steps []int) ([]label.Verdict, error) {
	verdicts := make([]label.Verdict, len(steps))
	for i, t := range steps {
		verdicts[i].Score = float64(strings.Count(c.Thinking[t], "a")) / 10
	}
	return verdicts, nil
}

func (ownStage) Encode(_ context.Context, texts []string) ([][]float32, error) {
	vectors := make([][]float32, len(texts))
	for i, text := range texts {
		vectors[i] = []float32{1, float32(len(text))}
	}
	return vectors, nil
}

func (ownStage) Template(context.Context, *label.Case, int) (string, error) { return "know it", nil }

func (ownStage) Answer(_ context.Context, p label.Prompt, seed uint64) (string, error) {
	if p.Template == "know it" || strings.Contains(strings.Join(p.Prefix, " "), "know") {
		return "yes", nil
	}
	return "no", nil
}

func (ownStage) Verify(gold, text string) (bool, string, error) { return text == gold, "", nil }

func quietly() *slog.Logger { return slog.New(slog.DiscardHandler) }

func someTrajectories() []*data.Trajectory {
	return []*data.Trajectory{
		{ID: "1", Problem: "p", Thinking: "a aa\n\nknow", Response: "yes", Answer: "yes"},
		{ID: "2", Problem: "q", Thinking: "bb", Response: "a\n\nno", Answer: "yes", Labels: data.Labels{Trajectory: new(0.25)}},
	}
}

func labelRows(t *testing.T, dir string) (rows []*label.Row) {
	for row, err := range label.ReadRows(dir) {
		require.NoError(t, err)
		rows = append(rows, row)
	}
	return rows
}

// The caller's stages take the place of those that are configured, none of which could be opened.
func TestLabelByOwnStages(t *testing.T) {
	own := ownStage{"own"}
	in := someTrajectories()
	before, err := json.Marshal(in)
	require.NoError(t, err)
	c := LabelConfig{
		Trajectories: Slice(in), Out: filepath.Join(t.TempDir(), "out"), Logger: quietly(), Parts: []label.Part{label.Quality},
		Encoder: EncoderConfig{Kind: "sentence"}, Judge: JudgeConfig{Kind: "openai"}, Trajectory: TrajectoryConfig{Kind: label.Lift, Samples: 2},
		Stages: LabelStages{Encoder: own, Judge: own, Templater: own, Policy: own, Verifier: own},
	}
	seen := 0
	c.Progress = func(s label.Summary) { seen = s.Trajectories }
	report, err := Label(t.Context(), c)
	require.NoError(t, err)
	require.Equal(t, []int{2, 3, 2, 0, 2}, []int{report.Trajectories, report.StepLabels, report.TrajectoryLabels, report.OpenItems(), seen})
	rows := labelRows(t, c.Out)
	require.Equal(t, []float64{0.3, 0, 0}, []float64{*rows[0].Labels.Steps[0], *rows[0].Labels.Steps[1], *rows[1].Labels.Steps[0]})
	require.Equal(t, []float64{1, 1}, []float64{*rows[0].Labels.Trajectory, *rows[1].Labels.Trajectory}, "(1 + 2/2 − 0/2)/2")
	after, err := json.Marshal(in)
	require.NoError(t, err)
	require.Equal(t, string(before), string(after), "the caller's trajectories are left as they were")

	m, err := label.ReadManifest(c.Out)
	require.NoError(t, err)
	require.Equal(t, []string{"own", "own", "own", "own", "own"}, []string{m.Encoder, m.Judge, m.Templater, m.Policy, m.Verifier})
	require.Equal(t, uint64(1), m.Seed)

	plan, err := PlanLabels(t.Context(), c)
	require.NoError(t, err)
	require.Equal(t, []int{2, 3, 0}, []int{plan.Rows, plan.Steps, len(plan.Stages)})

	// Roll-outs are the caller's policy's: only the prefix that ends with "know" is answered well.
	c.Stages.Judge, c.Judge, c.Out = nil, JudgeConfig{Kind: "rollout", Samples: 3}, t.TempDir()
	_, err = Label(t.Context(), c)
	require.NoError(t, err)
	rows = labelRows(t, c.Out)
	require.Equal(t, []float64{0, 1}, []float64{*rows[0].Labels.Steps[0], *rows[0].Labels.Steps[1]})
}

// Zero fields mean the same as a file without keys, and a seed that is written counts.
func TestLabelDefaults(t *testing.T) {
	base := LabelConfig{Judge: JudgeConfig{Kind: "equations"}, Encoder: EncoderConfig{Kind: "file", Path: "v"}}
	c, err := loadLabel(t, "judge: {kind: equations}\nencoder: {kind: file, path: v}")
	require.NoError(t, err)
	base, c = base.filled(), c.filled()
	require.Equal(t, c, base)
	c, err = loadLabel(t, "judge: {kind: equations}\nencoder: {kind: file, path: v}\nseed: 0")
	require.NoError(t, err)
	require.Zero(t, *c.filled().Seed)
}

func TestLabelRefusesAndLeavesNothing(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	good := LabelConfig{
		Judge: JudgeConfig{Kind: "equations"}, Encoder: EncoderConfig{Kind: "none"}, Parts: []label.Part{label.Quality}, Logger: quietly(),
		In: []string{"in.jsonl"}, Out: out,
	}
	for want, change := range map[string]func(c *LabelConfig){
		"in: nothing to label":                           func(c *LabelConfig) { c.In = nil },
		"in: files and Trajectories are both given":      func(c *LabelConfig) { c.Trajectories = Slice(nil) },
		"in: stdin cannot be read twice":                 func(c *LabelConfig) { c.In = []string{"a", "-"} },
		"out: no folder":                                 func(c *LabelConfig) { c.Out = "" },
		"shard 3 of 3 does not exist":                    func(c *LabelConfig) { c.Shard, c.Shards = 3, 3 },
		"judge.kind: it is required":                     func(c *LabelConfig) { c.Judge.Kind = "" },
		"judge: execjudge: command: no program is named": func(c *LabelConfig) { c.Judge.Kind = "exec" },
		"fusion":                  func(c *LabelConfig) { c.Fusion = "sum" },
		"workers -1":              func(c *LabelConfig) { c.Workers = -1 },
		"threads: -1 is negative": func(c *LabelConfig) { c.Threads = -1 },
		"set parts: [quality]":    func(c *LabelConfig) { c.Parts = nil },
		"trajectory.templater.server: it is missing; name one of": func(c *LabelConfig) { c.Trajectory.Kind = label.Lift },
	} {
		c := good
		change(&c)
		_, err := Label(t.Context(), c)
		require.ErrorContains(t, err, want)
	}
	_, err := os.Stat(out)
	require.ErrorIs(t, err, os.ErrNotExist)
}

// A bad row ends the run, or is passed over and counted; a cancelled run writes no labels.
func TestLabelBadRowsAndCancel(t *testing.T) {
	rows := someTrajectories()
	c := LabelConfig{
		Stages: LabelStages{Judge: ownStage{"own"}}, Encoder: EncoderConfig{Kind: "none"}, Parts: []label.Part{label.Quality},
		Logger: quietly(), Out: t.TempDir(),
		Trajectories: func(yield func(*data.Trajectory, error) bool) {
			_ = yield(rows[0], nil) && yield(nil, &data.RowError{File: "f", Line: 7, Err: errors.New("no row")}) && yield(rows[1], nil)
		},
	}
	_, err := Label(t.Context(), c)
	require.ErrorContains(t, err, "f:7")
	c.SkipBad = true
	report, err := Label(t.Context(), c)
	require.NoError(t, err)
	require.Equal(t, []int{2, 1}, []int{report.Trajectories, report.Bad})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c.Out = t.TempDir()
	_, err = Label(ctx, c)
	require.ErrorIs(t, err, context.Canceled)
	_, err = os.Stat(filepath.Join(c.Out, label.LabelsFile))
	require.ErrorIs(t, err, os.ErrNotExist)
}

// A program is a judge by label.yaml: what it answers is a label, what it does not is open, and is asked again when it does.
func TestLabelExec(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "judge.sh")
	judge := func(text string) {
		loop := "while read -r line; do\n  id=${line#*\\\"id\\\":\\\"}; id=${id%%\\\"*}\n" + text + "\ndone\n"
		require.NoError(t, os.WriteFile(script, []byte(loop), 0o644))
	}
	answer := `  printf '{"id":"%s","scores":[0.625]}\n' "$id"`
	config := func(more string) LabelConfig {
		c, err := loadLabel(t, fmt.Sprintf(
			"encoder: {kind: none}\nparts: [quality]\njudge: {kind: exec, command: [sh, %q], sees: prefix, restarts: 1%s}", script, more))
		require.NoError(t, err)
		c.Trajectories, c.Out, c.Logger = Slice(someTrajectories()), filepath.Join(dir, "out"), quietly()
		return c
	}
	judge(`  case $line in *know*) printf '{"id":"%s","error":"no idea"}\n' "$id";; *)` + answer + `;; esac`)
	report, err := Label(t.Context(), config(""))
	require.NoError(t, err)
	require.Equal(t, []int{2, 1}, []int{report.StepLabels, report.OpenItems()})
	require.Equal(t, map[string]int{"the program reports: no idea": 1}, report.Open["quality"])

	report, err = Label(t.Context(), config(""))
	require.NoError(t, err)
	require.Equal(t, 1, report.Asked["quality"], "only what is open")
	report, err = Label(t.Context(), config(", revision: two"))
	require.NoError(t, err)
	require.Equal(t, 3, report.Asked["quality"], "another revision is another judge")

	judge(answer) // another file is another judge
	report, err = Label(t.Context(), config(""))
	require.NoError(t, err)
	require.Equal(t, []int{3, 3, 0}, []int{report.Asked["quality"], report.StepLabels, report.OpenItems()})
	for _, row := range labelRows(t, config("").Out) {
		for i := range row.Steps {
			require.Equal(t, 0.625, *row.Labels.Steps[i])
			require.Equal(t, "0.625", string(row.Made.Verdicts[i].Raw[0]))
		}
	}

	judge("  exit 3")
	report, err = Label(t.Context(), config(""))
	require.NoError(t, err)
	require.Zero(t, report.StepLabels)
	require.Equal(t, 3, report.OpenItems())
	require.Contains(t, report.Stopped, "failed after 1 restarts: the program ended before it answered: exit status 3")
	m, err := label.ReadManifest(config("").Out)
	require.NoError(t, err)
	require.Contains(t, m.Judge, `exec/1 command=["sh" `)
}
