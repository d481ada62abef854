package data

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestExport(t *testing.T) {
	tr := &Trajectory{ID: "a", Problem: "2+2 <b>?", Steps: []string{"Add.", "Four."}, Response: "It is 4.\n", Answer: "4", Source: "src",
		Meta: map[string]json.RawMessage{"system": json.RawMessage(`"Be brief."`), "cot_type": json.RawMessage(`"math"`)}}
	for form, want := range map[string]string{
		"openthoughts": `{"system":"Be brief.","conversations":[{"from":"user","value":"2+2 <b>?"},{"from":"assistant",` +
			`"value":"<|begin_of_thought|>\n\nAdd.\n\nFour.\n\n<|end_of_thought|>\n\n<|begin_of_solution|>\n\nIt is 4.\n\n<|end_of_solution|>"}]}`,
		"s1k": `{"solution":"4","question":"2+2 <b>?","cot_type":"math","source_type":"src","metadata":"{}","cot":null,` +
			`"thinking_trajectories":["Add.\n\nFour."],"attempt":"It is 4.\n"}`,
		"sharegpt": `{"conversations":[{"from":"human","value":"2+2 <b>?"},{"from":"gpt","value":"<think>\nAdd.\n\nFour.\n</think>\n\nIt is ` +
			`4."}]}`,
		"chat": `{"messages":[{"role":"user","content":"2+2 <b>?"},{"role":"assistant","content":"<think>\nAdd.\n\nFour.\n</think>\n\nIt is ` +
			`4."}]}`,
	} {
		line, err := tr.Export(form)
		require.NoError(t, err)
		require.Equal(t, want, string(line))
		require.NotContains(t, string(line), "\n")
	}
	line, err := tr.Export("goprm")
	require.NoError(t, err)
	own, err := tr.MarshalJSON()
	require.NoError(t, err)
	require.Equal(t, own, line)

	plain := &Trajectory{Problem: "p", Response: "r"}
	line, err = plain.Export("chat")
	require.NoError(t, err)
	require.NotContains(t, string(line), "think", "no thinking, no tags")
	_, err = plain.Export("csv")
	require.ErrorContains(t, err, `"csv" is none of`)
	_, err = (&Trajectory{Problem: "\xff"}).Export("chat")
	require.ErrorContains(t, err, "UTF-8")
	require.Equal(t, "goprm openthoughts s1k sharegpt chat", strings.Join(ExportForms, " "))
}
