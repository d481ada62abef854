package main

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goprm/goprm/data/label"
	"github.com/goprm/goprm/internal/llmtest"
	"github.com/stretchr/testify/require"
)

// TestLabelWithOtherStyles: an answer around which a judge put more gives its one verdict, or stays open with the reason.
func TestLabelWithOtherStyles(t *testing.T) {
	const (
		v        = `{"correctness":6,"coherence":7,"progress":8}`
		noObject = "bad answer: the answer is not a JSON object"
		more     = "bad answer: the answer holds more than a JSON object"
		grade    = "bad answer: correctness is not a whole number from 0 to 10"
	)
	fence := func(name, body string) string { return "```" + name + "\n" + body + "\n```" }
	cases := map[string]struct{ said, mended, open string }{
		"fence, prose behind":   {said: fence("json", v) + "\nI hope this helps!", open: noObject},
		"prose, fence":          {said: "Sure:\n" + fence("json", v), open: noObject},
		"prose alone":           {said: "I would say 7.", open: noObject},
		"two objects":           {said: v + "\n" + v, open: more},
		"two different objects": {said: v + "\n" + strings.Replace(v, "6", "1", 1), open: more},
		"two fences":            {said: fence("json", v) + "\n" + fence("json", v), open: more},
		"scores over ten":       {said: `{"correctness":"6/10","coherence":"7/10","progress":"8/10"}`, open: grade},
		"answer tag":            {said: "<answer>" + v + "</answer>", mended: "an answer tag"},
		"thinking, answer tag":  {said: "<think>hm</think><answer>\n" + v + "\n</answer>", mended: "a block of thinking, an answer tag"},
		"thinking, fence in tag": {said: "<think>hm</think>\n<answer>" + fence("json", v) + "</answer>",
			mended: "a block of thinking, an answer tag, a code fence"},
		"mark and CRLF": {said: "\ufeff" + strings.ReplaceAll(strings.ReplaceAll(v, ",", ",\r\n"), "{", "{\r\n") + "\r\n",
			mended: "a byte order mark"},
		"mark, fence, CRLF": {said: "\ufeff" + strings.ReplaceAll(fence("json", v), "\n", "\r\n"),
			mended: "a byte order mark, a code fence"},
		"upper case tag": {said: fence("JSON", v), mended: "a code fence"},
		"jsonc tag":      {said: fence("jsonc", v), mended: "a code fence"},
		"tilde fence":    {said: "~~~json\n" + v + "\n~~~", mended: "a code fence"},
		"nested":         {said: `{"verdict":` + v + `}`, open: "bad answer: the answer lacks the field correctness"},
		"nested beside": {said: `{"correctness":6,"coherence":7,"progress":8,"verdict":{"correctness":1}}`,
			mended: "a field that was not asked for"},
		"array of one": {said: "[" + v + "]", open: noObject},
		"null":         {said: `{"correctness":null,"coherence":7,"progress":8}`, open: grade},
		"out of range": {said: `{"correctness":60,"coherence":70,"progress":80}`, open: grade},
		"negative":     {said: `{"correctness":-1,"coherence":7,"progress":8}`, open: grade},
		"fraction":     {said: `{"correctness":0.6,"coherence":0.7,"progress":0.8}`, open: grade},
		"exponent":     {said: `{"correctness":6e0,"coherence":7.0,"progress":80e-1}`},
		"huge":         {said: `{"correctness":1e400,"coherence":7,"progress":8}`, open: grade},
		"true":         {said: `{"correctness":true,"coherence":7,"progress":8}`, open: grade},
		"other order":  {said: `{"progress":8,"correctness":6,"coherence":7}`},
		"capitals": {said: `{"Correctness":6,"coherence":7,"progress":8}`,
			open: "bad answer: the answer lacks the field correctness"},
		"trailing comma": {said: `{"correctness":6,"coherence":7,"progress":8,}`, open: noObject},
		"single quotes":  {said: `{'correctness':6,'coherence':7,'progress':8}`, open: noObject},
		"comment":        {said: `{"correctness":6, /* fine */ "coherence":7,"progress":8}`, open: noObject},
		"escaped name":   {said: `{"correct\u006eess":6,"coherence":7,"progress":8}`},
		"twice by escape": {said: `{"correct\u006eess":6,"correctness":1,"coherence":7,"progress":8}`,
			open: "bad answer: the answer holds a field twice"},
		"object in a string":           {said: fmt.Sprintf("%q", v), open: noObject},
		"lacks one":                    {said: `{"correctness":6,"coherence":7}`, open: "bad answer: the answer lacks the field progress"},
		"lists of grades":              {said: `{"correctness":[6],"coherence":[7],"progress":[8]}`, open: grade},
		"unclosed thinking":            {said: "<think>" + v, open: noObject},
		"thinking twice":               {said: "<think>a</think><think>b</think>" + v, open: noObject},
		"object in thinking, no other": {said: "<think>" + v + "</think>", open: noObject},
		"special token":                {said: v + "<|im_end|>", open: more},
		"empty":                        {said: " \r\n", open: noObject},
		"json name without fence":      {said: "json\n" + v, open: noObject},
		"inline code":                  {said: "`" + v + "`", open: noObject},
		"space no-break":               {said: "\u00a0" + v, open: noObject},
	}
	for name, got := range judgedCases(t, "", "3 + 1 = 4", func(name string) string { return cases[name].said },
		slices.Collect(maps.Keys(cases))) {
		want := verdictOf{open: cases[name].open, mended: cases[name].mended}
		if want.open == "" {
			want.scores = []float64{0.7}
		}
		require.Equal(t, want, got, name)
	}
}

