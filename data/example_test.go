package data_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/data/tokenizer"
)

// Read knows the published forms of data sets by the fields of their rows: here this project's own, and TRL's stepwise one.
func ExampleRead() {
	dir, err := os.MkdirTemp("", "goprm")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	own, trl := filepath.Join(dir, "own.jsonl"), filepath.Join(dir, "trl.jsonl")
	for path, text := range map[string]string{
		own: `{"id": "t1", "problem": "2+2?", "thinking": "Add them.\n\nIt is 5.", "response": "5", "labels": {"steps": [1, 0.1, null]}}`,
		trl: `{"prompt": "3+3?", "completions": ["Add them.", "It is 6."], "labels": [true, true]}`,
	} {
		if err := os.WriteFile(path, []byte(text+"\n"), 0o666); err != nil {
			log.Fatal(err)
		}
	}
	for t, err := range data.Read([]string{own, trl}, data.ReadOptions{}) {
		if err != nil {
			log.Fatal(err) // it names the file and the line
		}
		thinking, response := t.Cut("\n\n")
		fmt.Printf("%s %d thinking and %d response steps:", t.Problem, len(thinking.Steps), len(response.Steps))
		for _, label := range t.Labels.Steps {
			if label == nil {
				fmt.Print(" none")
			} else {
				fmt.Print(" ", *label)
			}
		}
		fmt.Println()
	}
	// Output:
	// 2+2? 2 thinking and 1 response steps: 1 0.1 none
	// 3+3? 0 thinking and 2 response steps: 1 1
}

// A trajectory becomes text with read-outs, and examples become the packed batches of one optimizer step.
func ExamplePack() {
	file, err := tokenizer.Bytes(nil, nil) // a token for each byte; a model folder brings its own tokenizer
	if err != nil {
		log.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "goprm")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := os.WriteFile(filepath.Join(dir, "tokenizer.json"), file, 0o666); err != nil {
		log.Fatal(err)
	}
	tok, err := tokenizer.Open(dir)
	if err != nil {
		log.Fatal(err)
	}
	options := data.DefaultText()
	options.Template, options.Separator = "none", "\n"
	renderer, err := data.NewRenderer(options, tok, data.ModelText{})
	if err != nil {
		log.Fatal(err)
	}
	example, _, err := renderer.Render(&data.Trajectory{
		Problem: "2+2?", ResponseSteps: []string{"Add.", "5"}, Labels: data.Labels{Steps: data.Floats(1, 0), Trajectory: data.Float(0.25)},
	})
	if err != nil {
		log.Fatal(err)
	}
	batches, err := data.Pack([]*data.Example{example}, data.PackOptions{N: 1, LambdaStep: 1, LambdaFinal: 1})
	if err != nil {
		log.Fatal(err)
	}
	b := batches[0]
	fmt.Println(len(b.Tokens), "tokens, read at", b.Reads, "targets", b.Target, "weights", b.Weight)
	// Output: 13 tokens, read at [10 12 12] targets [1 0 0.25] weights [0.5 0.5 1]
}
