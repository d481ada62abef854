// Command own-data trains a reward model on a program's own records, labelled by the program itself, and scores new ones.
//
//	go run ./examples/own-data MODEL_FOLDER
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/prm"

	_ "github.com/goprm/goprm/cuda" // the device cuda:0; without it the CPU computes
)

// derivation is this program's own type: a question, and lines that should follow from each other.
type derivation struct {
	name, question string
	lines          []string
	sound          []bool // as far as somebody looked
}

// trajectory labels a derivation: a sound line is worth 1, an unsound one 0; the whole, once every line was looked at, is
// worth the share of sound lines.
func (d derivation) trajectory() *data.Trajectory {
	t := &data.Trajectory{ID: d.name, Problem: d.question, ResponseSteps: d.lines}
	good := 0.0
	for _, sound := range d.sound {
		reward := 0.0
		if sound {
			reward = 1
		}
		good += reward
		t.Labels.Steps = append(t.Labels.Steps, data.Float(reward))
	}
	if len(d.sound) == len(d.lines) {
		t.Labels.Trajectory = data.Float(good / float64(len(d.lines)))
	}
	return t
}

// records stands for wherever a program's data come from.
func records() []derivation {
	var list []derivation
	for i := range 60 {
		slip := i % 3
		list = append(list, derivation{
			name: fmt.Sprint("d", i), question: fmt.Sprintf("Double %d twice.", i),
			lines: []string{fmt.Sprintf("%d doubled is %d.", i, 2*i), fmt.Sprintf("%d doubled is %d.", 2*i, 4*i+slip)},
			sound: []bool{true, slip == 0},
		})
	}
	return list
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("wants one argument: a model folder, such as Qwen2.5-0.5B's")
	}
	dir, err := os.MkdirTemp("", "own-data-")
	if err != nil {
		log.Fatal(err)
	}
	if err := run(context.Background(), os.Args[1], filepath.Join(dir, "run"), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// run trains on the records into the folder out and scores two derivations that nobody labelled.
func run(ctx context.Context, model, out string, to io.Writer) error {
	trajectories := func(yield func(*data.Trajectory, error) bool) {
		for _, d := range records() {
			if !yield(d.trajectory(), nil) {
				return
			}
		}
	}
	result, err := prm.Train(ctx, prm.TrainConfig{Model: model, Out: out, Data: prm.DataConfig{Trajectories: trajectories}})
	if err != nil {
		return err
	}
	trained, err := prm.Open(result.Model, prm.OpenOptions{})
	if err != nil {
		return err
	}
	defer func() { _ = trained.Close() }()
	for _, last := range []string{"140 doubled is 280.", "140 doubled is 281."} {
		d := derivation{question: "Double 70 twice.", lines: []string{"70 doubled is 140.", last}}
		score, err := trained.Score(ctx, d.trajectory())
		if err != nil {
			return err
		}
		for i, step := range score.Steps {
			if _, err := fmt.Fprintf(to, "%.3f  %s\n", step.Score, d.lines[i]); err != nil {
				return err
			}
		}
		if _, err := fmt.Fprintf(to, "%.3f  reward\n", score.Reward); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(to, "%d steps of training; the model is in %s\n", result.Steps, result.Model)
	return err
}
