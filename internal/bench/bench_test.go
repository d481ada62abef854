package bench

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/metrics"
)

func read(t *testing.T, bench, text string) (*Set, error) {
	t.Helper()
	return Read(bench, []string{"-"}, ReadOptions{ReadOptions: data.ReadOptions{Stdin: strings.NewReader(text)}})
}

func readGood(t *testing.T, bench, text string) *Set {
	t.Helper()
	s, err := read(t, bench, text)
	require.NoError(t, err)
	return s
}

// value finds a metric.
func value(t *testing.T, e Evaluation, group, metric string) metrics.Float {
	t.Helper()
	for _, m := range e.Metrics {
		if m.Group == group && m.Name == metric {
			return m.Value
		}
	}
	require.Fail(t, "no metric", "%s %s", group, metric)
	return 0
}

// stored reads the scores of testdata as the command does.
func stored(t *testing.T, s *Set, path string) Scores {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	type line struct {
		ID         string
		Scores     []float64
		Trajectory float64
	}
	byID := map[string]line{}
	for _, one := range bytes.Split(bytes.TrimSpace(text), []byte("\n")) {
		var l line
		require.NoError(t, json.Unmarshal(one, &l))
		byID[l.ID] = l
	}
	scores := NewScores(len(s.Cases))
	for i, c := range s.Cases {
		l := byID[c.ID]
		sum := 0.0
		for _, v := range l.Scores {
			sum += v
		}
		scores.Steps[i], scores.Rewards[i] = l.Scores, sum/float64(len(l.Scores))+l.Trajectory
	}
	return scores
}

// scripts/eval_check.py made the data, and computed the numbers by the definitions.
func TestMetricsAgainstTheScript(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "expected.json"))
	require.NoError(t, err)
	var expected map[string]map[string]map[string]metrics.Float
	require.NoError(t, json.Unmarshal(text, &expected))
	for _, bench := range Names() {
		s, err := Read(bench, []string{filepath.Join("testdata", bench+".jsonl")}, ReadOptions{})
		require.NoError(t, err)
		r, err := s.Evaluate(stored(t, s, filepath.Join("testdata", bench+".scores.jsonl")), Options{Threshold: 0.5, Cut: 0.5, Seed: 1})
		require.NoError(t, err)
		n := 0
		for group, values := range expected[bench] {
			for metric, want := range values {
				got := value(t, r.Model, group, metric)
				require.Equal(t, want.Defined(), got.Defined(), "%s %s %s", bench, group, metric)
				if want.Defined() {
					require.InDelta(t, float64(want), float64(got), 1e-12, "%s %s %s", bench, group, metric)
				}
				n++
			}
		}
		require.Len(t, r.Model.Metrics, n, "%s: nothing more than expected", bench)
		require.Zero(t, r.Unscored)
		for _, m := range r.Model.Metrics {
			if m.Value.Defined() && m.Low.Defined() {
				require.LessOrEqual(t, m.Low, m.High, "%s %s", m.Group, m.Name)
			}
		}
		require.Len(t, r.Controls, 4)
	}
}

func TestProcessBenchByHand(t *testing.T) {
	s := readGood(t, "processbench",
		`{"id":"gsm8k-0","generator":"g","problem":"p","steps":["aaaa","bb"],"final_answer_correct":false,"label":1}
{"id":"gsm8k-1","problem":"q","steps":["aaa","bb","c"],"label":0}
{"id":"gsm8k-2","problem":"r","steps":["aaa","b"],"label":-1}
{"id":"omni-math-0","problem":"r","steps":["a"],"label":-1}
{"id":"omni-math-1","problem":"s","steps":["a","bb"],"label":0}
`)
	require.Equal(t, "omni-math", s.Cases[3].Group)
	require.True(t, math.IsNaN(s.Cases[1].Targets[1]), "what comes after the first error has no label")
	scores := NewScores(5)
	scores.Steps = [][]float64{{0.9, 0.1}, {0.6, 0.1, 0.1}, {0.5, 0.9}, {0.2}, {0.1, 0.1}}
	r, err := s.Evaluate(scores, Options{Threshold: 0.5, Cut: 0.5})
	require.NoError(t, err)
	// gsm8k: 0 named; 1 missed, since what follows it is not looked at; 2 passes (0.5 is not below 0.5). omni: 0 called wrong, 1 named.
	for metric, want := range map[string]float64{"acc_err": 0.5, "acc_corr": 1, "f1": 2.0 / 3} {
		require.InDelta(t, want, float64(value(t, r.Model, "gsm8k", metric)), 1e-15)
	}
	require.Equal(t, metrics.Float(0), value(t, r.Model, "omni-math", "f1"))
	require.InDelta(t, 1.0/3, float64(value(t, r.Model, "average", "f1")), 1e-15)
	require.Equal(t, 4, r.Problems, "problems are told apart by their text")
	// good steps have 4, 3, 1, 1 characters, bad ones 2, 3, 1: won by the longer: 1+.5+1, 1+... counted by hand
	// 4 beats all three (3); 3 beats 2 and 1, ties 3 (2.5); 1 ties 1 (0.5) twice: 6.5 of 12
	require.InDelta(t, 6.5/12, float64(value(t, r.Controls["longer_is_better"], "all", "step_auroc")), 1e-15)
	require.InDelta(t, 5.5/12, float64(value(t, r.Controls["shorter_is_better"], "all", "step_auroc")), 1e-15)
	require.InDelta(t, float64(1-value(t, r.Controls["later_is_better"], "all", "step_auroc")),
		float64(value(t, r.Controls["earlier_is_better"], "all", "step_auroc")), 1e-15)
}

