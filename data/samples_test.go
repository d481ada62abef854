package data

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func samplesOf(text string) ([]*SampledProblem, []string) {
	var list []*SampledProblem
	var errs []string
	for p, err := range ReadSamples([]string{"-"}, ReadOptions{Stdin: strings.NewReader(text)}) {
		if err != nil {
			errs = append(errs, err.Error())
			continue
		}
		list = append(list, p)
	}
	return list, errs
}

func TestReadSamplesForms(t *testing.T) {
	yes, no := true, false
	pred, other, none := "7", "8", ""
	want := []Sample{
		{Text: "a", Pred: &pred, Correct: &yes, Scores: []float64{0.5, 1}},
		{Text: "b", Pred: &other, Correct: &no, Scores: []float64{-2}},
	}
	got, errs := samplesOf(`{"id":"x","problem":"p","answer":7,"samples":[{"text":"a","pred":"7","correct":true,"scores":[0.5,1]},{"text":"b","pred":"8","correct":false,"scores":[-2]}]}
{"idx":3,"question":"p","gt":"7","code":["a","b"],"pred":["7","8"],"score":[true,false],"pred_score":[[0.5,1],[-2]]}
{"unique_id":"test/algebra/1.json","problem":"p","solution":"s","answer":"7","subject":"Algebra","level":2,"completions":["a","b"],"scores":[[0.5,1],[-2]],"pred":"a","completion_tokens":[1,2]}
{"problem":"p","samples":[{"steps":["u","v"],"trajectory":0.25},{"pred":""}]}
{"Question":"p","Correct Answer":"seven","Record ID":"rec1","samples":[{}]}
{"question":"p","answer":"2*3=<<2*3=6>>6 and one\n#### 7","idx":0,"completions":["a"]}
`)
	require.Empty(t, errs)
	require.Len(t, got, 6)
	require.Equal(t, want, got[0].Samples)
	require.Equal(t, want, got[1].Samples)
	for i := range want {
		want[i].Pred, want[i].Correct = nil, nil // search-and-learn's pred is the text of the one it chose
	}
	require.Equal(t, want, got[2].Samples)
	require.Equal(t, []Sample{{Steps: []string{"u", "v"}, Trajectory: Float(0.25)}, {Pred: &none}}, got[3].Samples)
	for i, id := range []string{"x", "3", "test/algebra/1.json", "-:4", "rec1", "0"} {
		require.Equal(t, "p", got[i].Problem)
		require.Equal(t, strings.ReplaceAll(id, "-:", "stdin:"), got[i].ID)
	}
	for i, gold := range []string{"7", "7", "7", "", "seven", "7"} {
		require.Equal(t, gold, got[i].Gold)
	}
}

func TestReadSamplesRefuses(t *testing.T) {
	for row, want := range map[string]string{
		`{"samples":[{}]}`: "stdin:1: problem: missing; a problem is expected under problem, " +
			"question or Question",
		`{"problem":"p"}`:                                              "stdin:1: samples: missing",
		`{"problem":"p","samples":[]}`:                                 "stdin:1: samples: no samples",
		`{"problem":"p","completions":[]}`:                             "stdin:1: completions: no samples",
		`{"problem":"p","samples":[1]}`:                                "stdin:1: samples[0]: not an object",
		`{"problem":"p","samples":[null]}`:                             "stdin:1: samples[0]: not an object",
		`{"problem":"p","id":"q","samples":[{"scores":[1,null]}]}`:     `samples[0].scores[1]: null where a number is expected`,
		`{"problem":"p","samples":[{"scores":"1"}]}`:                   "samples[0].scores: string where a list of numbers is expected",
		`{"problem":"p","samples":[{"correct":"yes"}]}`:                "samples[0].correct: string",
		`{"problem":"p","samples":[{"pred":7}]}`:                       "samples[0].pred: number",
		`{"problem":"p","samples":[{"trajectory":1e999}]}`:             "samples[0].trajectory: number 1e999",
		`{"problem":"p","completions":["a","b"],"scores":[[1]]}`:       "scores: 1 entries for the 2 of completions",
		`{"problem":"p","completions":["a"],"scores":[[null]]}`:        "scores[0][0]: null",
		`{"problem":"p","code":["a"],"pred":["1"],"score":[null]}`:     "score[0]: null where true or false",
		`{"problem":"p","code":["a"],"pred":["1","2"],"score":[true]}`: "pred: 2 entries for the 1 of code",
		`{"problem":["p"],"samples":[{}]}`:                             "problem: array where a string is expected",
		`{"problem":"p","answer":true,"samples":[{}]}`:                 "answer: bool",
		"{\"problem\":\"\xff\",\"samples\":[{}]}":                      "not valid UTF-8",
		`{"problem":"p","samples":[{"scores":[NaN]}]}`:                 "not JSON",
	} {
		got, errs := samplesOf(row + "\n")
		require.Empty(t, got, row)
		require.Len(t, errs, 1, row)
		require.Contains(t, errs[0], want)
	}
	_, errs := samplesOf(`{"problem":"p","id":"q","samples":[{"scores":[1,null]}]}`)
	require.Equal(t, `stdin:1 (id "q"): samples[0].scores[1]: null where a number is expected`, errs[0])
}

