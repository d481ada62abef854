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
			fmt.Fprintf(&rows, `%s{"text":"<think>\nOne.\n\nTwo%s.\n</think>\n\nIt is %d.","pred":"%d","correct":%t}`, []string{"", ","}[min(k, 1)], strings.Repeat("!", (i*k)%3), k%3, k%3, (i+k)%3 == 0)
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
