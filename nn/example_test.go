package nn_test

import (
	"context"
	"fmt"
	"log"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/nn"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// A backbone of 24 dimensions; any Qwen2, Llama or Mistral folder from Hugging Face stands in its place.
const backbone = "../internal/parity/testdata/wide/f32"

// Hidden states of a text's tokens, after the last norm.
func ExampleOpen() {
	net, err := nn.Open(backbone, nn.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = net.Close() }()
	hidden, err := net.Hidden(context.Background(), []int32{5, 6, 7, 8})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(net.Config().ModelType, hidden.Shape())
	// Output: qwen2 (4, 24)
}

// labelled is one text, read out at two tokens with the labels 0 and 1.
func labelled() []nn.Batch {
	text := &data.Example{ID: "a", Tokens: []int32{5, 6, 7, 8, 9, 10}, Reads: []data.ReadOut{
		{Pos: 2, Index: 0, Target: 0, HasTarget: true, Weight: 1}, {Pos: 5, Index: 1, Target: 1, HasTarget: true, Weight: 1},
	}}
	packed, err := data.Pack([]*data.Example{text}, data.PackOptions{N: 1, LambdaStep: 1})
	if err != nil {
		log.Fatal(err)
	}
	return []nn.Batch{{Batch: packed[0]}}
}

// A value head learns the labels of two steps.
func ExampleNetwork_TrainStep() {
	net, err := nn.Open(backbone, nn.Options{Train: nn.Head})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = net.Close() }()
	ctx, batches := context.Background(), labelled()
	for range 200 {
		if _, err := net.TrainStep(ctx, batches, nn.DefaultAdamW(0.05)); err != nil {
			log.Fatal(err)
		}
	}
	scores, err := net.Score(ctx, batches[0])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%.1f\n", scores.Values)
	// Output: [0.0 1.0]
}

// A head and a loss of one's own: tanh(x·w), with the absolute error of each read-out.
func ExampleExpr() {
	const width = 24
	head := func(e *nn.Expr) error {
		w := e.Parameter("w", tensor.New(tensor.WithShape(width, 1), tensor.WithBacking(make([]float32, width))))
		z, err := gorgonia.Mul(e.Features(), w)
		if err != nil {
			return err
		}
		if e.Values, err = gorgonia.Tanh(z); err != nil {
			return err
		}
		difference, err := gorgonia.Sub(e.Values, e.Target())
		if err != nil {
			return err
		}
		each, err := gorgonia.Abs(difference)
		if err != nil {
			return err
		}
		e.Loss, err = gorgonia.Mean(each)
		return err
	}
	net, err := nn.Open(backbone, nn.Options{Train: nn.Head, Expr: head})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = net.Close() }()
	ctx, batches := context.Background(), labelled()
	var first, last nn.StepResult
	for step := range 100 {
		if last, err = net.TrainStep(ctx, batches, nn.DefaultAdamW(0.02)); err != nil {
			log.Fatal(err)
		}
		if step == 0 {
			first = last
		}
	}
	fmt.Printf("loss %.1f, then below 0.1: %t\n", first.Loss, last.Loss < 0.1)
	// Output: loss 0.5, then below 0.1: true
}