func TestUnscoredCasesCountNowhere(t *testing.T) {
	s := readGood(t, "processbench", `{"id":"a-0","problem":"p","steps":["x","y"],"label":1}
{"id":"a-1","problem":"q","steps":["x"],"label":-1}
{"id":"a-2","problem":"r","steps":["x"],"label":0}
`)
	scores := NewScores(3)
	scores.Steps[0], scores.Steps[1] = []float64{0.9, 0.1}, []float64{0.9}
	r, err := s.Evaluate(scores, Options{Threshold: 0.5, Cut: 0.5})
	require.NoError(t, err)
	require.Equal(t, 1, r.Unscored)
	require.Equal(t, metrics.Float(1), value(t, r.Model, "a", "acc_err"))
	require.Equal(t, metrics.Float(0.5), value(t, r.Controls["longer_is_better"], "all", "step_auroc"), "nor for the controls: 2 ties")
	_, err = s.Evaluate(NewScores(3), Options{})
	require.ErrorContains(t, err, "none of the 3 trajectories has scores")
	scores.Steps[1] = []float64{0.9, 0.1}
	_, err = s.Evaluate(scores, Options{})
	require.ErrorContains(t, err, `"a-1" has 2 scores for 1 steps`)
	scores.Steps[1] = []float64{}
	_, err = s.Evaluate(scores, Options{})
	require.ErrorContains(t, err, `"a-1" has no scores of its steps`)
}

func TestBestThreshold(t *testing.T) {
	s := readGood(t, "processbench", `{"id":"a-0","problem":"p","steps":["x","y"],"label":1}
{"id":"a-1","problem":"q","steps":["x","y"],"label":-1}
`)
	scores := NewScores(2)
	scores.Steps = [][]float64{{0.9, 0.2}, {0.8, 0.6}}
	require.InDelta(t, 0.4, s.BestThreshold(scores, 0.5), 1e-12, "between 0.2 and 0.6 all is right")
	pairs := readGood(t, "pairs", `{"problem":"p","better":{"thinking":"a"},"worse":{"thinking":"b"}}`)
	require.True(t, math.IsNaN(pairs.BestThreshold(NewScores(2), 0.5)))
}

func TestPairsOfS1K(t *testing.T) {
	s := readGood(t, "pairs",
		`{"question":"q","solution":"1","deepseek_thinking_trajectory":"Hm.\n\nSo.","deepseek_attempt":"It is 1.","gemini_thinking_trajectory":"Hm","gemini_attempt":"2","gemini_grade":"No","deepseek_grade":"Yes"}
{"id":7,"problem":"p","better":{"steps":["a","b"],"response":"c"},"worse":{"response_steps":["d"]}}
`)
	require.Len(t, s.Cases, 4)
	require.Equal(t, []string{"Hm.", "So."}, s.Cases[0].Trajectory.Steps)
	require.Equal(t, []string{"It is 1."}, s.Cases[0].Trajectory.ResponseSteps)
	require.Equal(t, "stdin:1/better", s.Cases[0].ID)
	require.Equal(t, "7/worse", s.Cases[3].Trajectory.ID)
	require.Equal(t, []string{"d"}, s.Cases[3].Trajectory.ResponseSteps)
	scores := NewScores(4)
	scores.Rewards = []float64{0.9, 0.1, 0.5, 0.5}
	r, err := s.Evaluate(scores, Options{})
	require.NoError(t, err)
	require.Equal(t, metrics.Float(0.75), value(t, r.Model, "all", "accuracy"))
	require.Equal(t, metrics.Float(0.875), value(t, r.Model, "all", "auroc")) // 0.9 wins twice, 0.5 wins once and ties once
	require.Equal(t, metrics.Float(0.5), value(t, r.Model, "all", "overlap")) // one of two in the same bin
	require.Equal(t, metrics.Float(0), value(t, r.Model, "length_matched", "pairs"))
	require.Equal(t, metrics.Float(1), value(t, r.Controls["longer_is_better"], "all", "accuracy"))
}

