// Command select keeps the trajectories that a reward model likes best, without problems of the given benchmark, and
// prints them as chat messages to fine-tune on.
//
//	go run ./examples/select --model runs/one/model --pool pool.jsonl.gz --against math500.jsonl --top 1000 >selected.jsonl
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
	"log"
	"os"
	"os/signal"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/prm"

	_ "github.com/goprm/goprm/cuda"         // the device cuda:0; without it the CPU computes
	_ "github.com/goprm/goprm/data/parquet" // data may be parquet too
)

func main() {
	model := flag.String("model", "", "model folder")
	pool := flag.String("pool", "", "trajectories to choose from")
	against := flag.String("against", "", "benchmark file whose problems must not be kept")
	top := flag.Int("top", 1000, "how many to keep")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *model, *pool, *against, *top, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, dir, pool, against string, top int, out io.Writer) (err error) {
	if dir == "" || pool == "" {
		return errors.New("wants --model and --pool")
	}
	model, err := prm.Open(dir, prm.OpenOptions{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, model.Close()) }()
	trajectories := func() iter.Seq2[*data.Trajectory, error] { return data.Read([]string{pool}, data.ReadOptions{}) }

	var kept []*prm.StoredScore // selecting reads the scores more than once; a large pool's would go to a file: prm score, prm.ReadScores
	for s, err := range prm.Stored(model.ScoreAll(ctx, trajectories(), prm.ScoreOptions{})) {
		if err != nil {
			return err
		}
		kept = append(kept, s)
	}
	scores := func() iter.Seq2[*prm.StoredScore, error] {
		return func(yield func(*prm.StoredScore, error) bool) {
			for _, s := range kept {
				if !yield(s, nil) {
					return
				}
			}
		}
	}
	options := prm.SelectOptions{Top: top, Unique: "near"}
	if against != "" {
		if options.Contamination, err = prm.ReadContamination([]string{against}); err != nil {
			return err
		}
	}
	selection, err := prm.Select(ctx, trajectories, scores, options)
	if err != nil {
		return err
	}
	for _, one := range selection.Rows {
		line, err := one.Export("chat")
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(out, "%s\n", line); err != nil {
			return err
		}
	}
	fmt.Fprintf(os.Stderr, "%d of %d kept, rewards %.3f to %.3f; %d of the benchmark, %d repeated\n",
		selection.Kept, selection.Pool, selection.Highest, selection.Lowest, selection.Contaminated, selection.Duplicates)
	return nil
}
