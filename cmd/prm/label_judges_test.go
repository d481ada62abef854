package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goprm/goprm/data/label"
	"github.com/goprm/goprm/internal/llmtest"
	"github.com/goprm/goprm/prm"
	"github.com/stretchr/testify/require"
	bolt "go.etcd.io/bbolt"
)

// judged writes label.yaml for a server's judge and returns the command line that labels the input with it.
func judged(t *testing.T, dir, in, url, more string) (args []string, out string) {
	out = filepath.Join(dir, "out")
	config := write(t, filepath.Join(dir, "judge.yaml"), fmt.Sprintf(
		"servers: {s: {url: %q, attempts: 1}}\nencoder: {kind: none}\nparts: [quality]\njudge: {kind: openai, server: s, model: m%s}\n", url,
		more))
	return []string{"label", "--config", config, "--in", in, "--out", out, "--quiet", "--json"}, out
}

// plainVerdict is what every style of the server says.
func plainVerdict(*llmtest.Chat, int) string { return `{"correctness":6,"coherence":7,"progress":8}` }

// TestLabelWithEveryStyle: each way in which a judge says its verdicts gives the labels of the plain one, or stays open with the reason.
func TestLabelWithEveryStyle(t *testing.T) {
	const stuck, asStrings = "cut: the answer reached the limit of tokens", "bad answer: correctness is not a whole number from 0 to 10"
	for style, want := range map[llmtest.Style]struct{ mended, open string }{
		llmtest.Plain: {}, llmtest.JSONFence: {mended: "a code fence"}, llmtest.BareFence: {mended: "a code fence"},
		llmtest.Thinks: {mended: "a block of thinking"}, llmtest.ByteOrder: {mended: "a byte order mark"},
		llmtest.Comments: {mended: "a field that was not asked for"}, llmtest.NoSchema: {},
		llmtest.AsStrings: {open: asStrings}, llmtest.OnlyThinks: {open: stuck},
	} {
		t.Run("style "+string(style), func(t *testing.T) {
			server := llmtest.New(llmtest.Script{Style: style, Answer: plainVerdict})
			defer server.Close()
			dir, in, _ := labelFixture(t)
			rows, err := os.ReadFile(in)
			require.NoError(t, err)
			write(t, in, strings.Join(strings.SplitAfter(string(rows), "\n")[:4], ""))
			args, out := judged(t, dir, in, server.URL(), "")
			code, stdout, stderr := prmCommand(args...)
			var report label.Report
			require.NoError(t, json.Unmarshal([]byte(stdout), &report), stderr)
			if want.open != "" {
				require.Equal(t, 1, code)
				require.Equal(t, "prm label: not one item could be labelled: 12 of quality: "+want.open+"\n", stderr)
				require.Equal(t, map[string]int{want.open: 12}, report.Open["quality"])
				return
			}
			require.Equal(t, 0, code, stderr)
			require.Equal(t, []int{12, 0}, []int{report.StepLabels, report.OpenItems()})
			if want.mended != "" {
				require.Equal(t, map[string]int{want.mended: 12}, report.Mended)
			}
			asked := ""
			if style == llmtest.NoSchema {
				asked = "none"
			}
			for row, err := range label.ReadRows(out) {
				require.NoError(t, err)
				for i, v := range row.Made.Verdicts {
					require.InDelta(t, 0.7, *row.Labels.Steps[i], 1e-15)
					require.Equal(t, asked, v.Asked)
				}
			}
			requests, _, _ := server.Count()
			require.Equal(t, 12+len(asked)/4, requests, "one refused request where the schema is refused")
			require.Equal(t, len(asked)/4, strings.Count(stderr, "takes no JSON schema"), stderr)

			// The next run finds every answer, also one that is set to the form that was found out.
			for _, more := range []string{"", ", schema: auto", ", schema: " + orWord(asked, "json_schema")} {
				args, _ = judged(t, dir, in, server.URL(), more)
				code, stdout, stderr = prmCommand(args...)
				require.Equal(t, 0, code, stderr)
				report = label.Report{}
				require.NoError(t, json.Unmarshal([]byte(stdout), &report))
				require.Equal(t, map[string]int{"quality": 12}, report.Stored, more)
			}
		})
	}
}