func TestSections(t *testing.T) {
	require.Equal(t, []string{"one, as section9: says", "two"}, cutSections("x\nsection1: one, as section9: says\n\nSection 2:\ntwo\n"))
	require.Equal(t, []string{"one\nsection1: again\nsection3: far"}, cutSections("section1:\none\nsection1: again\nsection3: far"),
		"numbers follow one another")
	require.Empty(t, cutSections("no sections"))
	s := readGood(t, "deltabench",
		`{"id":"d","task_l1":"math","question":"q","sections_content":"section1:\na\nsection2:\nb\nsection3:\nc\nsection4:\nd","reason_error_section_numbers":[3],"reason_unuseful_section_numbers":[1,3,9]}
{"question":"q","section_content":"section1: a","reason_error_section_numbers":[],"reason_unuseful_section_numbers":[]}
`)
	require.Len(t, s.Cases, 1)
	require.Equal(t, []float64{0, 1, 0}, s.Cases[0].Targets[:3])
	require.True(t, math.IsNaN(s.Cases[0].Targets[3]), "what comes after the last one to find is not judged")
	require.Len(t, s.Warnings, 2)
	require.Contains(t, s.Warnings[0], "section 9 of 4")
	require.Contains(t, s.Warnings[1], "nothing to find")
	scores := NewScores(1)
	scores.Steps = [][]float64{{0.1, 0.1, 0.9, 0.1}} // a hit, a false alarm, a miss; the fourth does not count
	r, err := s.Evaluate(scores, Options{Threshold: 0.5, Cut: 0.5})
	require.NoError(t, err)
	for _, metric := range []string{"precision_macro", "recall_macro", "f1_score_macro", "f1_micro"} {
		require.Equal(t, metrics.Float(0.5), value(t, r.Model, "math", metric))
	}
	// mean 0.3, deviation 0.346: nothing lies below
	require.Equal(t, metrics.Float(0), value(t, r.Model, "outlier", "recall_macro"))
}

func TestReadRefuses(t *testing.T) {
	for _, c := range [][3]string{
		{"processbench", `{"id":"a-0","problem":"p","steps":["x"],"label":1}`,
			`stdin:1 (id "a-0"): label: 1 is neither -1 nor the index of one of 1 steps`},
		{"processbench", `{"id":"a-0","problem":"p","steps":["x"],"label":-2}`, "label: -2"},
		{"processbench", `{"id":"a-0","problem":"p","steps":["x"],"label":0.5}`, "label: number 0.5"},
		{"processbench", `{"id":"a-0","problem":"p","steps":["x"]}`, "label: missing"},
		{"processbench", `{"id":"a-0","problem":"p","steps":[],"label":-1}`, `"a-0" has no steps`},
		{"processbench", `{"id":"a-0","problem":"p","steps":["x",null],"label":-1}`, "steps[1]: null"},
		{"processbench", `{"id":"a-0","problem":"p","steps":["x"],"label":-1}` + "\n" + `{"id":"a-0","problem":"p","steps":["x"],"label":-1}`,
			`stdin:2 (id "a-0"): a second "a-0"`},
		{"prmbench", `{"idx":"i","classification":"odd","modified_question":"q","modified_process":["a"],"error_steps":[1],` +
			`"original_question":"q","original_process":["a"]}`, `"odd" is no class`},
		{"prmbench", `{"idx":"i","classification":"circular","modified_question":"q","modified_process":["a"],"error_steps":[0],` +
			`"original_question":"q","original_process":["a"]}`, "error_steps[0]: 0 is no step"},
		{"prmbench", `{"idx":"i"}`, "classification: missing"},
		{"deltabench", `{"question":"q","sections_content":"text","reason_error_section_numbers":[1],"reason_unuseful_section_numbers":[]}`,
			"no line begins with section1:"},
		{"deltabench", `{"question":"q","sections_content":"section1: x","reason_error_section_numbers":[0],"reason_unuseful_section_numbers":[]}`, "0 is no section"},
		{"pairs", `{"problem":"p","better":{"thinking":"a"}}`, "worse: missing"},
		{"pairs", `{"problem":"p","better":{"thinking":"a"},"worse":{"thinking":1}}`, "worse"},
		{"pairs", `{"problem":"p","better":{"thinking":"a"},"worse":{}}`, "has no steps"},
		{"steps", `{"id":"a","problem":"p","thinking":"x\n\ny","labels":{"steps":[1,0,1]}}`, `"a" has 3 labels for 2 steps`},
		{"steps", `{"a":1}`, "unknown kind of row"},
		{"other", ``, `"other" is none of processbench`},
	} {
		_, err := read(t, c[0], c[1]+"\n")
		require.ErrorContains(t, err, c[2])
	}
}

