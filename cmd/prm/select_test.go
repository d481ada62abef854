package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goprm/goprm/prm"
	"github.com/stretchr/testify/require"
)

func TestSelect(t *testing.T) {
	dir := t.TempDir()
	var pool, scores strings.Builder
	for i := range 50 {
		fmt.Fprintf(&pool, `{"id":"t%02d","problem":"Problem number %d of the pool?","thinking":"Hm.\n\nSo.","response":"It is %d.",`+
			`"source":"s%d","answer":"%d","extra":{"k":%d}}`+"\n", i, i/2, i, i%2, i, i)
		fmt.Fprintf(&scores, `{"id":"t%02d","scores":[%g]}`+"\n", i, float64(i*7%50)/50)
	}
	in, stored := write(t, filepath.Join(dir, "pool.jsonl"), pool.String()), write(t, filepath.Join(dir, "scores.jsonl"), scores.String())
	bench := write(t, filepath.Join(dir, "bench.jsonl"), `{"problem":"problem NUMBER 3, of the POOL","answer":"1","unique_id":"u"}`)
	out := filepath.Join(dir, "selected.jsonl")
	code, stdout, stderr := prmCommand("select", "--in", in, "--scores", stored, "--top", "5", "--out", out, "--unique", "exact",
		"--decontaminate", bench, "--per-domain", "3")
	require.Equal(t, 0, code, stderr)
	require.Empty(t, stdout)
	// Rewards fall with i·7 mod 50: 7 (49), 14 (48), 21, 28, 35, 42, 49, 6, 13 ...; 7 is of problem 3.
	var ids []string
	text, err := os.ReadFile(out)
	require.NoError(t, err)
	for i, line := range bytes.Split(bytes.TrimSpace(text), []byte("\n")) {
		var row struct {
			ID   string
			Meta struct {
				Extra    map[string]int
				Selected struct {
					Rank   int
					Reward float64
				}
			}
		}
		require.NoError(t, json.Unmarshal(line, &row))
		require.Equal(t, i+1, row.Meta.Selected.Rank)
		require.Contains(t, row.Meta.Extra, "k", "unknown fields are kept")
		ids = append(ids, row.ID)
	}
	require.Equal(t, []string{"t14", "t21", "t28", "t35", "t42"}, ids)
	card, err := os.ReadFile(out + ".card.md")
	require.NoError(t, err)
	require.Contains(t, string(card), "5 of 50 trajectories")
	text, err = os.ReadFile(out + ".report.json")
	require.NoError(t, err)
	var report prm.SelectionReport
	require.NoError(t, json.Unmarshal(text, &report))
	require.Equal(t, []int{50, 5, 1, 0, 44}, []int{report.Pool, report.Kept, report.Contaminated, report.OverQuota, report.Below})
	require.Equal(t, "t07", report.Dropped[0].ID)
	require.Contains(t, report.Dropped[0].Of, "bench.jsonl:1")
	require.Equal(t, "problem number 3 of the pool", report.Dropped[0].Shared)

	code, stdout, stderr = prmCommand("select", "--in", in, "--scores", stored, "--top", "2", "--to", "chat", "--quiet")
	require.Equal(t, 0, code, stderr)
	require.Equal(t, 2, strings.Count(stdout, `{"messages":[{"role":"user"`))
	require.Empty(t, stderr)

	for args, want := range map[string]string{
		"--top 5":                                     "2 --model or --scores is needed",
		"--top 0 --scores " + stored:                  "2 top: 0 is not",
		"--top 5 --scores -":                          "2 read more than once",
		"--top 5 --model m --keep " + in:              "1 is an input too",
		"--top 5 --scores " + in:                      "1 scores: missing",
		"--top 5 --scores " + stored + " --out " + in: "1 is an input too",
		"--top 5 --scores " + stored + " --card " + bench + " --decontaminate " + bench: "1 is an input too",
		"--top 5 --scores " + stored + " --decontaminate " + stored:                     "1 problem: missing",
		"--top 5 --scores " + stored + " --to parquet":                                  "2 --to",
	} {
		code, stdout, stderr := prmCommand(append([]string{"select", "--in", in}, strings.Fields(args)...)...)
		require.Equal(t, want[:1], fmt.Sprint(code), "%s: %s", args, stderr)
		require.Contains(t, stderr, want[2:])
		require.Empty(t, stdout)
	}
}

