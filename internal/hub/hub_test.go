package hub

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAdvice(t *testing.T) {
	for path, want := range map[string]string{
		"Qwen/Qwen2.5-7B":                                      "hf download Qwen/Qwen2.5-7B --local-dir Qwen2.5-7B",
		"Qwen/Qwen2.5-7B/":                                     "hf download Qwen/Qwen2.5-7B --local-dir Qwen2.5-7B",
		"Qwen/Qwen2.5-7B@main":                                 "hf download Qwen/Qwen2.5-7B --local-dir Qwen2.5-7B",
		"Qwen/Qwen2.5-7B@v1.0":                                 "hf download Qwen/Qwen2.5-7B --revision v1.0 --local-dir Qwen2.5-7B",
		"https://huggingface.co/Qwen/Qwen2.5-7B":               "hf download Qwen/Qwen2.5-7B --local-dir Qwen2.5-7B",
		"https://huggingface.co/Qwen/Qwen2.5-7B/tree/v1":       "hf download Qwen/Qwen2.5-7B --revision v1 --local-dir Qwen2.5-7B",
		"huggingface.co/Qwen/Qwen2.5-7B/blob/main/config.json": "hf download Qwen/Qwen2.5-7B --local-dir Qwen2.5-7B",
		"hf.co/Qwen/Qwen2.5-7B?x=1":                            "hf download Qwen/Qwen2.5-7B --local-dir Qwen2.5-7B",
		"hf://Qwen/Qwen2.5-7B":                                 "hf download Qwen/Qwen2.5-7B --local-dir Qwen2.5-7B",
		"hf://datasets/Qwen/ProcessBench":                      "hf download --repo-type dataset Qwen/ProcessBench --local-dir ProcessBench",
		"https://huggingface.co/datasets/a/b":                  "hf download --repo-type dataset a/b --local-dir b",
		"https://huggingface.co/gpt2":                          "hf download gpt2 --local-dir gpt2",
		"models--Qwen--Qwen2.5-7B":                             "hf download Qwen/Qwen2.5-7B --local-dir Qwen2.5-7B",
		"gpt2":                                                 "hf download OWNER/gpt2 --local-dir gpt2",
		"~/models/x":                                           "~ and $ are the shell's, outside of quotes",
		"$HOME/x":                                              "~ and $ are the shell's, outside of quotes",
		"./x":                                                  "",
		"/models/x":                                            "",
		"a/b/c":                                                "",
		"../x":                                                 "",
		"":                                                     "",
		"two words":                                            "",
		"a/" + strings.Repeat("b", 97):                         "",
		"https://example.com/Qwen/Qwen2.5-7B":                  "",
		"https://huggingface.co/Qwen/Qwen2.5-7B@../../etc/pass": "",
	} {
		got := Advice(path, Model)
		require.Equal(t, want == "", got == "", "%s: %s", path, got)
		require.True(t, strings.HasSuffix(got, want), "%s: %s", path, got)
	}
	require.EqualError(t, Missing("a/b", Dataset, "file"),
		"a/b: no such file; if it is a dataset of the Hugging Face hub, fetch it with: hf download --repo-type dataset a/b --local-dir b")
	require.EqualError(t, Missing("rows.jsonl", Dataset, "file"), "rows.jsonl: no such file")
	require.ErrorContains(t, Missing("s3://b/x", Model, "folder"), "no such folder on this machine; a bucket is not read for this, copy it")
}
