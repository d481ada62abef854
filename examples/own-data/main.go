// Command own-data trains a reward model on a program's own records, labelled by the program itself, and scores new ones.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/goprm/goprm/prm"
)

// derivation is this program's own type: a question, and lines that should follow from each other.
type derivation struct {
	name, question string
	lines          []string
	sound          []bool // as far as somebody looked
}

// trajectory labels a derivation: a sound line is worth 1, an unsound one 0; the whole is worth the share of sound lines.
func (d derivation) trajectory() *data.Trajectory {
	t := &data.Trajectory{ID: d.name, Problem: d.question, ResponseSteps: d.lines}
	good := 0.0
	for _, ok := range d.sound {
		reward := 0.0
		if ok {
			reward = 1
		}
		good += reward
		t.Labels.Steps = append(t.Labels.Steps, &reward)
	}
	if len(d.sound) == len(d.lines) {
		share := good / float64(len(d.lines))
		t.Labels.Trajectory = &share
	}
	return t
}

// records stands for wherever a program's data come from.
func records() []derivation {
	var list []derivation
	for i := range 60 {
		d := derivation{name: fmt.Sprint("d", i), question: fmt.Sprintf("Double %d twice.", i)}
		slip := i % 3
		d.lines = []string{fmt.Sprintf("%d doubled is %d.", i, 2*i), fmt.Sprintf("%d doubled is %d.", 2*i, 4*i+slip)}
		d.sound = []bool{true, slip == 0}
		list = append(list, d)
	}
	return list
}

func main() {
	model := "" // a folder from Hugging Face; without one, a tiny untrained model stands in
	if len(os.Args) > 1 {
		model = os.Args[1]
	}
	if err := run(model); err != nil {
		log.Fatal(err)
	}
}

func run(model string) error {
	dir, err := os.MkdirTemp("", "own-data-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if model == "" {
		model = filepath.Join(dir, "tiny")
		if err := tinymodel.Write(model, tinymodel.Options{}); err != nil {
			return err
		}
	}
	trajectories := func(yield func(*data.Trajectory, error) bool) {
		for _, d := range records() {
			if !yield(d.trajectory(), nil) {
				return
			}
		}
	}
	ctx := context.Background()
	result, err := prm.Train(ctx, prm.TrainConfig{Model: model, Train: "lora", Out: filepath.Join(dir, "run"), Data: prm.DataConfig{Trajectories: trajectories}})
	if err != nil {
		return err
	}
	trained, err := prm.Open(result.Model, prm.OpenOptions{})
	if err != nil {
		return err
	}
	defer func() { _ = trained.Close() }()
	score, err := trained.Score(ctx, derivation{question: "Double 70 twice.", lines: []string{"70 doubled is 140.", "140 doubled is 280."}}.trajectory())
	if err != nil {
		return err
	}
	for i, s := range score.Steps {
		fmt.Printf("step %d: %.3f\n", i+1, s.Score)
	}
	_, err = fmt.Println(strings.TrimSpace(fmt.Sprintf("reward %.3f after %d steps", score.Reward, result.Steps)))
	return err
}