func FuzzReadSamples(f *testing.F) {
	for _, s := range []string{`{"id":"x","problem":"p","answer":7,"samples":[{"text":"<think>a</think>b","pred":"7","correct":true,` +
		`"scores":[0.5,1]},{"steps":["a"],"trajectory":1}]}`,
		`{"question":"p","gt":"7","code":["a","b"],"pred":["7","8"],"score":[true,false],"pred_score":[[0.5,1],[-2]]}`,
		`{"problem":"p","completions":["a","b"],"scores":[[0.5],null],"preds":["a","b"]}`, `{"Question":"p","Record ID":1,"samples":[null]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for p, err := range ReadSamples([]string{"-"}, ReadOptions{Stdin: bytes.NewReader(b), MaxLine: 1 << 16}) {
			if err != nil {
				require.Nil(t, p)
				continue
			}
			require.NotEmpty(t, p.Samples)
			for i := range p.Samples {
				require.NoError(t, p.Trajectory(i).Validate())
			}
		}
	})
}

func TestSampleTrajectory(t *testing.T) {
	for text, want := range map[string][2]string{
		"plain":                          {"", "plain"},
		"<think>\nhm\n</think>\n\nseven": {"hm", "seven"},
		"hm\n</think>\nseven":            {"hm", "seven"},
		"<think>cut off":                 {"cut off", ""},
		"what <think> means in the text": {"", "what <think> means in the text"},
		"<think></think>only an answer":  {"", "only an answer"},
		"<think>a</think>b</think>c":     {"a", "b</think>c"},
	} {
		p := SampledProblem{ID: "x", Problem: "p", Samples: []Sample{{}, {Text: text}}}
		tr := p.Trajectory(1)
		require.Equal(t, "x/1", tr.ID)
		require.Equal(t, "p", tr.Problem)
		require.Equal(t, want, [2]string{tr.Thinking, tr.Response}, text)
	}
	p := SampledProblem{Samples: []Sample{{Text: "<think>a</think>b", Steps: []string{"a", "b"}}}}
	require.Equal(t, []string{"a", "b"}, p.Trajectory(0).ResponseSteps, "given steps are taken as they are")
}

func TestRowsOfAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rows.jsonl")
	require.NoError(t, os.WriteFile(path, []byte("{\"id\":1,\"n\":2}\n[]\n{\"n\":null}\n"), 0o600))
	var texts []string
	for row, err := range Rows([]string{path}, ReadOptions{}) {
		if err != nil {
			texts = append(texts, err.Error())
			continue
		}
		var n float64
		err := row.Need("n", &n)
		if err != nil {
			texts = append(texts, err.Error())
			continue
		}
		require.Equal(t, 2.0, n)
		require.EqualError(t, row.FailField("n", "odd"), path+`:1 (id "1"): n: odd`)
	}
	require.Equal(t, []string{path + ":2: not a JSON object but an array: jq -c '.[]' turns it into lines of one object each",
		path + ":3: n: missing"}, texts)
}