// TestLabelWithOtherLists: a list of verdicts whose order or number is in doubt is no label.
func TestLabelWithOtherLists(t *testing.T) {
	const (
		number = "bad answer: the answer has another number of steps than the trajectory"
		order  = "bad answer: the answer numbers its steps otherwise than in their order"
		extra  = "a field that was not asked for"
	)
	verdict := func(grade int, more string) string {
		return fmt.Sprintf(`{%s"correctness":%d,"coherence":%d,"progress":%d}`, more, grade, grade, grade)
	}
	list := func(verdicts ...string) string { return `{"steps":[` + strings.Join(verdicts, ",") + "]}" }
	cases := map[string]struct{ said, mended, open string }{
		"plain":              {said: list(verdict(2, ""), verdict(9, ""))},
		"fence":              {said: "```json\n" + list(verdict(2, ""), verdict(9, "")) + "\n```", mended: "a code fence"},
		"numbered":           {said: list(verdict(2, `"step":1,`), verdict(9, `"step":2,`)), mended: extra},
		"numbered from 0":    {said: list(verdict(2, `"index":0,`), verdict(9, `"index":1,`)), mended: extra},
		"the step's text":    {said: list(verdict(2, `"step":"3 + 1 = 4",`), verdict(9, `"step":"so 5",`)), mended: extra},
		"other order":        {said: list(verdict(9, `"step":2,`), verdict(2, `"step":1,`)), open: order},
		"other order, words": {said: list(verdict(9, `"step":"Step 2",`), verdict(2, `"step":"Step 1",`)), open: order},
		"other order, id":    {said: list(verdict(9, `"step_id":"2",`), verdict(2, `"step_id":"1",`)), open: order},
		"one step twice":     {said: list(verdict(9, `"step":1,`), verdict(2, `"step":1,`)), open: order},
		"from 2":             {said: list(verdict(9, `"step":2,`), verdict(2, `"step":3,`)), open: order},
		"one too many":       {said: list(verdict(2, ""), verdict(9, ""), verdict(9, "")), open: number},
		"one too few":        {said: list(verdict(2, "")), open: number},
		"null":               {said: list(verdict(2, ""), "null"), open: "bad answer: the answer is not a JSON object"},
		"an object": {said: `{"steps":{"1":` + verdict(2, "") + `,"2":` + verdict(9, "") + `}}`,
			open: "bad answer: steps is not a list"},
		"a list alone": {said: "[" + verdict(2, "") + "," + verdict(9, "") + "]", open: "bad answer: the answer is not a JSON object"},
	}
	said := func(name string) string { return cases[name].said }
	for name, got := range judgedCases(t, ", sees: sees_future", "3 + 1 = 4\n\nso 5", said, slices.Collect(maps.Keys(cases))) {
		want := verdictOf{open: cases[name].open, mended: cases[name].mended}
		if want.open == "" {
			want.scores = []float64{0.2, 0.9}
		}
		require.Equal(t, want, got, name)
	}
}

// verdictOf is what a run made of an answer; scores is nil where a step has no label.
type verdictOf struct {
	scores       []float64
	mended, open string
}

// judgedCases labels one trajectory for each name with a judge that says what said returns.
func judgedCases(t *testing.T, settings, thinking string, said func(name string) string, names []string) map[string]verdictOf {
	var rows strings.Builder
	for _, name := range names {
		fmt.Fprintf(&rows, `{"id":%q,"problem":"Case <%s>.","thinking":%q,"response":"\\boxed{4}","answer":"4"}`+"\n", name, name, thinking)
	}
	dir := t.TempDir()
	server := llmtest.New(llmtest.Script{Answer: func(q *llmtest.Chat, _ int) string {
		_, rest, _ := strings.Cut(q.Prompt(), "Case <")
		name, _, _ := strings.Cut(rest, ">.")
		return said(name)
	}})
	defer server.Close()
	args, out := judged(t, dir, write(t, filepath.Join(dir, "in.jsonl"), rows.String()), server.URL(), settings)
	code, _, stderr := prmCommand(args...)
	require.Equal(t, 0, code, stderr)
	all := map[string]verdictOf{}
	for row, err := range label.ReadRows(out) {
		require.NoError(t, err)
		got := verdictOf{}
		for i, v := range row.Labels.Steps {
			if v != nil {
				got.scores = append(got.scores, *v)
				got.mended = strings.Join(row.Made.Verdicts[i].Mended, ", ")
			}
		}
		for _, gap := range row.Made.Open {
			got.open = gap.Reason
		}
		all[row.ID] = got
	}
	require.Len(t, all, len(names))
	return all
}