func FuzzRead(f *testing.F) {
	for _, bench := range Names() {
		text, err := os.ReadFile(filepath.Join("testdata", bench+".jsonl"))
		require.NoError(f, err)
		line, _, _ := bytes.Cut(text, []byte("\n"))
		f.Add(bench, line)
	}
	f.Fuzz(func(t *testing.T, bench string, b []byte) {
		s, err := Read(bench, []string{"-"}, ReadOptions{ReadOptions: data.ReadOptions{Stdin: bytes.NewReader(b), MaxLine: 1 << 16}})
		if err != nil {
			return
		}
		scores := s.standIn(control{"longer_is_better", 1, true})
		m := s.measured(scores, metrics.Options{Threshold: 0.5, Cut: 0.5}, true)
		require.Len(t, m.of(s.once()), len(m.names))
		for _, c := range s.Cases {
			require.Len(t, c.Targets, len(c.lengths))
			require.NoError(t, c.Trajectory.Validate())
		}
	})
}

func TestSecondPRMBenchRowIsLeftOutAndSaid(t *testing.T) {
	row := `{"idx":"i","classification":"redundency","modified_question":"q","modified_process":["a","b"],"error_steps":[1,3],` +
		`"original_question":"q","original_process":["a"]}`
	s := readGood(t, "prmbench", row+"\n"+row+"\n")
	require.Len(t, s.Cases, 2)
	require.Equal(t, "correct_i", s.Cases[0].ID)
	require.Equal(t, []float64{0, 1}, s.Cases[1].Targets)
	require.Len(t, s.Warnings, 2)
	require.Contains(t, s.Warnings[0], "error step 3 of 2")
	require.Contains(t, s.Warnings[1], "a second")
	s = readGood(t, "prmbench", strings.ReplaceAll(row, `"idx":"i"`, `"idx":"redundency_i"`))
	require.Equal(t, []string{"correct_i", "redundency_i"}, []string{s.Cases[0].ID, s.Cases[1].ID})
}

func TestResultForms(t *testing.T) {
	s := readGood(t, "steps", `{"id":"a|b","problem":"p","thinking":"x\n\ny","labels":{"steps":[1,0.2]}}`)
	scores := NewScores(1)
	scores.Steps = [][]float64{{0.9, 0.1}}
	r, err := s.Evaluate(scores, Options{Threshold: 0.5, ThresholdFrom: "as given", Cut: 0.5})
	require.NoError(t, err)
	r.Warnings = []string{"a <b>warning</b>"}
	var table, markdown, html bytes.Buffer
	require.NoError(t, r.WriteTable(&table))
	require.NoError(t, r.WriteMarkdown(&markdown))
	require.NoError(t, r.WriteHTML(&html))
	require.Contains(t, table.String(), "threshold 0.5, as given")
	require.Contains(t, markdown.String(), "| all | step_auroc | 1.000 | 1.000 to 1.000 |")
	require.Contains(t, html.String(), "a &lt;b&gt;warning")
	text, err := json.Marshal(r)
	require.NoError(t, err)
	var again struct {
		Threshold float64
		Metrics   map[string]map[string]*float64
		Intervals map[string]map[string]map[string]float64
		Controls  map[string]struct {
			Metrics map[string]map[string]float64
		}
	}
	require.NoError(t, json.Unmarshal(text, &again))
	require.Equal(t, 0.5, again.Threshold)
	require.InDelta(t, (0.01+0.01)/2, *again.Metrics["all"]["brier"], 1e-12)
	require.Equal(t, 1.0, again.Intervals["all"]["step_auroc"]["low"])
	require.Equal(t, 0.5, again.Controls["longer_is_better"].Metrics["all"]["step_auroc"])
	require.Nil(t, again.Metrics["all"]["first_error_acc_corr"], "no trajectory without an error: null")
}
