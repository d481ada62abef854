// Command finetune-7b trains a reward model on a 7B folder in little memory: the head on hidden states that are computed
// once, then small LoRA adapters that begin with that head, after saying what they will take; it writes them for PEFT.
//
//	go run ./examples/finetune-7b --model Qwen2.5-Math-7B-Instruct --data labelled.jsonl.gz --out runs/7b
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/goprm/goprm/prm"

	_ "github.com/goprm/goprm/cuda"         // the device cuda:0; without it the CPU computes
	_ "github.com/goprm/goprm/data/parquet" // data may be parquet too
)

func main() {
	model := flag.String("model", "", "model folder")
	labelled := flag.String("data", "", "labelled trajectories")
	out := flag.String("out", "runs/7b", "folder for both runs and the adapters")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *model, *labelled, *out); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, model, labelled, out string) error {
	if model == "" || labelled == "" {
		return errors.New("wants --model and --data")
	}
	config := prm.DefaultTrainConfig()
	config.Model, config.Data.Train = model, []string{labelled}
	config.Batch.Tokens = 2048                       // activations of one micro-batch; it changes no result beyond rounding
	config.Resume, config.Progress = true, os.Stderr // an interrupted run resumes where it stopped

	head := config
	head.Train, head.Out = "head", filepath.Join(out, "head")
	head.Optim.Epochs, head.Optim.HeadLR = 10, new(3e-3)
	trained, err := prm.Train(ctx, head)
	if err != nil || trained.Interrupted {
		return errors.Join(err, ctx.Err())
	}
	lora := config
	lora.Train, lora.Out, lora.Head.Init = "lora", filepath.Join(out, "lora"), trained.Model
	lora.LoRA.Rank, lora.LoRA.Alpha, lora.LoRA.Targets = 8, 16, []string{"q_proj", "v_proj"}
	plan, err := prm.DryRun(ctx, lora)
	if err != nil {
		return err
	}
	fmt.Printf("adapters: %d steps, about %.1f hours, %.1f GB beside %.1f GB of mapped weights\n", plan.Steps,
		plan.Seconds.Training/3600, float64(plan.Memory.Measured)/1e9, float64(plan.Memory.Weights)/1e9)
	if trained, err = prm.Train(ctx, lora); err != nil || trained.Interrupted {
		return errors.Join(err, ctx.Err())
	}
	_, err = prm.Export(ctx, prm.ExportOptions{Model: trained.Model, To: prm.ToPEFT, Out: filepath.Join(out, "adapters")})
	return err
}
