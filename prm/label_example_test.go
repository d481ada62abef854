package prm_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/data/label"
	"github.com/goprm/goprm/prm"
)

// brevity is a judge that likes short steps.
type brevity struct{}

func (brevity) ID() string        { return "brevity/1" } // names all that a score depends on
func (brevity) Sees() label.Sees  { return label.SeesPrefix }
func (brevity) StepsPerCall() int { return 0 }

func (brevity) Judge(_ context.Context, c *label.Case, steps []int) ([]label.Verdict, error) {
	verdicts := make([]label.Verdict, len(steps))
	for i, t := range steps {
		verdicts[i].Score = 1 / float64(len(strings.Fields(c.Thinking[t])))
	}
	return verdicts, nil
}

// A program labels its trajectories by a judge of its own, and by whether the final answer is right. Called again it asks for
// nothing: every verdict lies in the folder.
func ExampleLabel() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "labels")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	config := prm.LabelConfig{
		Trajectories: prm.Slice([]*data.Trajectory{
			{ID: "right", Problem: "What is 2+2?", Steps: []string{"Add.", "2 + 2 = 4."}, Response: `\boxed{4}`, Answer: "4"},
			{ID: "wrong", Problem: "What is 3+3?", Steps: []string{"Guess."}, Response: `\boxed{7}`, Answer: "6"},
		}),
		Stages:     prm.LabelStages{Judge: brevity{}},
		Encoder:    prm.EncoderConfig{Kind: "none"},
		Parts:      []label.Part{label.Quality},
		Trajectory: prm.TrajectoryConfig{Kind: label.Rule},
		Out:        filepath.Join(dir, "labels"),
	}
	for range 2 {
		report, err := prm.Label(ctx, config)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%d step labels, %d trajectory labels, %d verdicts asked for\n", report.StepLabels, report.TrajectoryLabels,
			report.Asked["quality"])
	}
	for row, err := range label.ReadRows(config.Out) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(row.ID, *row.Labels.Steps[0], *row.Labels.Trajectory)
	}
	// Output:
	// 3 step labels, 2 trajectory labels, 3 verdicts asked for
	// 3 step labels, 2 trajectory labels, 0 verdicts asked for
	// right 1 1
	// wrong 1 0
}
