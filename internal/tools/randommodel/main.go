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
	"github.com/goprm/goprm/internal/speed"
	"github.com/goprm/goprm/internal/tinymodel"
)

func main() {
	name := flag.String("shape", "0.5b", "tiny, small, 0.5b, 1.5b, 7b, 72b or qwen3; test: the chat model of the tests")
	sparse := flag.Bool("sparse", false, "all weights 0, as holes in the file, which then takes no room on the disk")
	dtype := flag.String("dtype", "F32", "F32 or BF16")
	head := flag.Bool("head", false, "with a two-class head on every token")
	vocabulary := flag.Int("vocab", 0, "tokens; 0: the shape's")
	out := flag.String("out", "", "folder to make")
	flag.Parse()
	config := speed.ShapeConfig(*name)
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
