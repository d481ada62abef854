package serve

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const asked = "What is 2+3?"

// promptForms are what chat templates write before an answer to asked, from the templates of the models that they are named after.
var promptForms = map[string]string{
	"ChatML":          "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\n" + asked + "<|im_end|>\n<|im_start|>assistant\n",
	"Qwen3, no think": "<|im_start|>user\n" + asked + "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
	"Phi-4":           "<|im_start|>user<|im_sep|>" + asked + "<|im_end|><|im_start|>assistant<|im_sep|>",
	"Llama 3": "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December " +
		"2023\n\n<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n" + asked + "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
	"Llama 4":       "<|begin_of_text|><|header_start|>user<|header_end|>\n\n" + asked + "<|eot|><|header_start|>assistant<|header_end|>\n\n",
	"Llama 2":       "<s>[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\n" + asked + " [/INST]",
	"Llama 2, bare": "<s>[INST] " + asked + " [/INST]",
	"Mistral":       "<s>[SYSTEM_PROMPT]Be kind.[/SYSTEM_PROMPT][INST]" + asked + "[/INST]",
	"DeepSeek-R1":   "<｜begin▁of▁sentence｜>Be kind.<｜User｜>" + asked + "<｜Assistant｜>",
	"Hunyuan":       "<｜hy_begin▁of▁sentence｜><｜hy_User｜>" + asked + "<｜hy_Assistant｜>",
	"Gemma":         "<bos><start_of_turn>user\n" + asked + "<end_of_turn>\n<start_of_turn>model\n",
	"Gemma 4":       "<bos><|turn>system\nBe kind.<turn|>\n<|turn>user\n" + asked + "<turn|>\n<|turn>model\n",
	"Phi-3":         "<|system|>\nBe kind.<|end|>\n<|user|>\n" + asked + "<|end|>\n<|assistant|>\n",
	"GLM-4":         "[gMASK]<sop><|system|>\nBe kind.<|user|>\n" + asked + "<|assistant|>\n",
	"Zephyr":        "<|system|>\n</s>\n<|user|>\n" + asked + "</s>\n<|assistant|>\n",
	"OLMo 2":        "<|endoftext|><|user|>\n" + asked + "\n<|assistant|>\n",
	"Vicuna": "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, and " +
		"polite answers to the user's questions. USER: " + asked + " ASSISTANT:",
	"gpt-oss": "<|start|>system<|message|>You are ChatGPT.\nReasoning: medium\n\n# Valid channels: analysis, commentary, " +
		"final.<|end|><|start|>developer<|message|># Instructions\n\nBe kind.<|end|>" +
		"<|start|>user<|message|>" + asked + "<|end|><|start|>assistant",
	"Command": "<BOS_TOKEN><|START_OF_TURN_TOKEN|><|USER_TOKEN|>" + asked + "<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>",
	"Granite": "<|start_of_role|>system<|end_of_role|>Be kind.<|end_of_text|>\n<|start_of_role|>user<|end_of_role|>" + asked +
		"<|end_of_text|>\n<|start_of_role|>assistant<|end_of_role|>",
	"Kimi K2": "<|im_system|>system<|im_middle|>Be kind.<|im_end|><|im_user|>user<|im_middle|>" + asked +
		"<|im_end|><|im_assistant|>assistant<|im_middle|>",
	"Seed-OSS": "<seed:bos>user\n" + asked + "<seed:eos><seed:bos>assistant\n",
	"MiniMax":  "]~!b[]~b]system\nBe kind.[e~[\n]~b]user\n" + asked + "[e~[\n]~b]ai\n",
	"R1-Zero": "A conversation between User and Assistant. The user asks a question, and the Assistant solves it. The reasoning process " +
		"is in <think> </think> tags.\nUser: " + asked + "\nAssistant:",
	"Alpaca":    "Below is an instruction that describes a task.\n\n### Instruction:\n" + asked + "\n\n### Response:\n",
	"StableLM":  "### Human: " + asked + "\n### Assistant:",
	"the plain": asked,
}

func TestPromptForms(t *testing.T) {
	for name, prompt := range promptForms {
		problem, begun, err := fromPrompt(prompt)
		require.NoError(t, err, name)
		got := trajectory(problem, begun+"One.\n\nIt is 5.", "")
		require.Equal(t, []string{asked, "", "One.\n\nIt is 5."}, []string{got.Problem, got.Thinking, got.Response}, name)
		if name == "the plain" {
			continue
		}
		// The same in one text, without the prompt.
		problem, answer, err := fromText(prompt+"One.\n\nIt is 5.", nil)
		require.NoError(t, err, name)
		got = trajectory(problem, answer, "")
		require.Equal(t, []string{asked, "One.\n\nIt is 5."}, []string{got.Problem, got.Response}, name)
		// A prompt of two questions is refused.
		_, _, err = fromPrompt(prompt + "One.\n" + strings.Replace(prompt, "<s>", "", 1))
		require.ErrorIs(t, err, errTurns, name)
	}
}

// gpt-oss's channels are thinking and response.
func TestChannels(t *testing.T) {
	text := promptForms["gpt-oss"] + "<|channel|>analysis<|message|>Two and three.\n\nFive.<|end|><|start|>assistant<" +
		"|channel|>final<|message|>It is 5.<|return|>"
	problem, answer, err := fromText(text, nil)
	require.NoError(t, err)
	got := trajectory(problem, answer, "")
	require.Equal(t, []string{asked, "Two and three.\n\nFive.", "It is 5."}, []string{got.Problem, got.Thinking, got.Response})
	prompt := promptForms["gpt-oss"]
	problem, answer, err = fromText(text, &prompt)
	require.NoError(t, err)
	require.Equal(t, got, trajectory(problem, answer, ""))
}

// What no form explains is said once and counted.
func TestControlTokens(t *testing.T) {
	var log bytes.Buffer
	_, url := start(t, newFake(), Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	for _, prompt := range []string{"<|who|>user: 2+3?", "<|who|>user: 2+4?", "2 < 3 | 4 > 1?", "#"} {
		body, err := json.Marshal(map[string]string{"prompt": prompt, "response": "It is 5."})
		require.NoError(t, err)
		status, text, _ := ask(t, url+"/reward/remote_rm", string(body))
		require.Equal(t, 200, status, text)
	}
	require.Equal(t, 1, strings.Count(log.String(), "level=WARN"))
	require.Contains(t, log.String(), "token=<|who|> endpoint=/reward/remote_rm")
	require.Contains(t, metricsOf(t, url), "goprm_control_token_problems_total 2\n")
}

func metricsOf(t *testing.T, url string) string {
	t.Helper()
	r, err := http.Get(url + "/metrics")
	require.NoError(t, err)
	text, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	require.NoError(t, r.Body.Close())
	return string(text)
}
