package prm

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"

	"github.com/goprm/goprm/internal/runlog"
)

// track tells TensorBoard and, where it is asked for, MLflow what the run is.
func (t *trainer) track() error {
	parameters := flatten(t.c)
	if t.from == 0 { // a resumed run's first session has said it
		if err := t.describeEvents(parameters); err != nil {
			return err
		}
	}
	if t.c.Tracking == "" {
		return nil
	}
	var err error
	t.mlflow, err = runlog.OpenMLflow(context.Background(), runlog.MLflowRun{
		URI: t.c.Tracking, Name: filepath.Base(t.c.Out), ID: t.record.TrackedAs, Parameters: parameters,
	})
	if err != nil {
		return fmt.Errorf("tracking: %w", err)
	}
	t.record.TrackedAs = t.mlflow.ID()
	return t.saveDescriptions()
}

// describeEvents writes the configuration and the first texts, with their read-outs, into TensorBoard's file.
func (t *trainer) describeEvents(parameters map[string]string) error {
	values := map[string]any{}
	for key, text := range parameters {
		values[key] = text
		if number, err := strconv.ParseFloat(text, 64); err == nil {
			values[key] = number
		} else if plain, err := strconv.Unquote(text); err == nil {
			values[key] = plain
		}
	}
	if err := t.events.HParams(values); err != nil {
		return err
	}
	for _, e := range t.data.train[:min(dryRunTexts, len(t.data.train))] {
		marked, err := t.renderer.Marked(e)
		if err != nil {
			return fmt.Errorf("trajectory %q: %w", e.ID, err)
		}
		if err := t.events.Text(0, "samples/"+e.ID, "```\n"+marked+"\n```"); err != nil {
			return err
		}
	}
	return nil
}

func (t *trainer) scalars(step int, values map[string]float64) error {
	if t.mlflow != nil {
		t.mlflow.Scalars(step, values)
	}
	return t.events.Scalars(step, values)
}

// endTracking says how the run ended. What did not reach the server is a warning: metrics.jsonl has it.
func (t *trainer) endTracking(failure error) {
	if t.mlflow == nil {
		return
	}
	status := "FINISHED"
	switch {
	case failure != nil:
		status = "FAILED"
	case t.interrupted:
		status = "KILLED"
	}
	if err := t.mlflow.Close(status); err != nil {
		t.log.warnf("tracking: %v; metrics.jsonl has every number", err)
	}
}
