// Command score scores every step of trajectories with a reward model and prints a line a step and one with
// the reward of each; trajectories that cannot be scored are named and left out.
//
//	go run ./examples/score --model Qwen2.5-Math-PRM-7B --in trajectories.jsonl
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/prm"

	_ "github.com/goprm/goprm/cuda"         // the device cuda:0; without it the CPU computes
	_ "github.com/goprm/goprm/data/parquet" // data may be parquet too
)

func main() {
	model := flag.String("model", "", "folder of a model that goprm trained, or of a public reward model")
	format := flag.String("format", "", "public format, where the folder fits several")
	in := flag.String("in", "", "trajectories of any kind that goprm reads")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *model, *format, *in, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, dir, format, in string, out io.Writer) (err error) {
	if dir == "" || in == "" {
		return errors.New("wants --model and --in")
	}
	model, err := prm.Open(dir, prm.OpenOptions{Format: format})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, model.Close()) }()
	skipped := 0
	options := prm.ScoreOptions{OnBad: func(bad error) error {
		skipped++
		log.Print(bad)
		return nil // go on with the next
	}}
	for score, err := range model.ScoreAll(ctx, data.Read([]string{in}, data.ReadOptions{}), options) {
		if err != nil {
			return err
		}
		for i, step := range score.Steps {
			if _, err := fmt.Fprintf(out, "%s\t%d\t%s\t%.4f\n", score.ID, i+1, step.Part, step.Score); err != nil {
				return err
			}
		}
		if _, err := fmt.Fprintf(out, "%s\treward\t\t%.4f\n", score.ID, score.Reward); err != nil {
			return err
		}
	}
	if skipped > 0 {
		log.Printf("%d trajectories could not be scored", skipped)
	}
	return nil
}