func TestSelectWithAModel(t *testing.T) {
	dir, _, labelled, config := fixture(t)
	code, _, stderr := prmCommand("--quiet", "train", "--config", config)
	require.Equal(t, 0, code, stderr)
	keep, out := filepath.Join(dir, "scores.jsonl"), filepath.Join(dir, "selected.jsonl")
	model := filepath.Join(dir, "run", "model")
	code, direct, stderr := prmCommand("select", "--in", labelled, "--model", model, "--top", "7", "--keep", keep)
	require.Equal(t, 0, code, stderr)
	code, _, stderr = prmCommand("select", "--in", labelled, "--scores", keep, "--top", "7", "--out", out)
	require.Equal(t, 0, code, stderr)
	stored, err := os.ReadFile(out)
	require.NoError(t, err)
	require.Equal(t, direct, string(stored))

	// The same from prm score's own lines, sorted here.
	lines, err := os.ReadFile(keep)
	require.NoError(t, err)
	best := map[string]float64{}
	for _, line := range bytes.Split(bytes.TrimSpace(lines), []byte("\n")) {
		var row struct {
			ID     string
			Reward float64
		}
		require.NoError(t, json.Unmarshal(line, &row))
		best[row.ID] = row.Reward
	}
	for _, line := range bytes.Split(bytes.TrimSpace(stored), []byte("\n")) {
		var row struct{ ID string }
		require.NoError(t, json.Unmarshal(line, &row))
		better := 0
		for _, r := range best {
			if r > best[row.ID] {
				better++
			}
		}
		require.Less(t, better, 7)
	}
}

// What prm select --to chat writes is read back: it scores as the pool does, is selected from, and can be labelled and trained on.
func TestSelectedChatsAreReadBack(t *testing.T) {
	dir, _, _, config := fixture(t)
	code, _, stderr := prmCommand("--quiet", "train", "--config", config)
	require.Equal(t, 0, code, stderr)
	model := filepath.Join(dir, "run", "model")
	var pool, scores strings.Builder
	for i := range 8 {
		thinking, response := fmt.Sprintf("%d + 1 = %d\n\nSo \"it\" <is> that.", i, i+1), fmt.Sprintf("It is\n\n$%d$.", i+1)
		if i == 7 {
			thinking = ""
		}
		fmt.Fprintf(&pool, `{"id":"t%d","problem":"What is %d + 1?\nSay it.","thinking":%q,"response":%q}`+"\n", i, i, thinking, response)
		fmt.Fprintf(&scores, `{"id":"t%d","scores":[%g]}`+"\n", i, 1-float64(i)/10)
	}
	in, stored := write(t, filepath.Join(dir, "pool.jsonl"), pool.String()), write(t, filepath.Join(dir, "pool-scores.jsonl"), scores.String())
	chat := filepath.Join(dir, "chat.jsonl")
	code, _, stderr = prmCommand("select", "--in", in, "--scores", stored, "--top", "8", "--to", "chat", "--out", chat, "--quiet")
	require.Equal(t, 0, code, stderr)
	type step struct {
		Part  string
		Score float64
	}
	score := func(in string) (all [][]step) {
		code, stdout, stderr := prmCommand("score", "--model", model, "--in", in, "--quiet")
		require.Equal(t, 0, code, stderr)
		for _, line := range strings.Split(strings.TrimSpace(stdout), "\n") {
			var row struct{ Steps []step }
			require.NoError(t, json.Unmarshal([]byte(line), &row))
			all = append(all, row.Steps)
		}
		return all
	}
	want := score(in)
	require.Len(t, want, 8)
	require.Len(t, want[0], 4)
	require.Equal(t, want, score(chat))

	code, stdout, stderr := prmCommand("select", "--in", chat, "--model", model, "--top", "3", "--to", "chat", "--quiet")
	require.Equal(t, 0, code, stderr)
	require.Equal(t, 3, strings.Count(stdout, `{"messages":`))
	judge := write(t, filepath.Join(dir, "label.yaml"), "encoder: {kind: none}\nparts: [quality]\njudge: {kind: equations}\n")
	labels := filepath.Join(dir, "labels")
	code, stdout, stderr = prmCommand("label", "--config", judge, "--in", chat, "--out", labels, "--quiet")
	require.Equal(t, 0, code, stderr)
	require.Contains(t, stdout, "8 trajectories, 14 thinking steps: 7 step labels")
	run := strings.NewReplacer(filepath.Join(dir, "labelled.jsonl"), filepath.Join(labels, "labels.jsonl"), filepath.Join(dir, "run"),
		filepath.Join(dir, "run2"), "lora", "head")
	text, err := os.ReadFile(config)
	require.NoError(t, err)
	code, _, stderr = prmCommand("--quiet", "train", "--config", write(t, filepath.Join(dir, "run2.yaml"), run.Replace(string(text))))
	require.Equal(t, 0, code, stderr)
}
