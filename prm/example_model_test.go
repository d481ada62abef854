package prm_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/data/tokenizer"
	"github.com/goprm/goprm/prm"
)

// A model scores every step of a trajectory, from as many goroutines as there are.
func ExampleModel_Score() {
	dir := exampleModel() // a folder with config.json, model.safetensors and tokenizer.json
	defer func() { _ = os.RemoveAll(dir) }()
	model, err := prm.Open(dir, prm.OpenOptions{Format: "token_classification"})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = model.Close() }()
	score, err := model.Score(context.Background(), &data.Trajectory{Problem: "What is 2+2?", Response: "Add them.\n\nIt is 4."})
	if err != nil {
		log.Fatal(err)
	}
	for _, step := range score.Steps {
		fmt.Println(step.Part, step.Start, step.End, step.Score > 0 && step.Score < 1)
	}
	fmt.Println(score.Reward == (score.Steps[0].Score+score.Steps[1].Score)/2)
	// Output:
	// response 0 9 true
	// response 11 19 true
	// true
}

// A search keeps the best of several next steps: each costs its own tokens, and the last few of the beginning that all have in common.
func ExampleModel_Session() {
	ctx := context.Background()
	dir := exampleModel() // a folder with config.json, model.safetensors and tokenizer.json
	defer func() { _ = os.RemoveAll(dir) }()
	model, err := prm.Open(dir, prm.OpenOptions{Format: "token_classification"})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = model.Close() }()
	session, err := model.Session("A shelf holds 4 rows of 9 books; 5 are lent out. How many are left?")
	if err != nil {
		log.Fatal(err)
	}
	for _, choices := range [][]string{{"Multiply 4 by 9.", "Add 4 and 9."}, {"Take 5 away from it.", "Add 5 to it."}} {
		var best *prm.Session
		highest := math.Inf(-1)
		for _, step := range choices {
			next := session.Fork()
			score, err := next.Append(ctx, step)
			if err != nil {
				log.Fatal(err)
			}
			if last := score.Steps[len(score.Steps)-1].Score; last > highest {
				best, highest = next, last
			}
		}
		session = best
	}
	fmt.Println(len(session.Trajectory().Steps), "steps, more than half of the last text was known:", session.Reused() > session.Tokens()/2)
	// Output: 2 steps, more than half of the last text was known: true
}

// A program that may be given several kinds of folder asks what to do.
func ExampleAmbiguousFormatError() {
	dir := exampleModel()
	defer func() { _ = os.RemoveAll(dir) }()
	_, err := prm.Open(dir, prm.OpenOptions{})
	if several, ok := errors.AsType[*prm.AmbiguousFormatError](err); ok {
		fmt.Println("choose one of", several.Formats)
	}
	// Output: choose one of [token_classification pure]
}

// exampleModel writes a model folder as Hugging Face's libraries do: a Qwen2 of one layer with a token classification head, untrained.
func exampleModel() string {
	const hidden, inner, vocabulary = 16, 32, 260
	dir, err := os.MkdirTemp("", "goprm-example")
	if err != nil {
		log.Fatal(err)
	}
	shapes := map[string][]int{
		"model.embed_tokens.weight": {vocabulary, hidden}, "model.norm.weight": {hidden}, "score.weight": {2, hidden}, "score.bias": {2},
	}
	for name, shape := range map[string][]int{
		"input_layernorm.weight": {hidden}, "post_attention_layernorm.weight": {hidden},
		"self_attn.q_proj.weight": {hidden, hidden}, "self_attn.q_proj.bias": {hidden},
		"self_attn.k_proj.weight": {hidden, hidden}, "self_attn.k_proj.bias": {hidden},
		"self_attn.v_proj.weight": {hidden, hidden}, "self_attn.v_proj.bias": {hidden}, "self_attn.o_proj.weight": {hidden, hidden},
		"mlp.gate_proj.weight": {inner, hidden}, "mlp.up_proj.weight": {inner, hidden}, "mlp.down_proj.weight": {hidden, inner},
	} {
		shapes["model.layers.0."+name] = shape
	}
	config := map[string]any{
		"architectures": []string{"Qwen2ForTokenClassification"}, "model_type": "qwen2", "torch_dtype": "float32",
		"hidden_act": "silu", "hidden_size": hidden, "intermediate_size": inner, "vocab_size": vocabulary,
		"num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2,
		"max_position_embeddings": 512, "rms_norm_eps": 1e-6, "rope_theta": 10000,
	}
	configText, err := json.Marshal(config)
	if err != nil {
		log.Fatal(err)
	}
	tokens, err := tokenizer.Bytes(nil, []string{"<|endoftext|>"})
	if err != nil {
		log.Fatal(err)
	}
	files := map[string][]byte{"config.json": configText, "tokenizer.json": tokens, "model.safetensors": exampleWeights(shapes)}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o666); err != nil {
			log.Fatal(err)
		}
	}
	return dir
}

// exampleWeights is a safetensors file: the length of the header, the header, and the numbers.
func exampleWeights(shapes map[string][]int) []byte {
	header, numbers := map[string]any{}, bytes.Buffer{}
	for _, name := range slices.Sorted(maps.Keys(shapes)) {
		count, begin := 1, numbers.Len()
		for _, d := range shapes[name] {
			count *= d
		}
		for i := range count {
			_ = binary.Write(&numbers, binary.LittleEndian, float32(math.Sin(float64(i*len(name))))/4) // a buffer's Write never fails
		}
		header[name] = map[string]any{"dtype": "F32", "shape": shapes[name], "data_offsets": []int{begin, numbers.Len()}}
	}
	text, err := json.Marshal(header)
	if err != nil {
		log.Fatal(err)
	}
	return slices.Concat(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text, numbers.Bytes())
}
