// Command randommodel writes a model folder of a published shape with random weights, for measurements of speed and
// memory. With --head it is a token classifier, which prm score reads as a process reward model.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/goprm/goprm/data/tokenizer"
	"github.com/goprm/goprm/internal/atomicfile"
	"github.com/goprm/goprm/internal/hfmodel"
	"github.com/goprm/goprm/internal/rng"
	"github.com/goprm/goprm/internal/safetensors"
	"github.com/goprm/goprm/internal/tinymodel"
)

// shapes, those with a size for a name are of Qwen2.5's config.json files.
var shapes = map[string]map[string]any{
	"tiny":  shape(64, 2, 4, 2, 160, 512),
	"small": shape(128, 2, 2, 1, 320, 512), // heads of 64, which vLLM wants
	"0.5b":  shape(896, 24, 14, 2, 4864, 151936),
	"1.5b":  shape(1536, 28, 12, 2, 8960, 151936),
	"7b":    untied(shape(3584, 28, 28, 4, 18944, 152064)),
	"72b":   untied(shape(8192, 80, 64, 8, 29568, 152064)),
	"qwen3": qwen3(shape(64, 2, 4, 2, 160, 512)), // heads wider than a quarter of the model
}

func qwen3(config map[string]any) map[string]any {
	config["architectures"], config["model_type"], config["head_dim"] = []string{"Qwen3ForCausalLM"}, "qwen3", 32
	return config
}

func untied(config map[string]any) map[string]any {
	config["tie_word_embeddings"] = false
	return config
}

func shape(hidden, layers, heads, keyHeads, intermediate, vocab int) map[string]any {
	return map[string]any{"architectures": []string{"Qwen2ForCausalLM"}, "model_type": "qwen2", "hidden_act": "silu",
		"hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": keyHeads,
		"intermediate_size": intermediate, "vocab_size": vocab, "rms_norm_eps": 1e-6, "rope_theta": 1e6,
		"max_position_embeddings": 32768, "tie_word_embeddings": true}
}

func main() {
	name := flag.String("shape", "0.5b", "tiny, small, 0.5b, 1.5b, 7b, 72b or qwen3; test: the chat model of the tests")
	sparse := flag.Bool("sparse", false, "all weights 0, as holes in the file, which then takes no room on the disk")
	dtype := flag.String("dtype", "F32", "F32 or BF16")
	head := flag.Bool("head", false, "with a two-class head on every token")
	vocabulary := flag.Int("vocab", 0, "tokens; 0: the shape's")
	out := flag.String("out", "", "folder to make")
	flag.Parse()
	config := shapes[*name]
	if config != nil && *vocabulary > 0 {
		config["vocab_size"] = *vocabulary
	}
	if *name == "test" {
		if err := tinymodel.Write(*out, tinymodel.Options{}); err != nil {
			fmt.Fprintln(os.Stderr, "randommodel:", err)
			os.Exit(1)
		}
		return
	}
	if err := write(*out, config, safetensors.DType(*dtype), *head, *sparse); err != nil {
		fmt.Fprintln(os.Stderr, "randommodel:", err)
		os.Exit(1)
	}
}

func write(dir string, config map[string]any, dtype safetensors.DType, head, sparse bool) error {
	if config == nil || dir == "" {
		return fmt.Errorf("wants --out DIR and one of the shapes it lists with --help")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if head {
		class := config["architectures"].([]string)[0]
		config["architectures"] = []string{strings.Replace(class, "CausalLM", "TokenClassification", 1)}
	}
	text, err := json.MarshalIndent(config, "", " ")
	if err != nil {
		return err
	}
	tokens, err := tokenizer.Bytes(nil, []string{"<|endoftext|>", "<|im_start|>", "<|im_end|>"})
	if err != nil {
		return err
	}
	for file, content := range map[string][]byte{"config.json": text, "tokenizer.json": tokens} {
		if err := atomicfile.WriteFile(filepath.Join(dir, file), func(w io.Writer) error { _, err := w.Write(content); return err }); err != nil {
			return err
		}
	}
	parsed, err := hfmodel.ReadConfig(dir)
	if err != nil {
		return err
	}
	var tensors []safetensors.Tensor
	specs := parsed.TrunkTensors()
	for i := range specs {
		specs[i].Name = "model." + specs[i].Name
	}
	if head {
		specs = append(specs, hfmodel.Spec{Name: "score.weight", Shape: []int{2, parsed.HiddenSize}},
			hfmodel.Spec{Name: "score.bias", Shape: []int{2}})
	}
	if sparse {
		return holes(filepath.Join(dir, "model.safetensors"), specs, dtype)
	}
	for _, t := range specs {
		tensors = append(tensors, safetensors.Tensor{Name: t.Name, DType: dtype, Shape: t.Shape, Write: func(w io.Writer) error {
			return random(w, t, dtype)
		}})
	}
	return safetensors.Save(filepath.Join(dir, "model.safetensors"), tensors, nil)
}

// holes writes a file whose data were never written.
func holes(path string, specs []hfmodel.Spec, dtype safetensors.DType) error {
	var tensors []safetensors.Tensor
	for _, t := range specs {
		size := dtype.Size()
		for _, d := range t.Shape {
			size *= int64(d)
		}
		tensors = append(tensors, safetensors.Tensor{Name: t.Name, DType: dtype, Shape: t.Shape, Write: func(w io.Writer) error {
			_, err := io.CopyN(w, zeros{}, size)
			return err
		}})
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	end := int64(0)
	err = safetensors.Write(writer(func(p []byte) (int, error) {
		at := end
		end += int64(len(p))
		if bytes.Count(p, []byte{0}) == len(p) {
			return len(p), nil
		}
		return file.WriteAt(p, at)
	}), tensors, nil)
	return errors.Join(err, file.Truncate(end), file.Close())
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// random writes norms around 1 and everything else uniform with the deviation of Qwen's initialisation, 0.02.
func random(to io.Writer, t hfmodel.Spec, dtype safetensors.DType) error {
	w, stream, row := bufio.NewWriterSize(to, 1<<20), rng.New(1, t.Name), make([]float32, t.Shape[len(t.Shape)-1])
	rows := 1
	for _, d := range t.Shape[:len(t.Shape)-1] {
		rows *= d
	}
	var encoded []byte
	for r := range rows {
		for i := range row {
			row[i] = 0.0693 * (float32(stream.Float64(uint64(r*len(row)+i))) - 0.5)
			if len(t.Shape) == 1 {
				row[i]++
			}
		}
		var err error
		if encoded, err = safetensors.AppendEncoded(encoded[:0], dtype, row); err != nil {
			return err
		}
		if _, err := w.Write(encoded); err != nil {
			return err
		}
	}
	return w.Flush()
}
