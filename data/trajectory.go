package data

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// Trajectory is one problem with the thinking and the response that answer it, and whatever is known of their worth.
type Trajectory struct {
	ID       string
	Problem  string
	Thinking string
	Response string
	// Steps and ResponseSteps are the parts already cut; where they are not empty they win over the splitter.
	Steps         []string
	ResponseSteps []string
	Labels        Labels
	Source        string
	Answer        string
	// Meta holds the row's "meta" object and every top-level field that has no place of its own here.
	Meta map[string]json.RawMessage
	// Where is the place the trajectory was read from ("file:line"), for error messages; empty if made by a program.
	Where string
}

// Labels are the targets of one trajectory. A nil entry means that nobody labelled it, which is not the label 0.
type Labels struct {
	// Steps runs over the thinking steps, then the response steps; it may be shorter than they are.
	Steps []*float64
	// Trajectory is the target of the whole.
	Trajectory *float64
	// Weights runs along Steps; nil entries and missing ones mean 1.
	Weights []*float64
	// TrajectoryWeight is the weight of Trajectory; nil means 1.
	TrajectoryWeight *float64
	// Extra holds fields of the "labels" object that are not targets, such as how a label was made.
	Extra map[string]json.RawMessage
}

// Float returns a pointer to v, for writing labels in Go.
func Float(v float64) *float64 { return &v }

// Floats returns a pointer to each value: Labels.Steps of steps that all have a label. NaN is no label: nil.
func Floats(values ...float64) []*float64 {
	var list []*float64
	for _, v := range values {
		if math.IsNaN(v) {
			list = append(list, nil)
		} else {
			list = append(list, &v)
		}
	}
	return list
}

// FieldError is what is wrong with one field of a trajectory.
type FieldError struct {
	Field string // as in JSON, e.g. labels.steps[3]
	Err   error
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Err.Error() }
func (e *FieldError) Unwrap() error { return e.Err }

func fieldErr(field, format string, args ...any) error {
	return &FieldError{Field: field, Err: fmt.Errorf(format, args...)}
}

// Validate checks everything that can be checked before the text is cut into steps: texts are UTF-8, targets are
// finite, weights are finite and not negative, and no part that is given as steps has more labels than steps.
// Its errors are *FieldError.
func (t *Trajectory) Validate() error {
	for _, f := range []struct{ name, text string }{
		{"id", t.ID}, {"problem", t.Problem}, {"thinking", t.Thinking}, {"response", t.Response}, {"source", t.Source}, {"answer", t.Answer},
	} {
		if !utf8.ValidString(f.text) {
			return fieldErr(f.name, "not valid UTF-8")
		}
	}
	for _, f := range []struct {
		name  string
		steps []string
	}{{"steps", t.Steps}, {"response_steps", t.ResponseSteps}} {
		for i, s := range f.steps {
			if !utf8.ValidString(s) {
				return fieldErr(fmt.Sprintf("%s[%d]", f.name, i), "not valid UTF-8")
			}
		}
	}
	if err := t.Labels.validate(); err != nil {
		return err
	}
	thinkingCut := len(t.Steps) > 0 || t.Thinking == ""
	responseCut := len(t.ResponseSteps) > 0 || t.Response == ""
	if thinkingCut && responseCut {
		return t.Labels.fit(len(t.Steps) + len(t.ResponseSteps))
	}
	return nil
}

func (l *Labels) validate() error {
	for i, v := range l.Steps {
		if v != nil && !finite(*v) {
			return fieldErr(fmt.Sprintf("labels.steps[%d]", i), "%v is not a finite number", *v)
		}
	}
	if l.Trajectory != nil && !finite(*l.Trajectory) {
		return fieldErr("labels.trajectory", "%v is not a finite number", *l.Trajectory)
	}
	for i, v := range l.Weights {
		if v != nil && !(finite(*v) && *v >= 0) {
			return fieldErr(fmt.Sprintf("labels.weights[%d]", i), "%v is not a finite number of at least 0", *v)
		}
	}
	if v := l.TrajectoryWeight; v != nil && !(finite(*v) && *v >= 0) {
		return fieldErr("labels.trajectory_weight", "%v is not a finite number of at least 0", *v)
	}
	return nil
}

// fit checks that labels and weights do not outnumber the steps.
func (l *Labels) fit(steps int) error {
	if len(l.Steps) > steps {
		return fieldErr("labels.steps", "%d labels for %d steps", len(l.Steps), steps)
	}
	if len(l.Weights) > steps {
		return fieldErr("labels.weights", "%d weights for %d steps", len(l.Weights), steps)
	}
	return nil
}

// step returns target and weight of step i; ok tells whether the step is labelled.
func (l *Labels) step(i int) (target, weight float64, ok bool) {
	weight = 1
	if i < len(l.Weights) && l.Weights[i] != nil {
		weight = *l.Weights[i]
	}
	if i >= len(l.Steps) || l.Steps[i] == nil {
		return 0, weight, false
	}
	return *l.Steps[i], weight, true
}

