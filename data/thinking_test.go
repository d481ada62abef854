package data

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCutThinking(t *testing.T) {
	for _, c := range []struct {
		text, thinking, response string
		unclosed                 bool
	}{
		{"<|begin_of_thought|>\n\na\n\nb\n\n<|end_of_thought|>\n\n<|begin_of_solution|>\n\nc\n\n<|end_of_solution|>", "a\n\nb", "c", false},
		{"<|begin_of_thought|>a<|end_of_thought|>c", "a", "c", false},
		{"<|begin_of_thought|>a<|end_of_thought|><|begin_of_solution|>c", "a", "c", false},
		{"<|begin_of_thought|>a<|begin_of_solution|>c<|end_of_solution|>", "a", "c", false},
		{"<|begin_of_thought|>a<|end_of_thought|><|begin_of_solution|>c<|end_of_solution|> more", "a", "c<|end_of_solution|> more", false},
		{"<|begin_of_thought|>\na\n\nb", "a\n\nb", "", true},
		{"a<|end_of_thought|>\n\n<|begin_of_solution|>c", "a", "c", false},
		{"<think>\na\n</think>\n\nb", "a", "b", false},
		{"\n<think>\n\n</think>\n\nb", "", "b", false},
		{"a\n</think>\n\nb", "a", "b", false},
		{"<think>a", "a", "", true},
		{"<think>", "", "", true},
		{"<think>a</think>", "a", "", false},
		{"<think>a</think>b</think>c", "a", "b</think>c", false},
		{"Sure. <think>a</think>b", "", "Sure. <think>a</think>b", false},
		{"<|im_start|>think\na\n\nb\n<|im_start|>answer\nAnswer: c<|im_end|>", "a\n\nb", "Answer: c", false},
		{"<|im_start|>think\na", "a", "", true},
		{"a<|im_start|>answer\nc", "", "a<|im_start|>answer\nc", false},
		{" b \n", "", "b", false},
		{"", "", "", false},
	} {
		thinking, response, unclosed := CutThinking(c.text)
		require.Equal(t, c.thinking, thinking, c.text)
		require.Equal(t, c.response, response, c.text)
		require.Equal(t, c.unclosed, unclosed, c.text)
	}
}
