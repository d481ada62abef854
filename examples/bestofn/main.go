// Command bestofn scores several answers to each problem with a reward model and says how often picking by score finds a
// right one, beside majority vote and what needs no model.
//
//	go run ./examples/bestofn --model runs/one/model --samples samples.jsonl
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/data/grade"
	"github.com/goprm/goprm/prm"

	_ "github.com/goprm/goprm/cuda"         // the device cuda:0; without it the CPU computes
	_ "github.com/goprm/goprm/data/parquet" // data may be parquet too
)

func main() {
	model := flag.String("model", "", "model folder")
	samples := flag.String("samples", "", `problems with samples: {"problem","answer","samples":[{"text"}, ...]}, or rows of search-and-learn`)
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *model, *samples); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, dir, samples string) (err error) {
	if dir == "" || samples == "" {
		return errors.New("wants --model and --samples")
	}
	model, err := prm.Open(dir, prm.OpenOptions{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, model.Close()) }()
	paths := []string{samples}
	scores := model.ScoreAll(ctx, prm.Samples(data.ReadSamples(paths, data.ReadOptions{})), prm.ScoreOptions{})
	scored := prm.WithScores(data.ReadSamples(paths, data.ReadOptions{}), prm.Stored(scores)) // read side by side, none held
	result, err := prm.BestOfN(ctx, scored, prm.BestOfNOptions{
		Verifier: grade.Verifier{}, Extract: grade.Extract, // where the file does not say what is right
		Same: func(a, b string) bool { return grade.Equal(a, b).Equal == grade.Yes },
	})
	if err != nil {
		return err
	}
	for _, row := range result.Results {
		if row.Missing != "" {
			fmt.Printf("n = %-3d %-12s %-7s -: %s\n", row.N, row.Method, row.Aggregation, row.Missing)
			continue
		}
		fmt.Printf("n = %-3d %-12s %-7s %.1f %% (%.1f to %.1f)\n", row.N, row.Method, row.Aggregation, 100*row.Accuracy, 100*row.Low,
			100*row.High)
	}
	return nil
}
