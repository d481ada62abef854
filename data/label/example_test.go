package label_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/data/label"
	"github.com/goprm/goprm/data/label/store"
)

// hedges is a judge that trusts a step the less, the more often it doubts.
type hedges struct{}

func (hedges) ID() string        { return "hedges/1" }
func (hedges) Sees() label.Sees  { return label.SeesPrefix }
func (hedges) StepsPerCall() int { return 0 } // as many as there are

func (hedges) Judge(_ context.Context, c *label.Case, steps []int) ([]label.Verdict, error) {
	verdicts := make([]label.Verdict, len(steps))
	for i, t := range steps {
		verdicts[i].Score = 1 / float64(1+strings.Count(c.Thinking[t], "maybe"))
	}
	return verdicts, nil
}

// A judge of one's own labels the steps of a trajectory.
func Example() {
	dir, err := os.MkdirTemp("", "labels")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	s, err := store.Open(label.StorePath(dir), store.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = s.Close() }()

	in := func(yield func(*data.Trajectory, error) bool) {
		yield(&data.Trajectory{
			ID: "t1", Problem: "What is 2+2?",
			Thinking: "Add the numbers.\n\nIt is maybe 5, or maybe 4.\n\nIt is 4.", Response: `\boxed{4}`, Answer: "4",
		}, nil)
	}
	p := label.Pipeline{Judge: hedges{}, Parts: []label.Part{label.Quality}, Store: s, Out: dir}
	report, err := p.Run(context.Background(), in)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(report.StepLabels, "step labels")
	for row, err := range label.ReadRows(dir) {
		if err != nil {
			log.Fatal(err)
		}
		for i, step := range row.Steps {
			fmt.Printf("%.2f %s\n", *row.Labels.Steps[i], step)
		}
	}
	// Output:
	// 3 step labels
	// 1.00 Add the numbers.
	// 0.33 It is maybe 5, or maybe 4.
	// 1.00 It is 4.
}