func orWord(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

// TestLabelSaysWhatIsOpen: some items open is a warning that counts them; the server's own words are the reason.
func TestLabelSaysWhatIsOpen(t *testing.T) {
	server := llmtest.New(llmtest.Script{Answer: plainVerdict, Refuse: func(q *llmtest.Chat) (int, string) {
		if strings.Contains(q.Prompt(), "What is 7 + 1?") {
			return 400, `{"error":{"message":"sevens are\nnot served"}}`
		}
		return 0, ""
	}})
	defer server.Close()
	dir, in, _ := labelFixture(t)
	args, _ := judged(t, dir, in, server.URL(), "")
	code, _, stderr := prmCommand(args...)
	require.Equal(t, 0, code)
	require.Equal(t, "warning: 3 items are open: 3 of quality: rejected: HTTP status 400: sevens are not served; the same command asks "+
		"for them again\n", stderr)
}

// TestLabelNamesTheKeyOfTheSchema: guesses at where the form of the answer is set lead to judge.schema.
func TestLabelNamesTheKeyOfTheSchema(t *testing.T) {
	dir, in, _ := labelFixture(t)
	for _, more := range []string{
		", extra: {response_format: null}", ", extra: {response_format: {type: json_object}}", ", schema_as: none", ", response_format: none",
		", json_mode: true",
		"}\nservers: {s: {url: x, schema_as: none}", "}\nservers: {s: {url: x, response_format: none}", "}\nservers: {s: {url: x, schema: none}",
		"}\nschemas: none\nseed: {",
	} {
		config := write(t, filepath.Join(dir, "bad.yaml"),
			"encoder: {kind: none}\nparts: [quality]\njudge: {kind: openai, server: s, model: m"+more+"}\n"+
				map[bool]string{true: "", false: "servers: {s: {url: 'http://localhost:1/v1'}}\n"}[strings.Contains(more, "servers")])
		code, _, stderr := prmCommand("label", "--config", config, "--in", in, "--out", filepath.Join(dir, "none"))
		require.Equal(t, 1, code)
		require.Contains(t, stderr, "judge.schema", more)
	}
}

// TestLabelRepair: a damaged value is an open item: it is said, asked for again and labelled; repair finds all of them.
func TestLabelRepair(t *testing.T) {
	server := llmtest.New(llmtest.Script{Answer: func(q *llmtest.Chat, _ int) string {
		return fmt.Sprintf(`{"correctness":%d,"coherence":7,"progress":8}`, len(q.Prompt())%11)
	}})
	defer server.Close()
	dir, in, _ := labelFixture(t)
	args, out := judged(t, dir, in, server.URL(), "")
	code, _, stderr := prmCommand(args...)
	require.Equal(t, 0, code, stderr)
	labels, err := os.ReadFile(filepath.Join(out, label.LabelsFile))
	require.NoError(t, err)
	spoil := func() { // the first value, behind its checksum
		db, err := bolt.Open(label.StorePath(out), 0o644, nil)
		require.NoError(t, err)
		require.NoError(t, db.Update(func(tx *bolt.Tx) error {
			b := tx.Bucket([]byte("values")).Bucket([]byte("quality"))
			key, sealed := b.Cursor().First()
			bad := bytes.Clone(sealed)
			bad[len(bad)-1] ^= 1
			return b.Put(bytes.Clone(key), bad)
		}))
		require.NoError(t, db.Close())
	}
	spoil()
	code, stdout, stderr := prmCommand("label", "repair", "--out", out)
	require.Equal(t, 0, code, stderr)
	require.Contains(t, stdout, "89 values are whole, 0 items are open\nquality: 1 values are damaged")
	require.Contains(t, stdout, "labels.db.damaged-1")
	code, stdout, stderr = prmCommand("label", "status", out)
	require.Equal(t, 0, code, stderr)
	require.Contains(t, stdout, "quality: 89 stored, 1 open\n  1: the stored value was damaged")
	code, _, stderr = prmCommand(args...)
	require.Equal(t, 0, code, stderr)

	spoil()
	code, stdout, stderr = prmCommand(args...)
	require.Equal(t, 0, code, stderr)
	require.Contains(t, stderr, "warning: labels.db: 1 stored values of quality do not match their checksums")
	var report label.Report
	require.NoError(t, json.Unmarshal([]byte(stdout), &report))
	require.Equal(t, []int{1, 89, 90}, []int{report.Asked["quality"], report.Stored["quality"], report.StepLabels})
	after, err := os.ReadFile(filepath.Join(out, label.LabelsFile))
	require.NoError(t, err)
	require.True(t, bytes.Equal(labels, after))
	code, stdout, stderr = prmCommand("label", "repair", "--out", out)
	require.Equal(t, 0, code, stderr)
	require.Contains(t, stdout, "nothing is damaged")
	code, _, stderr = prmCommand("label", "repair", "--out", filepath.Join(dir, "none"))
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "labels.db")

	// Damage beyond values: the command that helps is named.
	require.NoError(t, os.Truncate(label.StorePath(out), 3*int64(os.Getpagesize())))
	for _, args := range [][]string{args, {"label", "status", out}} {
		code, _, stderr = prmCommand(args...)
		require.Equal(t, 1, code)
		require.Contains(t, stderr, "prm label repair --out "+out)
	}
}

