package prm_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/goprm/goprm/prm"
)

// A program brings its own trajectories, trains on them and scores a new one.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "goprm")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	model := filepath.Join(dir, "model") // a folder with config.json, model.safetensors and tokenizer.json
	if err := tinymodel.Write(model, tinymodel.Options{}); err != nil {
		log.Fatal(err)
	}

	trajectories := func(yield func(*data.Trajectory, error) bool) {
		for i := range 40 {
			t := &data.Trajectory{
				ID: fmt.Sprint(i), Problem: fmt.Sprintf("What is %d+%d?", i, i), ResponseSteps: []string{"Add them.", fmt.Sprintf("It is %d.", 2*i+i%2)},
				Labels: data.Labels{Steps: []*float64{new(1.0), new(1 - float64(i%2))}, Trajectory: new(1 - float64(i%2))},
			}
			if !yield(t, nil) {
				return
			}
		}
	}
	result, err := prm.Train(ctx, prm.TrainConfig{Model: model, Out: filepath.Join(dir, "run"), Data: prm.DataConfig{Trajectories: trajectories}})
	if err != nil {
		log.Fatal(err)
	}
	trained, err := prm.Open(result.Model, prm.OpenOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = trained.Close() }()
	score, err := trained.Score(ctx, &data.Trajectory{ID: "new", Problem: "What is 2+2?", Response: "Add them.\n\nIt is 4."})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.Steps, "steps,", len(score.Steps), "scores,", score.Trajectory != nil)
	// Output: 3 steps, 2 scores, true
}
