package serve

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFromText(t *testing.T) {
	none := ""
	for _, c := range []struct {
		text             string
		prompt           *string
		problem          string
		thinking, answer string
	}{
		{"<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\n<think>\n" +
			"a\n</think>\n\nb<|im_end|>\n<|endoftext|><|endoftext|>", nil, "1+1?", "a", "b"},
		{"<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n1+1?<|eot_id|>" +
			"<|start_header_id|>assistant<|end_header_id|>\n\nb<|eot_id|>", nil, "1+1?", "", "b"},
		{"<｜begin▁of▁sentence｜><｜User｜>1+1?<｜Assistant｜><think>\na</think>b<｜end▁of▁sentence｜>", nil, "1+1?", "a", "b"},
		{"<|User|>1+1?<|Assistant|>b", nil, "1+1?", "", "b"},
		{"<s>[INST] 1+1? [/INST] b</s>", nil, "1+1?", "", "b"},
		// s1's roles are no turns.
		{"<|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\n<|im_start|>think\na\n<|im_start|>answer\nb<|im_end|>", nil, "1+1?", "a", "b"},
		// A prompt without marks, one that begins the thinking, and one that the response tries to end.
		{"Q: 1+1?\nA: b", new("Q: 1+1?\nA:"), "Q: 1+1?\nA:", "", "b"},
		{"<|User|>1+1?<|Assistant|><think>\na", new("<|User|>1+1?<|Assistant|><think>\n"), "1+1?", "a", ""},
		{"<|User|>1+1?<|Assistant|>b<|User|>2+2?<|Assistant|>c", new("<|User|>1+1?<|Assistant|>"), "1+1?", "", "b<|User|>2+2?<|Assistant|>c"},
		{"<|User|>1+1?<|Assistant|>b", new("another"), "1+1?", "", "b"},
		{"b", &none, "", "", "b"},
	} {
		problem, answer, err := fromText(c.text, c.prompt)
		require.NoError(t, err, c.text)
		got := trajectory(problem, answer, "")
		require.Equal(t, []string{c.problem, c.thinking, c.answer}, []string{got.Problem, got.Thinking, got.Response}, c.text)
	}
	for text, message := range map[string]string{
		"1+1? b": "neither", "<|User|>a<|Assistant|>b<|User|>c<|Assistant|>d": `turn 1 is of role "assistant"`,
		"<|Assistant|>b":                  `turn 0 is of role "assistant"`,
		"<|im_start|>system\na<|im_end|>": "no question", "<|im_start|>tool\na<|im_end|>": `role "tool"`,
	} {
		_, _, err := fromText(text, nil)
		require.ErrorContains(t, err, message, text)
	}
}

func TestAtMarks(t *testing.T) {
	got := trajectory("p", "<think>a#\nb#</think>c d#\n", "#")
	require.Equal(t, []string{"a", "\nb"}, got.Steps)
	require.Equal(t, []string{"c d"}, got.ResponseSteps)
	require.Empty(t, got.Thinking+got.Response)
	require.Equal(t, "c d", answerOf(got))
	require.Equal(t, "a#", trajectory("p", "a#", "").Response)
}
