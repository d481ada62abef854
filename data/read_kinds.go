package data

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

type row = map[string]json.RawMessage

// rowKind is one data set's form of a row.
type rowKind struct {
	name string
	is   func(has func(string) bool, r row) bool
	read func(r row) ([]part, error)
}

// part is one of a row's trajectories; its name tells them apart where a row has several.
type part struct {
	*Trajectory
	name string
}

func one(read func(row) (*Trajectory, error)) func(row) ([]part, error) {
	return func(r row) ([]part, error) {
		t, err := read(r)
		return []part{{t, ""}}, err
	}
}

// rowKinds are the known kinds; the first that fits a file's first row is taken.
func rowKinds(first row) []rowKind {
	return []rowKind{
		{"ProcessBench", func(has func(string) bool, _ row) bool {
			return has("problem") && has("steps") && has("label") && has("final_answer_correct")
		}, one(readProcessBench)},
		{"trajectory", func(has func(string) bool, _ row) bool {
			return has("problem") && (has("thinking") || has("response") || has("steps") || has("response_steps"))
		}, one(readTrajectory)},
		{"OpenThoughts metadata", func(has func(string) bool, _ row) bool {
			return has("problem") && has("deepseek_reasoning") && has("deepseek_solution")
		}, one(readOpenThoughtsMetadata)},
		{"conversation", func(has func(string) bool, _ row) bool {
			return has("conversations") || has("conversation")
		}, one(readTurns("conversation", cmp.Or(firstOf(first, "conversations", "conversation"), "conversations")))},
		{"s1K-1.1", func(has func(string) bool, _ row) bool {
			return has("question") && has("deepseek_thinking_trajectory") && has("gemini_thinking_trajectory")
		}, readS1K11},
		{"s1K", func(has func(string) bool, _ row) bool {
			return has("question") && has("thinking_trajectories") && has("attempt")
		}, one(readS1K)},
		{"PRM800K", func(has func(string) bool, r row) bool {
			return has("label") && strings.HasPrefix(string(r["question"]), "{")
		}, readPRM800K},
		{"PRM800K step", func(has func(string) bool, _ row) bool {
			return has("instruction") && has("next_response") && has("rating")
		}, one(readPRM800KStep)},
		{"TRL stepwise", func(has func(string) bool, _ row) bool {
			return has("prompt") && has("completions") && has("labels")
		}, one(readStepwise)},
		{"Math-Shepherd", func(has func(string) bool, r row) bool {
			var input string
			return (has("label") || has("value")) && take(r, "", "input", &input) == nil && strings.Contains(input, shepherdMark)
		}, one(readMathShepherd)},
		{"PRMBench", func(has func(string) bool, _ row) bool {
			return has("modified_question") && has("modified_process") && has("error_steps")
		}, one(readPRMBench)},
		{"OpenR1-Math", func(has func(string) bool, _ row) bool {
			return has("problem") && has("generations")
		}, readOpenR1},
		{"messages", func(has func(string) bool, _ row) bool {
			return has("messages")
		}, one(readTurns("messages", "messages"))},
		{"trace", func(_ func(string) bool, r row) bool {
			_, ok := columnsOf(r)
			return ok
		}, one(traceReader(first))},
	}
}

// detect tells the kind of a file's rows from the fields of its first row.
func detect(r row) (rowKind, error) {
	has := func(name string) bool { _, ok := r[name]; return ok }
	for _, kind := range rowKinds(r) {
		if kind.is(has, r) {
			return kind, nil
		}
	}
	keys := slices.Sorted(maps.Keys(r))
	const most = 20
	more := ""
	if len(keys) > most {
		keys, more = keys[:most], ", ..."
	}
	return rowKind{}, fmt.Errorf("unknown kind of row with the fields [%s%s]: a trajectory has problem, and thinking, response, steps or "+
		"response_steps; docs/formats.md has the other kinds", strings.Join(keys, ", "), more)
}

// Trajectory reads the row as the named kind of data set has it, of the table in this package's documentation, whatever its fields. The
// kind must be one whose rows are one trajectory each. A row of PRMBench whose error steps all lie beyond its last step, which Read
// refuses, is read: benchmarks count it. The error is a *RowError that names the field.
func (r *Row) Trajectory(kind string) (*Trajectory, error) {
	if kind == "PRMBench" {
		t, _, err := prmBenchRow(r.fields)
		if err != nil {
			return nil, r.Fail(err)
		}
		return t, nil
	}
	for _, k := range rowKinds(r.fields) {
		if k.name == kind {
			parts, err := k.read(r.fields)
			if err != nil {
				return nil, r.Fail(err)
			}
			if len(parts) == 1 {
				return parts[0].Trajectory, nil
			}
			return nil, r.Fail(fmt.Errorf("%d trajectories, where a row of one is expected", len(parts)))
		}
	}
	return nil, r.Fail(fmt.Errorf("kind %q is not known", kind))
}

// need refuses a row that lacks a field its kind cannot do without.
func need(r row, kind string, names ...string) error {
	for _, name := range names {
		if raw, ok := r[name]; !ok || string(raw) == "null" {
			return fieldErr(name, "missing (the file's first row is a %s row)", kind)
		}
	}
	return nil
}

// field is one of a row's fields and the pointer it is decoded into.
type field struct {
	name string
	into any
}

// takeAll decodes the fields; prefix names the object that holds them.
func takeAll(r row, prefix string, fields ...field) error {
	for _, f := range fields {
		if err := take(r, prefix, f.name, f.into); err != nil {
			return err
		}
	}
	return nil
}

// takeID decodes an id, which other data sets than our own may have as a whole number.
func takeID(r row, name string, into *string) error {
	var number json.Number
	if raw := r[name]; len(raw) > 0 && (raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9') {
		err := take(r, "", name, &number)
		*into = number.String()
		return err
	}
	return take(r, "", name, into)
}

func readTrajectory(r row) (*Trajectory, error) {
	if err := need(r, "trajectory", "problem"); err != nil {
		return nil, err
	}
	return trajectoryOf(r)
}

// readStepwise reads a row of TRL's stepwise supervision (trl-lib/math_shepherd, trl-lib/prm800k): one label for each
// completion, true, false or a number, which is kept as it is; null where nobody labelled it.
func readStepwise(r row) (*Trajectory, error) {
	if err := need(r, "TRL stepwise", "prompt", "completions", "labels"); err != nil {
		return nil, err
	}
	t := &Trajectory{Source: "trl"}
	var labels []json.RawMessage
	if err := takeID(r, "id", &t.ID); err != nil {
		return nil, err
	}
	if err := takeAll(r, "", field{"prompt", &t.Problem}, field{"completions", &t.ResponseSteps}); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(r["labels"], &labels); err != nil {
		return nil, fieldErr("labels", "not a list")
	}
	if len(labels) != len(t.ResponseSteps) {
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
	t.addMeta(r, []string{"id", "prompt", "completions", "labels"})
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