// TestLabelCheck: agreement and kappa worked out by hand, the cost of a row, and what is stored asked for by nobody.
func TestLabelCheck(t *testing.T) {
	server := llmtest.New(llmtest.Script{Answer: func(q *llmtest.Chat, _ int) string {
		steps := q.Messages[1].Content[strings.Index(q.Messages[1].Content, "Reasoning:"):]
		grade := 2
		if i := strings.LastIndex(steps, "] "); strings.HasPrefix(steps[i+2:], "good") {
			grade = 9
		}
		return fmt.Sprintf(`{"correctness":%[1]d,"coherence":%[1]d,"progress":%[1]d}`, grade)
	}})
	defer server.Close()
	dir := t.TempDir()
	gold := write(t, filepath.Join(dir, "gold.jsonl"), strings.Join([]string{
		`{"id":"a","problem":"p","steps":["good 1","good 2","bad 3","bad 4"],"labels":{"steps":[1,1,0,1]}}`,
		`{"id":"b","problem":"q","response_steps":["good 1","bad 2","good 3"],"labels":{"steps":[1,0,0]}}`,
		`{"id":"c","problem":"r","steps":["good 1","good 2"],"response":"x","labels":{"steps":[null,0.5]}}`,
		`{"id":"d","problem":"s","steps":["good 1"]}`,
	}, "\n"))
	args, out := judged(t, dir, gold, server.URL(), "")
	config := args[2]
	text, err := os.ReadFile(config)
	require.NoError(t, err)
	write(t, config, strings.Replace(string(text), "attempts: 1", "attempts: 1, prices: {prompt: 1000000, completion: 0}", 1))
	run := func(more ...string) (check prm.JudgeCheck, code int, stderr string) {
		code, stdout, stderr := prmCommand(append([]string{"label", "--config", config, "--check", gold, "--quiet", "--json"}, more...)...)
		require.NoError(t, json.Unmarshal([]byte(stdout), &check), stderr)
		return check, code, stderr
	}
	check, code, stderr := run("--out", out)
	require.Equal(t, 0, code, stderr)
	// 8 steps compared: 5 good, of which the judge calls 4 good; 3 wrong, of which it calls 1 good. Agreement 6/8; chance (5·5 + 3·3)/64.
	require.Equal(t, []int{3, 1, 9, 8, 9, 0}, []int{check.Rows, check.Skipped, check.Steps, check.Compared, check.Asked, check.Stored})
	require.Equal(t, prm.GoldSteps{Steps: 5, JudgeGood: 4}, check.Good)
	require.Equal(t, prm.GoldSteps{Steps: 3, JudgeGood: 1}, check.Wrong)
	require.InDelta(t, 0.75, *check.Agreement, 1e-15)
	require.InDelta(t, (0.75-34.0/64)/(1-34.0/64), *check.Kappa, 1e-15)
	_, charged, _ := server.Count()
	require.Equal(t, charged, check.Tokens)
	require.InDelta(t, float64(charged)/3, *check.TokensPerRow, 1e-9)
	require.InDelta(t, check.Cost/3, *check.CostPerRow, 1e-9)
	require.Positive(t, check.Cost)

	again, code, stderr := run("--out", out)
	require.Equal(t, 0, code, stderr)
	require.Equal(t, []int{0, 9}, []int{again.Asked, again.Stored})
	require.Nil(t, again.CostPerRow)
	require.Equal(t, check.Kappa, again.Kappa)
	_, err = os.Stat(filepath.Join(out, label.LabelsFile))
	require.ErrorIs(t, err, os.ErrNotExist, "a check labels nothing")
	_, code, stderr = run()
	require.Equal(t, 0, code, stderr)
	code, stdout, stderr := prmCommand("label", "--config", config, "--check", gold, "--out", out)
	require.Equal(t, 0, code, stderr)
	require.Contains(t, stdout, "agreement 0.750, Cohen's kappa 0.467")

	write(t, config, string(text)+"budget: {tokens: 10}\n")
	_, code, stderr = run("--out", filepath.Join(dir, "poor"))
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "the calls ended early: budget")
	none := write(t, filepath.Join(dir, "none.jsonl"), `{"id":"d","problem":"s","steps":["good 1"]}`)
	code, _, stderr = prmCommand("label", "--config", config, "--check", none, "--quiet")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "has a gold label of a step")
	code, _, stderr = prmCommand("label", "--config", config, "--out", out)
	require.Equal(t, 2, code, stderr)
}