// final returns target and weight of the trajectory; ok tells whether it is labelled.
func (l *Labels) final() (target, weight float64, ok bool) {
	weight = 1
	if l.TrajectoryWeight != nil {
		weight = *l.TrajectoryWeight
	}
	if l.Trajectory == nil {
		return 0, weight, false
	}
	return *l.Trajectory, weight, true
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// ProblemKey identifies a problem whatever its white space.
type ProblemKey [16]byte

// KeyOf is the first half of the SHA-256 of the problem with every run of white space made one space.
func KeyOf(problem string) ProblemKey {
	sum := sha256.Sum256([]byte(strings.Join(strings.Fields(problem), " ")))
	return ProblemKey(sum[:16])
}

// rowFields are the top-level fields of a trajectory's JSON form.
var rowFields = []string{"id", "problem", "thinking", "response", "steps", "response_steps", "labels", "source", "answer", "meta"}

// UnmarshalJSON reads the JSON form. Fields that it does not know go into Meta under their own name, with "_" appended
// where Meta has that name already. Wrong types, invalid UTF-8 and lone surrogate escapes are errors (*FieldError where a field is to
// blame).
func (t *Trajectory) UnmarshalJSON(b []byte) error {
	row, err := parseObject(b)
	if err != nil {
		return err
	}
	got, err := trajectoryOf(row)
	if err != nil {
		return err
	}
	got.Where = t.Where
	*t = *got
	return nil
}

func trajectoryOf(row map[string]json.RawMessage) (*Trajectory, error) {
	t := &Trajectory{}
	var labels map[string]json.RawMessage
	for _, f := range []struct {
		name string
		into any
	}{
		{"id", &t.ID}, {"problem", &t.Problem}, {"thinking", &t.Thinking}, {"response", &t.Response},
		{"steps", &t.Steps}, {"response_steps", &t.ResponseSteps}, {"labels", &labels},
		{"source", &t.Source}, {"answer", &t.Answer}, {"meta", &t.Meta},
	} {
		if err := take(row, "", f.name, f.into); err != nil {
			return nil, err
		}
	}
	for _, f := range []struct {
		name string
		into any
	}{
		{"steps", &t.Labels.Steps}, {"trajectory", &t.Labels.Trajectory},
		{"weights", &t.Labels.Weights}, {"trajectory_weight", &t.Labels.TrajectoryWeight},
	} {
		if err := take(labels, "labels.", f.name, f.into); err != nil {
			return nil, err
		}
		delete(labels, f.name)
	}
	if len(labels) > 0 {
		t.Labels.Extra = labels
	}
	t.addMeta(row, rowFields)
	return t, nil
}

// addMeta puts the row's fields, save the known ones, into Meta.
func (t *Trajectory) addMeta(row map[string]json.RawMessage, known []string) {
	for _, name := range slices.Sorted(maps.Keys(row)) {
		if slices.Contains(known, name) {
			continue
		}
		if t.Meta == nil {
			t.Meta = map[string]json.RawMessage{}
		}
		key := name
		for _, taken := t.Meta[key]; taken; _, taken = t.Meta[key] {
			key += "_"
		}
		t.Meta[key] = row[name]
	}
}

// take decodes row[name] into a pointer, leaving it alone when the field is missing or null.
func take(row map[string]json.RawMessage, prefix, name string, into any) error {
	raw, ok := row[name]
	if !ok || string(raw) == "null" {
		return nil
	}
	if texts, ok := into.(*[]string); ok {
		return takeTexts(raw, prefix+name, texts)
	}
	err := json.Unmarshal(raw, into)
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		field := prefix + name
		if wrong.Field != "" {
			field += "." + wrong.Field
		}
		return fieldErr(field, "%s where %s is expected", wrong.Value, jsonName(into))
	}
	if err != nil {
		return &FieldError{Field: prefix + name, Err: err}
	}
	return nil
}

// takeTexts refuses null among the strings, which encoding/json would turn into "".
func takeTexts(raw json.RawMessage, field string, into *[]string) error {
	var texts []*string
	if err := json.Unmarshal(raw, &texts); err != nil {
		return fieldErr(field, "not a list of strings")
	}
	list := make([]string, len(texts))
	for i, s := range texts {
		if s == nil {
			return fieldErr(fmt.Sprintf("%s[%d]", field, i), "null where a string is expected")
		}
		list[i] = *s
	}
	*into = list
	return nil
}

func jsonName(into any) string {
	switch into.(type) {
	case *string:
		return "a string"
	case *[]*float64:
		return "a list of numbers"
	case **float64:
		return "a number"
	case *int:
		return "an integer"
	case *[]int:
		return "a list of integers"
	}
	return "an object"
}
