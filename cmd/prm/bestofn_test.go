package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goprm/goprm/internal/shareddata"
	"github.com/goprm/goprm/prm"
	"github.com/stretchr/testify/require"
)

func TestBestOfNWithAModelIsTheSameFromItsScores(t *testing.T) {
	dir, model, labelled, config := fixture(t)
	code, _, stderr := prmCommand("--quiet", "train", "--config", config)
	require.Equal(t, 0, code, stderr)
	_, _ = model, labelled
	trained := filepath.Join(dir, "run", "model")
	var rows strings.Builder
	for i := range 5 {
		fmt.Fprintf(&rows, `{"problem":"Number %d?","samples":[`, i)
		for k := range 4 {
			fmt.Fprintf(&rows, `%s{"text":"<think>\nOne.\n\nTwo%s.\n</think>\n\nIt is %d.","pred":"%d","correct":%t}`, []string{"", ","}[min(k, 1)],
				strings.Repeat("!", (i*k)%3), k%3, k%3, (i+k)%3 == 0)
		}
		rows.WriteString("]}\n")
	}
	in, keep := write(t, filepath.Join(dir, "samples.jsonl"), rows.String()), filepath.Join(dir, "scores.jsonl")
	code, direct, stderr := prmCommand("bestofn", "--in", in, "--model", trained, "--json", "--keep", keep, "--alpha", "0,1")
	require.Equal(t, 0, code, stderr)
	code, stored, stderr := prmCommand("bestofn", "--in", in, "--scores", keep, "--json", "--alpha", "0,1")
	require.Equal(t, 0, code, stderr)
	require.Equal(t, direct, stored)

	var result prm.BestOfNResult
	require.NoError(t, json.Unmarshal([]byte(direct), &result))
	require.Equal(t, []int{5, 20, 0, 0}, []int{result.Problems, result.Samples, result.Unscored, result.Unanswered})
	alphas := map[float64]int{}
	for _, m := range result.Results {
		if m.Alpha != nil {
			alphas[*m.Alpha]++
		}
	}
	require.Equal(t, map[float64]int{0: 6, 1: 6}, alphas, "best and weighted for n = 1, 2, 4")

	whole, err := os.ReadFile(keep)
	require.NoError(t, err)
	require.Equal(t, 20, bytes.Count(whole, []byte("\n")))
	require.NoError(t, os.Remove(keep))
	write(t, keep+".part", strings.Join(strings.SplitAfter(string(whole), "\n")[:9], ""))
	code, resumed, stderr := prmCommand("bestofn", "--in", in, "--model", trained, "--json", "--keep", keep, "--resume", "--alpha", "0,1")
	require.Equal(t, 0, code, stderr)
	require.Contains(t, stderr, "resumed after 9 scored")
	require.Equal(t, direct, resumed)

	code, table, stderr := prmCommand("bestofn", "--in", in, "--scores", keep, "--n", "2,4", "--aggregation", "reward")
	require.Equal(t, 0, code, stderr)
	require.Contains(t, table, "n = 4")
	require.Contains(t, table, "reward, alpha 1")
	require.Contains(t, table, "5 problems, 20 samples")
}

func TestBestOfNGradesAgainstPublishedFiles(t *testing.T) {
	dir := t.TempDir()
	problems := write(t, filepath.Join(dir, "problems.jsonl"),
		`{"problem":"Half of  one?","solution":"","answer":"\\frac{1}{2}","subject":"Algebra","level":1,"unique_id":"test/algebra/1.json"}
{"problem_idx":1,"problem":"Nine and four?","answer":13}
{"Question":"Which one?","Correct Answer":"mitosis","Incorrect Answer 1":"meiosis","Record ID":"rec"}
`)
	samples := write(t, filepath.Join(dir, "samples.jsonl"),
		`{"problem":"Half of one?","completions":["So it is $0.5$.","It is \\boxed{2}.","The answer is 1/2"],"scores":[[0.9],[0.1],[0.2]]}
{"problem":"Nine and four?","completions":["14","\\boxed{13}","12"],"scores":[[0.9],[0.1],[0.2]]}
{"question":"Which one?","completions":["mitosis","meiosis","meiosis"],"scores":[[0.3],[0.2],[0.2]]}
`)
	code, stdout, stderr := prmCommand("bestofn", "--in", samples, "--problems", problems, "--n", "3", "--json", "--aggregation", "last")
	require.Equal(t, 0, code, stderr)
	var result prm.BestOfNResult
	require.NoError(t, json.Unmarshal([]byte(stdout), &result))
	require.Equal(t, 9, result.Graded)
	got := map[string]float64{}
	for _, m := range result.Results {
		got[m.Method] = m.Accuracy
	}
	require.InDelta(t, 2.0/3, got["best"], 1e-12)     // 0.5 and mitosis, but 14
	require.InDelta(t, 1.0/3, got["majority"], 1e-12) // 0.5 and 1/2 are one vote
	require.InDelta(t, 1.0, got["oracle"], 1e-12)
	code, stdout, _ = prmCommand("bestofn", "--in", samples, "--problems", problems, "--n", "3", "--json", "--votes", "text")
	require.Equal(t, 0, code)
	require.NoError(t, json.Unmarshal([]byte(stdout), &result))
	for _, m := range result.Results {
		if m.Method == "majority" {
			require.InDelta(t, 1.0/3, m.Accuracy, 1e-12, "0.5, 2 and 1/2 tie as texts, the first is right; the first of 14, 13 and 12 is not")
		}
	}
	code, _, stderr = prmCommand("bestofn", "--in", samples)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "the problem has no gold answer")
}

