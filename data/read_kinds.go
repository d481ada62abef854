package data

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// rowKind is one data set's form of a row.
type rowKind struct {
	name string
	read func(row map[string]json.RawMessage) (*Trajectory, error)
}

// detect tells the kind of a file's rows from the fields of its first row.
func detect(row map[string]json.RawMessage) (rowKind, error) {
	has := func(name string) bool { _, ok := row[name]; return ok }
	switch {
	case has("problem") && (has("thinking") || has("response") || has("steps") || has("response_steps")):
		return rowKind{"trajectory", readTrajectory}, nil
	case has("instruction") && has("next_response") && has("rating"):
		return rowKind{"PRM800K", readPRM800K}, nil
	case has("prompt") && has("completions") && has("labels"):
		return rowKind{"TRL stepwise", readStepwise}, nil
	}
	keys := slices.Sorted(maps.Keys(row))
	const most = 20
	more := ""
	if len(keys) > most {
		keys, more = keys[:most], ", ..."
	}
	return rowKind{}, fmt.Errorf("unknown kind of row with the fields [%s%s]: known are trajectories (problem, and thinking, response, steps or response_steps), "+
		"PRM800K rows (instruction, responses, next_response, rating) and TRL stepwise rows (prompt, completions, labels)", strings.Join(keys, ", "), more)
}

// need refuses a row that lacks a field its kind cannot do without.
func need(row map[string]json.RawMessage, kind string, names ...string) error {
	for _, name := range names {
		if raw, ok := row[name]; !ok || string(raw) == "null" {
			return fieldErr(name, "missing (the file's first row is a %s row)", kind)
		}
	}
	return nil
}

func readTrajectory(row map[string]json.RawMessage) (*Trajectory, error) {
	if err := need(row, "trajectory", "problem"); err != nil {
		return nil, err
	}
	return trajectoryOf(row)
}

// readPRM800K reads a flat PRM800K row: the steps so far, and one more that the rating is about
// (1 good, 0 neutral, -1 bad become the targets 1, 0.5 and 0; null leaves it unlabelled).
func readPRM800K(row map[string]json.RawMessage) (*Trajectory, error) {
	if err := need(row, "PRM800K", "instruction", "next_response"); err != nil {
		return nil, err
	}
	t := &Trajectory{Source: "prm800k"}
	var next string
	var rating *float64
	for _, f := range []struct {
		name string
		into any
	}{{"instruction", &t.Problem}, {"responses", &t.ResponseSteps}, {"next_response", &next}, {"rating", &rating}} {
		if err := take(row, "", f.name, f.into); err != nil {
			return nil, err
		}
	}
	t.ResponseSteps = append(t.ResponseSteps, next)
	if rating != nil {
		if *rating != -1 && *rating != 0 && *rating != 1 {
			return nil, fieldErr("rating", "%v is none of 1, 0, -1", *rating)
		}
		t.Labels.Steps = make([]*float64, len(t.ResponseSteps))
		t.Labels.Steps[len(t.ResponseSteps)-1] = Float((*rating + 1) / 2)
	}
	t.addMeta(row, []string{"instruction", "responses", "next_response", "rating"})
	return t, nil
}

// readStepwise reads a row of TRL's stepwise supervision: one label for each completion, true, false or a number, which is kept as it is.
func readStepwise(row map[string]json.RawMessage) (*Trajectory, error) {
	if err := need(row, "TRL stepwise", "prompt", "completions", "labels"); err != nil {
		return nil, err
	}
	t := &Trajectory{Source: "trl"}
	var labels []json.RawMessage
	for _, f := range []struct {
		name string
		into any
	}{{"id", &t.ID}, {"prompt", &t.Problem}, {"completions", &t.ResponseSteps}} {
		if err := take(row, "", f.name, f.into); err != nil {
			return nil, err
		}
	}
	if err := json.Unmarshal(row["labels"], &labels); err != nil {
		return nil, fieldErr("labels", "not a list")
	}
	if len(labels) > len(t.ResponseSteps) {
		return nil, fieldErr("labels", "%d labels for %d completions", len(labels), len(t.ResponseSteps))
	}
	t.Labels.Steps = make([]*float64, len(labels))
	for i, raw := range labels {
		switch string(raw) {
		case "null":
		case "true":
			t.Labels.Steps[i] = Float(1)
		case "false":
			t.Labels.Steps[i] = Float(0)
		default:
			if err := json.Unmarshal(raw, &t.Labels.Steps[i]); err != nil {
				return nil, fieldErr(fmt.Sprintf("labels[%d]", i), "%s is neither a boolean nor a number", clip(string(raw), 40))
			}
		}
	}
	t.addMeta(row, []string{"id", "prompt", "completions", "labels"})
	return t, nil
}

// clip shortens text for an error message.
func clip(text string, runes int) string {
	for i := range text {
		if runes == 0 {
			return text[:i] + "..."
		}
		runes--
	}
	return text
}
