package data

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// rowsOf reads rows as a file of the given name.
func rowsOf(t *testing.T, lines ...string) ([]*Trajectory, []string) {
	t.Helper()
	return readAll(ReadOptions{}, write(t, "rows.jsonl", []byte(strings.Join(lines, "\n")+"\n")))
}

func TestReadMessages(t *testing.T) {
	rows, errs := rowsOf(t,
		`{"messages":[{"role":"user","content":"1+1?"},{"role":"assistant","content":"<think>\nOne.\n\nTwo.\n</think>\n\nIt is 2."}]}`,
		`{"id":7,"answer":2,"source":"mine","domain":"sums","messages":[{"role":"system","content":"Be brief."},{"role":"user",`+
			`"content":"1+1?"},{"role":"assistant","content":"2"}]}`)
	require.Empty(t, errs)
	require.Equal(t, []string{"1+1?", "One.\n\nTwo.", "It is 2."}, []string{rows[0].Problem, rows[0].Thinking, rows[0].Response})
	require.Equal(t, []string{"7", "2", "mine", "2"}, []string{rows[1].ID, rows[1].Answer, rows[1].Source, rows[1].Response})
	require.JSONEq(t, `{"domain":"sums","system":"Be brief."}`, metaOf(t, rows[1]))
	user, assistant := `{"role":"user","content":"a"}`, `{"role":"assistant","content":"b"}`
	for turns, message := range map[string]string{
		user + "," + assistant + "," + user:            "messages[2].role: a further turn of user",
		user + "," + user + "," + assistant:            "messages[1].role: a further turn of user",
		assistant:                                      "a user's turn and then the assistant's are needed",
		user:                                           "a user's turn and then the assistant's are needed",
		user + `,{"role":"tool","content":"x"}`:        `messages[1].role: "tool" is none of system, user, assistant`,
		user + `,{"role":"assistant","content":""}`:    "neither thinking nor a response",
		user + `,{"role":"assistant","content":["x"]}`: "messages[1].content",
	} {
		_, errs := rowsOf(t, `{"messages":[`+turns+`]}`)
		require.Len(t, errs, 1, turns)
		require.Contains(t, errs[0], message)
	}
}

// A trajectory a generation; what other programs found of its correctness is no label.
func TestReadOpenR1(t *testing.T) {
	row := `{"problem":"1+1?","solution":"Count.","answer":"2","problem_type":"Algebra","source":"olympiads","uuid":"u",` +
		`"is_reasoning_complete":[true,false],` +
		`"generations":["<think>\nOne.\n</think>\n\nIt is 2.","<think>\nOne and"],"correctness_math_verify":[true,false],` +
		`"correctness_llama":null,` +
		`"finish_reasons":["stop","length"],"correctness_count":1,"messages":[{"role":"user","content":"1+1?"},{"role":"assistant",` +
		`"content":"It is 2."}]}`
	rows, errs := rowsOf(t, row)
	require.Empty(t, errs)
	require.Len(t, rows, 2)
	require.Equal(t, []string{"u/0", "u/1", "1+1?", "2", "openr1-math"},
		[]string{rows[0].ID, rows[1].ID, rows[1].Problem, rows[1].Answer, rows[1].Source})
	require.Equal(t, []string{"One.", "It is 2.", "One and", ""},
		[]string{rows[0].Thinking, rows[0].Response, rows[1].Thinking, rows[1].Response})
	require.Equal(t, []bool{false, true}, []bool{rows[0].Unclosed(), rows[1].Unclosed()})
	require.JSONEq(t, `{"solution":"Count.","problem_type":"Algebra","source":"olympiads","correctness_count":1,`+
		`"is_reasoning_complete":true,"correctness_math_verify":true,"finish_reasons":"stop"}`, metaOf(t, rows[0]))
	require.JSONEq(t, `{"solution":"Count.","problem_type":"Algebra","source":"olympiads","correctness_count":1,`+
		`"is_reasoning_complete":false,"correctness_math_verify":false,"finish_reasons":"length","think_closed":false}`, metaOf(t, rows[1]))
	for _, r := range rows {
		require.Equal(t, Labels{}, r.Labels)
	}
	for old, message := range map[string]string{
		`"finish_reasons":["stop","length"]`:     "finish_reasons: 1 values for 2 generations",
		`"correctness_math_verify":[true,false]`: "correctness_math_verify: 1 values for 2 generations",
	} {
		name, _, _ := strings.Cut(old, ":")
		_, errs := rowsOf(t, strings.Replace(row, old, name+`:[null]`, 1))
		require.Len(t, errs, 1)
		require.Contains(t, errs[0], message)
	}
	_, errs = rowsOf(t, `{"problem":"p","generations":[]}`)
	require.Contains(t, errs[0], "generations: empty")
}