func TestBestOfNUsage(t *testing.T) {
	in := write(t, filepath.Join(t.TempDir(), "s.jsonl"), `{"problem":"p","samples":[{"pred":"1","correct":true,"scores":[1]}]}`)
	for args, want := range map[string]string{
		"bestofn":                                      "2 missing flags: --in",
		"bestofn --in " + in + " --n 0":                "2 n: 0 is not at least 1",
		"bestofn --in " + in + " --n x":                "2 --n",
		"bestofn --in " + in + " --aggregation most":   `2 aggregation: "most" is none of`,
		"bestofn --in " + in + " --keep f":             "2 --keep and --resume need --model",
		"bestofn --in - --model m":                     "2 read more than once",
		"bestofn --in " + in + " --model m --scores f": "2 exclude each other",
		"bestofn --in " + in + " --n 2":                "1 has 1 samples, fewer than n = 2",
		"bestofn --in " + in + " --alpha 1":            "1 no trajectory scores",
		"bestofn --in /nowhere":                        "1 /nowhere",
		"bestofn --in " + in + " --scores " + in:       `1 id: missing`,
	} {
		code, stdout, stderr := prmCommand(strings.Fields(args)...)
		require.Equal(t, want[:1], fmt.Sprint(code), stderr)
		require.Contains(t, stderr, want[2:])
		require.Empty(t, stdout)
		require.Equal(t, 1, strings.Count(stderr, "\n"), stderr)
	}
}

func TestBestOfEightAsPublished(t *testing.T) {
	file := filepath.Join(shareddata.Dir(t), "data", "bench", "bon8_math100_qwen_orm.jsonl")
	code, stdout, stderr := prmCommand("bestofn", "--in", file, "--json", "--n", "8")
	require.Equal(t, 0, code, stderr)
	var result prm.BestOfNResult
	require.NoError(t, json.Unmarshal([]byte(stdout), &result))
	for _, m := range result.Results {
		switch m.Method {
		case "best":
			require.Equal(t, 0.94, m.Accuracy)
		case "majority":
			require.Equal(t, 0.93, m.Accuracy)
		}
	}
}

// Scores below 0 leave weighted votes without a figure, or end the command where it was asked for by name.
func TestBestOfNWithNegativeScores(t *testing.T) {
	in := write(t, filepath.Join(t.TempDir(), "samples.jsonl"), `{"problem":"p","answer":"7","samples":[{"pred":"6","scores":[-5]},`+
		`{"pred":"7","scores":[-1]},{"pred":"7","scores":[-1]},{"pred":"7","scores":[-4.5]}]}`)
	code, stdout, stderr := prmCommand("bestofn", "--in", in, "--n", "4", "--aggregation", "last")
	require.Equal(t, 0, code, stderr)
	require.Regexp(t, `(?m)^weighted +last +-$`, stdout)
	require.Regexp(t, `(?m)^best +last +100\.0`, stdout)
	require.Equal(t, 1, strings.Count(stderr, "warning: "), stderr)
	require.Contains(t, stderr, "warning: weighted has no figure: "+in+":1: problem")
	code, stdout, stderr = prmCommand("bestofn", "--in", in, "--n", "4", "--json")
	require.Equal(t, 0, code, stderr)
	require.Contains(t, strings.Join(strings.Fields(stdout), ""), `"accuracy":null`)
	code, _, stderr = prmCommand("bestofn", "--in", in, "--n", "4", "--method", "weighted")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "prm bestofn: weighted: "+in+":1: problem")
	require.Contains(t, stderr, "map the scores to [0, 1]")
	code, _, stderr = prmCommand("bestofn", "--in", in, "--method", "elected")
	require.Equal(t, 2, code, stderr)
}
