// Command finetune-1.5b trains a reward model on a Qwen2.5-1.5B folder and a file of labelled trajectories: the head first,
// which shows in minutes what the labels hold, then LoRA adapters.
//
//	go run ./examples/finetune-1.5b --model Qwen2.5-1.5B-Instruct --data labelled.jsonl.gz --out runs/finetune
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
	out := flag.String("out", "runs/finetune", "folder for both runs")
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
	config.Resume, config.Progress = true, os.Stderr // an interrupted run resumes where it stopped

	head := config
	head.Train, head.Out = "head", filepath.Join(out, "head")
	head.Optim.Epochs, head.Optim.HeadLR = 10, new(3e-3) // hidden states are computed once: epochs cost next to nothing
	if err := train(ctx, head); err != nil {
		return err
	}
	lora := config
	lora.Train, lora.Out = "lora", filepath.Join(out, "lora")
	return train(ctx, lora)
}

func train(ctx context.Context, config prm.TrainConfig) error {
	result, err := prm.Train(ctx, config)
	if err != nil {
		return err
	}
	if result.Interrupted {
		return fmt.Errorf("%s: interrupted at step %d of %d; run it again to go on", config.Out, result.Steps, result.TotalSteps)
	}
	fmt.Printf("%s: %d steps, model in %s\n", config.Train, result.Steps, result.Model)
	if e := result.Eval; e != nil {
		fmt.Printf("unseen problems: step AUROC %.3f, first-error F1 %.3f\n", e.StepAUROC, e.FirstErrorF1)
	}
	return nil
}
