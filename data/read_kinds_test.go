package data

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/goprm/goprm/internal/shareddata"
)

// labels writes step targets as a person reads them.
func labels(list []*float64) string {
	b, err := json.Marshal(list)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func metaOf(t *testing.T, tr *Trajectory) string {
	t.Helper()
	b, err := json.Marshal(tr.Meta)
	require.NoError(t, err)
	return string(b)
}

// upstream reads a file that pyarrow wrote in the schema of a published data set, and its rows as JSON lines, which must give the same.
func upstream(t *testing.T, name string) []*Trajectory {
	t.Helper()
	columns, errs := readAll(ReadOptions{}, "testdata/parquet/"+name+".parquet")
	require.Empty(t, errs)
	lines, errs := readAll(ReadOptions{}, "testdata/parquet/"+name+".jsonl")
	require.Empty(t, errs)
	require.Len(t, columns, len(lines))
	for i, l := range lines {
		require.Equal(t, strings.Replace(l.Where, ".jsonl", ".parquet", 1), columns[i].Where)
		l.Where = columns[i].Where
		require.JSONEq(t, jsonOf(t, l), jsonOf(t, columns[i]))
	}
	return columns
}

func jsonOf(t *testing.T, tr *Trajectory) string {
	t.Helper()
	b, err := tr.MarshalJSON()
	require.NoError(t, err)
	return string(b)
}

func TestReadOpenThoughts(t *testing.T) {
	rows := upstream(t, "openthoughts")
	require.Len(t, rows, 3)
	require.Equal(t, Trajectory{ID: "openthoughts:1", Problem: `Return your final response within \boxed{}. 1+1?`,
		Thinking: "One and one.\n\nIs two.", Response: `It is \boxed{2}`,
		Meta: map[string]json.RawMessage{"system": json.RawMessage(`"Your role"`)}, Where: "testdata/parquet/openthoughts.parquet:1"}, *rows[0])
	require.Equal(t, []string{"Never\n\nclosed", "", "hi"}, []string{rows[1].Thinking, rows[1].Response, rows[2].Response})
	require.Equal(t, []bool{false, true, false}, []bool{rows[0].Unclosed(), rows[1].Unclosed(), rows[2].Unclosed()})
	again := parse(t, jsonOf(t, rows[1]))
	require.True(t, again.Unclosed(), "the mark is kept in what is written")

	rows = upstream(t, "openthoughts_metadata")
	require.Len(t, rows, 2)
	require.Equal(t, []string{"1+1?", "One and one.\n\nIs two.", `It is \boxed{2}`, "openthoughts", ""},
		[]string{rows[0].Problem, rows[0].Thinking, rows[0].Response, rows[0].Source, rows[0].Answer})
	require.JSONEq(t, `{"ground_truth_solution":"\\boxed{2}","domain":"math","source":"numina_math","test_cases":null,"starter_code":null}`,
		metaOf(t, rows[0]))
}

func TestReadS1K(t *testing.T) {
	rows := upstream(t, "s1k")
	require.Len(t, rows, 2)
	require.Equal(t, []string{"2^7?", "Double seven times.\n\n128", "128", "s1k"},
		[]string{rows[0].Problem, rows[0].Thinking, rows[0].Response, rows[0].Source})
	require.Empty(t, rows[0].Steps)
	require.Equal(t, []string{"1*2", "*3"}, rows[1].Steps, "several trajectories are steps")
	require.JSONEq(t, `{"solution":"6","cot_type":"math","source_type":"omni_math","metadata":"{}","cot":null}`, metaOf(t, rows[1]))

	rows = upstream(t, "s1k11")
	require.Len(t, rows, 3)
	var got []string
	for _, r := range rows {
		got = append(got, r.ID, r.Thinking, r.Response, r.Source)
	}
	require.Equal(t, []string{"s1k11:1/gemini", "g thinks", "127", "s1k-1.1", "s1k11:1/deepseek", "d thinks", "128", "s1k-1.1",
		"s1k11:2/deepseek", "d", "6", "s1k-1.1"}, got)
	require.JSONEq(t, `{"solution":"128","cot_type":"math","source_type":"aime","metadata":"{}","model":"gemini","gemini_grade":"No",`+
		`"gemini_grade_reason":"off by one"}`, metaOf(t, rows[0]))
	require.JSONEq(t, `{"solution":"128","cot_type":"math","source_type":"aime","metadata":"{}","model":"deepseek","deepseek_grade":"Yes",`+
		`"deepseek_grade_reason":"right"}`, metaOf(t, rows[1]))
}

func TestReadPRM800KOriginal(t *testing.T) {
	rows := upstream(t, "prm800k")
	var got []string
	for _, r := range rows {
		require.Equal(t, []string{"2+2*3?", "8", "prm800k"}, []string{r.Problem, r.Answer, r.Source})
		got = append(got, r.ID+" "+strings.Join(r.ResponseSteps, " | ")+" "+labels(r.Labels.Steps))
	}
	require.Equal(t, []string{
		"prm800k:1 2*3=6 | 2+6=8 | # Answer\n\n8 [1,null,1]",
		"prm800k:1/0.0 2+2=4 [0]",
		"prm800k:1/0.2 Let's see [0.5]",
		"prm800k:1/1.0 2*3=6 | 2+6=9 [null,0]",
		"prm800k:2/0.0 2+2=4 [0]",
	}, got)
	require.JSONEq(t, `{"labeler":"l","timestamp":"2022-07-17T16:56:51.323252","generation":9,"is_quality_control_question":false,"is_initial_screening_question":false,
		"ground_truth_solution":"2+6=8","pre_generated_steps":["2*3=6","8"],"pre_generated_answer":"8","pre_generated_verifier_score":0.25,"total_time":1000,"finish_reason":"solution"}`, metaOf(t, rows[0]))
	require.Equal(t, metaOf(t, rows[0]), metaOf(t, rows[3]))

	// Branches keep their own steps, however long the path grows.
	var steps []string
	for i := range 9 {
		steps = append(steps, fmt.Sprintf(`{"completions":[{"text":"main %d","rating":1},{"text":"other %d","rating":-1}],"chosen_completion":0}`, i, i))
	}
	rows, errs := readAll(ReadOptions{Stdin: strings.NewReader(`{"question":{"problem":"p"},"label":{"steps":[` + strings.Join(steps,
		",") + `]}}`)}, "-")
	require.Empty(t, errs)
	require.Len(t, rows, 10)
	for i, r := range rows[1:] {
		want := []string{}
		for j := range i {
			want = append(want, fmt.Sprint("main ", j))
		}
		require.Equal(t, append(want, fmt.Sprint("other ", i)), r.ResponseSteps)
	}
}

func TestReadStepwiseParquet(t *testing.T) {
	rows := upstream(t, "stepwise")
	require.Len(t, rows, 2)
	require.Equal(t, "[1,0]", labels(rows[0].Labels.Steps))
}

func TestReadMathShepherdParquet(t *testing.T) {
	rows := upstream(t, "math_shepherd")
	require.Len(t, rows, 2)
	require.Equal(t, []string{"[1,0]", "[0]"}, []string{labels(rows[0].Labels.Steps), labels(rows[1].Labels.Steps)})
	escaped, errs := readAll(ReadOptions{Stdin: strings.NewReader(`{"input":"p Step 1: a \u043a\u0438","label":"p Step 1: a +"}`)}, "-")
	require.Empty(t, errs)
	require.Equal(t, []string{"Step 1: a"}, escaped[0].ResponseSteps)
}

// TestReadKinds has a row of each kind as JSON, and what it must become.
func TestReadKinds(t *testing.T) {
	for name, c := range map[string]struct{ row, want string }{
		"ProcessBench": {`{"id":"gsm8k-0","generator":"g","problem":"p","steps":["a","b","c"],"final_answer_correct":false,"label":1}`,
			`{"id":"gsm8k-0","problem":"p","response_steps":["a","b","c"],"labels":{"steps":[1,0]},"source":"processbench",` +
				`"meta":{"generator":"g","final_answer_correct":false}}`},
		"ProcessBench, all right": {`{"id":"x","problem":"p","steps":["a","b"],"final_answer_correct":true,"label":-1}`,
			`{"id":"x","problem":"p","response_steps":["a","b"],"labels":{"steps":[1,1]},"source":"processbench",` +
				`"meta":{"final_answer_correct":true}}`},
		"PRMBench": {`{"idx":"i","original_question":"o","modified_question":"m","question":"q","original_process":["a"],` +
			`"modified_process":["a","b","c"],"modified_steps":[2],"error_steps":[2,3,9],"reason":"r","classification":"confidence"}`,
			`{"id":"i","problem":"m","response_steps":["a","b","c"],"labels":{"steps":[1,0,0]},"source":"prmbench",` +
				`"meta":{"original_question":"o","question":"q","original_process":["a"],"modified_steps":[2],"error_steps":[2,3,9],"reason":"r",` +
				`"classification":"confidence"}}`},
		"Math-Shepherd": {`{"input":"Buzz has 5-3 slices? Step 1: 5-3 = <<5-3=2>>2. ки\nStep 2: A+B. The answer is: 2 ки","label":"Buzz has ` +
			`5-3 slices? Step 1: 5-3 = <<5-3=2>>2. +\nStep 2: A+B. The answer is: 2 -","task":"GSM8K"}`,
			`{"id":"stdin:1","problem":"Buzz has 5-3 slices?","response_steps":["Step 1: 5-3 = <<5-3=2>>2.","Step 2: A+B. The answer is: 2"],` +
				`"labels":{"steps":[1,0]},"source":"math-shepherd","meta":{"task":"GSM8K"}}`},
		"Math-Shepherd, a step 1 in its question": {`{"input":"Step 1: read. Tom has 3. How many? Step 1: 3. ки","label":"Step 1: read. Tom ` +
			`has 3. How many? Step 1: 3. +"}`,
			`{"id":"stdin:1","problem":"Step 1: read. Tom has 3. How many?","response_steps":["Step 1: 3."],"labels":{"steps":[1]},` +
				`"source":"math-shepherd"}`},
		"Math-Shepherd, OpenRLHF's": {`{"id":3,"input":"p\nStep 1: a ки\nStep 2: b ки\nStep 3: c ки\nStep 4: d ки\n","value":["+","-",0.25,null]}`,
			`{"id":"3","problem":"p","response_steps":["Step 1: a","Step 2: b","Step 3: c","Step 4: d"],"labels":{"steps":[1,0,0.25,null]},` +
				`"source":"math-shepherd"}`},
		"trace": {`{"id":"t","model":"m","question":"q","prompt":"p","thinking":"a\n\nb","response":"","think_closed":false,"gold":"6"}`,
			`{"id":"t","problem":"q","thinking":"a\n\nb","answer":"6","meta":{"model":"m","prompt":"p","think_closed":false}}`},
		"trace, multiple choice": {`{"id":"t","question":"q","options":["x","y"],"thinking":"a","response":"b","gold":"B","source":"s"}`,
			`{"id":"t","problem":"q\n\nA. x\nB. y","thinking":"a","response":"b","source":"s","answer":"B"}`},
		"trace, marked": {`{"id":"t","question":"q","response":"<think>a</think>b","thinking":null}`,
			`{"id":"t","problem":"q","thinking":"a","response":"b"}`},
		"trace, marked, unclosed": {`{"id":"t","question":"q","response":"<think>a"}`,
			`{"id":"t","problem":"q","thinking":"a","meta":{"think_closed":false}}`},
		"trace, chunks": {`{"id":"t","question":"q","thinking":"a b c","response":"r","chunks":[{"chunk":"a","accuracy":0.1},{"chunk":"b",` +
			`"accuracy":0.2},{"chunk":"c","accuracy":0.3}]}`,
			`{"id":"t","problem":"q","thinking":"a b c","response":"r","steps":["a","b","c"],"labels":{"steps":[0.2,0.3,null]},` +
				`"meta":{"chunks":[{"chunk":"a","accuracy":0.1},{"chunk":"b","accuracy":0.2},{"chunk":"c","accuracy":0.3}]}}`},
		"ShareGPT": {`{"id":17,"source":"mine","conversations":[{"from":"human","value":"q"},{"from":"gpt","value":"<think>\na\n</think>\n\nb"}]}`,
			`{"id":"17","problem":"q","thinking":"a","response":"b","source":"mine"}`},
		"ShareGPT, roles": {`{"conversations":[{"role":"system","content":"s"},{"role":"human","content":"q"},{"role":"model","content":"b"}]}`,
			`{"id":"stdin:1","problem":"q","response":"b","meta":{"system":"s"}}`},
		"messages, thinking in a field": {`{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"b","reasoning_content":"a"}]}`,
			`{"id":"stdin:1","problem":"q","thinking":"a","response":"b"}`},
		"messages, parts": {`{"messages":[{"role":"user","content":[{"type":"text","text":"q"},{"type":"text","text":"r"}]},{"role":"assistant",` +
			`"content":[{"type":"thinking","thinking":"a"},{"type":"output_text","text":"b"}]}]}`,
			`{"id":"stdin:1","problem":"qr","thinking":"a","response":"b"}`},
		"prompt and completion": {`{"prompt":"q","completion":"<think>a</think>b","answer":4}`,
			`{"id":"stdin:1","problem":"q","thinking":"a","response":"b","answer":"4"}`},
		"prompt and completion, turns": {`{"prompt":[{"role":"system","content":"s"},{"role":"user","content":"q"}],"completion":` +
			`[{"role":"assistant","content":"b"}]}`, `{"id":"stdin:1","problem":"q","response":"b","meta":{"system":"s"}}`},
		"question and answer": {`{"question":"q","answer":"It is 4. #### 4"}`,
			`{"id":"stdin:1","problem":"q","response":"It is 4. #### 4"}`},
		"problem, solution and answer": {`{"problem":"q","solution":"b","answer":"4"}`,
			`{"id":"stdin:1","problem":"q","response":"b","answer":"4"}`},
		"instruction": {`{"instruction":"Add.","input":"1+1","output":"2"}`,
			`{"id":"stdin:1","problem":"Add.\n\n1+1","response":"2"}`},
		"question, reasoning and answer": {`{"question":"q","reasoning":"a","answer":"b"}`,
			`{"id":"stdin:1","problem":"q","thinking":"a","response":"b"}`},
		"a trajectory's own response is left as it is": {`{"id":"t","problem":"p","response":"<think>a</think>b"}`,
			`{"id":"t","problem":"p","response":"<think>a</think>b"}`},
	} {
		rows, errs := readAll(ReadOptions{Stdin: strings.NewReader(c.row)}, "-")
		require.Empty(t, errs, name)
		require.Len(t, rows, 1, name)
		require.JSONEq(t, c.want, jsonOf(t, rows[0]), name)
	}
}

// TestReadKindErrors has, for each kind, rows after a good first one that cannot be used.
func TestReadKindErrors(t *testing.T) {
	first := "" // of the case, or of the last one that has one
	for _, c := range []struct{ first, row, want string }{
		{`{"id":"x","problem":"p","steps":["a"],"final_answer_correct":true,"label":-1}`, `{"id":"y","problem":"p","steps":["a"],"label":1}`,
			`stdin:2 (id "y"): label: 1 is neither -1 nor the index of one of 1 steps`},
		{"", `{"problem":"p","steps":["a"],"label":-2}`, "label: -2 is neither"},
		{"", `{"problem":"p","steps":["a"],"label":null}`, "label: missing (the file's first row is a ProcessBench row)"},
		{"", `{"problem":"p","steps":["a"],"label":0.5}`, "label: number 0.5 where an integer is expected"},
		{`{"modified_question":"m","modified_process":["a"],"error_steps":[]}`,
			`{"modified_question":"m","modified_process":["a"],"error_steps":[0]}`, "error_steps[0]: 0 is no step: they count from 1"},
		{"", `{"modified_question":"m","modified_process":["a"],"error_steps":[2,9]}`, "error_steps: [2 9], all beyond the last of 1 steps"},
		{"", `{"modified_question":"m","modified_process":["a"],"error_steps":["1"]}`,
			"error_steps: string where a list of integers is expected"},
		{`{"input":"p Step 1: a ки","label":"p Step 1: a +"}`, `{"input":"p Step 1: a ки b","label":"p Step 1: a + b"}`,
			`input: "b" after the last mark ки`},
		{"", `{"input":"p Step 1: a ки","label":"p Step 1: a ки"}`, "label: differs from input in step 1, or has neither + nor - at its end"},
		{"", `{"input":"p Step 1: a ки","label":"p Step 1: b +"}`, "label: differs from input in step 1"},
		{"", `{"input":"p Step 1: a ки","label":"p Step 1: a + Step 2: c -"}`, `label: " Step 2: c -" after the last step of input`},
		{"", `{"input":"p ки Step 1: a ки","label":"p + Step 1: a -"}`, `input: no "Step 1:" before the first mark ки`},
		{"", `{"input":"p Step 1: a ки"}`, "label: missing (the file's first row is a Math-Shepherd row)"},
		{"", `{"input":"p Step 1: a ки","value":["+","-"]}`, "value: 2 labels for 1 marks ки in input"},
		{"", `{"input":"p Step 1: a ки","value":["?"]}`, `value[0]: "?" is none of "+", "-" and a number`},
		{"", `{"input":"p","label":"p"}`, `input: "p" after the last mark ки`},
		{`{"question":"q","thinking":"a"}`, `{"question":"q","thinking":"","response":""}`,
			"thinking, response: neither thinking nor a response"},
		{"", `{"thinking":"a"}`, "question: missing (the file's first row is a trace row)"},
		{"", `{"id":["a"],"question":"q","thinking":"a"}`, "id: array where a string is expected"},
		{"", `{"question":"q","thinking":7}`, "thinking: number where a string is expected"},
		{"", `{"question":"q","thinking":"a","chunks":[{"accuracy":1}]}`, "chunks[0].chunk: missing"},
		{"", `{"question":"q","thinking":"a","chunks":[{"chunk":"a","accuracy":"1"}]}`,
			"chunks: not a list of objects with chunk, a text, and accuracy, a number"},
		{"", `{"question":"q","thinking":"a","options":["` + strings.Repeat(`o","`, 26) + `"]}`, "options: 27, at most 26 have a letter"},
		{`{"conversations":[{"from":"user","value":"q"},{"from":"assistant","value":"a"}]}`, `{"conversations":[{"from":"user","value":"q"}]}`,
			"conversations: a user's turn and then the assistant's are needed"},
		{"", `{"conversations":[{"from":"assistant","value":"a"},{"from":"user","value":"q"}]}`,
			"conversations[1].from: a further turn of user"},
		{"", `{"conversations":[{"from":"tool","value":"a"}]}`, `conversations[0].from: "tool" is none of system, user, assistant`},
		{"", `{"conversations":[{"role":"user","content":"q"},{"role":"assistant","content":"a","tool_calls":[{}]}]}`,
			"conversations[1].tool_calls: calls of tools are not read"},
		{"", `{"conversations":[{"role":"user","content":[{"type":"image_url"}]}]}`, `conversations[0].content[0].type: "image_url": only texts`},
		{"", `{"conversations":[{"role":"user","content":"q","reasoning":"a"}]}`, "conversations[0].role: thinking in a turn of user"},
		{"", `{"conversations":[{"role":"user","content":"q"},{"role":"assistant","reasoning":"a","content":"<think>b</think>c"}]}`,
			"conversations: thinking both in a field of its own and between marks"},
		{"", `{"conversations":[{"from":"user","value":1}]}`, "conversations[0].value: number where a string is expected"},
		{"", `{"conversations":"no"}`, "conversations: not a list"},
		{"", `{"conversations":null}`, "conversations: missing"},
		{"", `{"conversations":[{"from":"user","value":"q"},{"from":"assistant","value":" "}]}`,
			"conversations: neither thinking nor a response"},
		{`{"problem":"p","deepseek_reasoning":"a","deepseek_solution":"b"}`,
			`{"problem":"p","deepseek_reasoning":null,"deepseek_solution":null}`, "neither thinking nor a response"},
		{`{"question":"q","thinking_trajectories":["a"],"attempt":"b"}`, `{"question":"q","thinking_trajectories":[null],"attempt":"b"}`,
			"thinking_trajectories[0]: null where a string is expected"},
		{"", `{"question":"q","thinking_trajectories":[],"attempt":null}`, "neither thinking nor a response"},
		{`{"question":"q","gemini_thinking_trajectory":"a","deepseek_thinking_trajectory":null}`, `{"question":"q"}`,
			"gemini_thinking_trajectory: empty, and so are"},
		{"", `{"question":"q","gemini_attempt":["a"]}`, "gemini_attempt: array where a string is expected"},
		{`{"question":{"problem":"p"},"label":{"steps":[{"completions":[{"text":"a","rating":1}],"chosen_completion":0}]}}`,
			`{"question":{"problem":"p"},"label":{"steps":[]}}`, "label.steps: no step in it"},
		{"", `{"question":{"problem":null},"label":{"steps":[]}}`, "question.problem: missing"},
		{"", `{"question":{"problem":"p"},"label":{"steps":7}}`, "label.steps: not a list of steps"},
		{"", `{"question":{"problem":"p"},"label":{"steps":[{"completions":[{"text":"a","rating":1}],"chosen_completion":1}]}}`,
			"label.steps[0].chosen_completion: 1 of 1 completions"},
		{"", `{"question":{"problem":"p"},"label":{"steps":[{"completions":[{"text":"a","rating":2}]}]}}`,
			"label.steps[0].completions[0].rating: 2 is none of 1, 0, -1"},
		{"", `{"question":{"problem":"p"},"label":{"steps":[{"completions":[{"rating":1}]}]}}`, "label.steps[0].completions[0].text: missing"},
		{"", `{"question":{"problem":"p"},"label":{"steps":[{"completions":[{"text":"a"}]},{"completions":[{"text":"b"}]}]}}`,
			"label.steps[0]: nothing was chosen, yet more steps follow"},
		{`{"prompt":"q","completion":"a"}`, `{"prompt":[{"role":"assistant","content":"q"}],"completion":"a"}`,
			"prompt: its last turn is not the user's"},
		{"", `{"prompt":"q","completion":[]}`, "completion: its last turn is not the assistant's"},
		{"", `{"prompt":"q","answer":"42"}`, "completion: neither thinking nor a response"},
		{"", `{"completion":"a"}`, "prompt: missing"},
	} {
		if c.first != "" {
			first = c.first
		}
		rows, errs := readAll(ReadOptions{Stdin: strings.NewReader(first + "\n" + c.row)}, "-")
		require.Len(t, rows, 1, c.row)
		require.Len(t, errs, 1, c.row)
		require.Contains(t, errs[0], c.want)
		require.Contains(t, errs[0], "stdin:2")
	}
}

// TestReadRealData reads what people published; the counts were taken with a few lines of Python.
func TestReadRealData(t *testing.T) {
	dir := filepath.Join(shareddata.Dir(t), "data")
	type counts struct {
		rows, thinking, response, unclosed, steps int
		ones, zeros, none                         int // step labels
	}
	for file, want := range map[string]counts{
		"trajectories/r1_bangla_mmlu_math807.jsonl":     {rows: 807, thinking: 807, response: 807},
		"trajectories/r1distill_math153.jsonl":          {rows: 153, thinking: 153, response: 144, unclosed: 9},
		"trajectories/same_questions_10models.jsonl.gz": {rows: 1000, thinking: 500, response: 906},
		"steps/processbench/gsm8k.jsonl":                {rows: 400, steps: 2082, ones: 1361, zeros: 207},
		"steps/processbench/math.jsonl":                 {rows: 1000, steps: 6505, ones: 3772, zeros: 594},
		"steps/prmbench_subset394.jsonl":                {rows: 394, steps: 5738, ones: 4870, zeros: 868},
		"steps/longcot_mc_values_20.jsonl":              {rows: 20, thinking: 20, response: 20, steps: 3253, ones: 432, zeros: 618, none: 20},
	} {
		rows, errs := readAll(ReadOptions{}, filepath.Join(dir, file))
		require.Empty(t, errs, file)
		got := counts{rows: len(rows)}
		count := func(n *int, is bool) {
			if is {
				*n++
			}
		}
		for _, r := range rows {
			count(&got.thinking, r.Thinking != "")
			count(&got.response, r.Response != "")
			count(&got.unclosed, r.Unclosed())
			got.steps += len(r.Steps) + len(r.ResponseSteps)
			for _, l := range r.Labels.Steps {
				count(&got.ones, l != nil && *l == 1)
				count(&got.zeros, l != nil && *l == 0)
				count(&got.none, l == nil)
			}
		}
		require.Equal(t, want, got, file)
	}
}
