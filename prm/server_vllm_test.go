package prm

import (
	"fmt"
	"math"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/goprm/goprm/internal/shareddata"
	"github.com/stretchr/testify/require"
)

type goldenAnswers struct {
	IDs       []int32 `json:"input_ids"`
	Positions []int   `json:"read_positions"`
	Plus      int32   `json:"plus_id"`
	Minus     int32   `json:"minus_id"`
	F64       struct {
		Logits [][]float64
		Scores []float64
	}
}

// Without activation the rows are PyTorch's logits, also where the prefix cache has the text already.
func TestServerLogits(t *testing.T) {
	dir := filepath.Join(shareddata.Dir(t), "data", "goldens", "heads", "qwen_math_prm")
	_, url := serving(t, dir, OpenOptions{DType: "f64"}, ServerOptions{})
	var golden goldenAnswers
	readJSONFile(t, filepath.Join(dir, "expected.json"), &golden)
	type answer struct{ Data []struct{ Data [][]float64 } }
	for range 2 {
		var plain, raw, salted answer
		post(t, http.DefaultClient, url+"/pooling", map[string]any{"input": golden.IDs}, &plain)
		post(t, http.DefaultClient, url+"/pooling", map[string]any{"input": golden.IDs, "use_activation": false}, &raw)
		post(t, http.DefaultClient, url+"/pooling", map[string]any{"input": golden.IDs, "cache_salt": "mine"}, &salted)
		require.Equal(t, plain, salted)
		require.Len(t, raw.Data[0].Data, len(golden.F64.Logits))
		for i, row := range raw.Data[0].Data {
			require.InDeltaSlice(t, golden.F64.Logits[i], row, 1e-9)
			require.InDelta(t, plain.Data[0].Data[i][1], 1/(1+math.Exp(row[0]-row[1])), 1e-12)
		}
	}
}

// The good token among good and bad, behind each step, has the probability that Math-Shepherd's score is, which PyTorch computed.
func TestServerGenerativeScoring(t *testing.T) {
	for _, name := range []string{"math_shepherd_qwen2", "math_shepherd_mistral"} {
		dir := filepath.Join(shareddata.Dir(t), "data", "goldens", "heads", name)
		m, url := serving(t, dir, OpenOptions{DType: "f64", Format: "math_shepherd"}, ServerOptions{})
		var golden goldenAnswers
		readJSONFile(t, filepath.Join(dir, "expected.json"), &golden)
		for i, at := range golden.Positions {
			at++
			var got struct{ Data []struct{ Score float64 } }
			post(t, http.DefaultClient, url+"/generative_scoring", map[string]any{
				"query": golden.IDs[:3], "items": [][]int32{golden.IDs[3:at]}, "label_token_ids": []int32{golden.Plus, golden.Minus},
			}, &got)
			require.InDelta(t, golden.F64.Scores[i], got.Data[0].Score, 1e-9, fmt.Sprint(name, i))
		}
		// Among all tokens the probabilities of all tokens are 1.
		all := make([]int32, m.folder.Config.VocabSize)
		for i := range all {
			all[i] = int32(i)
		}
		var scores struct{ Scores [][]float64 }
		post(t, http.DefaultClient,
			url+"/v1/score", map[string]any{"query": golden.IDs[:5], "items": [][]int32{golden.IDs[5:9], golden.IDs[5:7]}, "label_token_ids": all},
			&scores)
		for _, row := range scores.Scores {
			sum := 0.0
			for _, p := range row {
				sum += p
			}
			require.InDelta(t, 1, sum, 1e-12)
		}
	}
}

// A policy's prompt has the bits of the plain problem, whatever template wrote it.
func TestServerPromptForms(t *testing.T) {
	dir := filepath.Join(shareddata.Dir(t), "data", "goldens", "heads", "qwen_math_prm")
	_, url := serving(t, dir, OpenOptions{}, ServerOptions{})
	const problem = "What is 2+3?"
	reward := func(prompt string) (r float64) {
		post(t, http.DefaultClient,
			url+"/reward/remote_rm", map[string]any{"prompt": prompt, "response": "Two and three.\n\nIt is \\boxed{5}.", "label": "5"}, &r)
		return r
	}
	want := reward(problem)
	for _, prompt := range []string{
		"<bos><start_of_turn>user\n" + problem + "<end_of_turn>\n<start_of_turn>model\n",
		"<|user|>\n" + problem + "<|end|>\n<|assistant|>\n",
		"[gMASK]<sop><|user|>\n" + problem + "<|assistant|>\n",
		"A chat between a curious user and an artificial intelligence assistant. USER: " + problem + " ASSISTANT:",
		"<s>[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\n" + problem + " [/INST]",
		"<|start|>system<|message|>You are ChatGPT.<|end|><|start|>user<|message|>" + problem + "<|end|><|start|>assistant",
	} {
		require.Equal(t, want, reward(prompt), prompt)
	}
}
