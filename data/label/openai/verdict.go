package openai

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/goprm/goprm/internal/llm"
)

// aspects are the rubric: whole numbers from 0 to most.
var aspects = []string{"correctness", "coherence", "progress"}

const most = 10

// schemaOf is the schema of one verdict, or of a list of them for steps > 0. Grades are an enumeration, since not all servers
// honour minimum and maximum.
func schemaOf(reason bool, steps int) *llm.Schema {
	type object = map[string]any
	var grades [most + 1]int
	for i := range grades {
		grades[i] = i
	}
	properties, required := object{}, fieldsOf(reason)
	for _, name := range required {
		properties[name] = object{"type": "integer", "enum": grades}
	}
	if reason {
		properties["reason"] = object{"type": "string"}
	}
	schema := object{"type": "object", "properties": properties, "required": required, "additionalProperties": false}
	if steps > 0 {
		list := object{"type": "array", "items": schema, "minItems": steps, "maxItems": steps}
		schema = object{"type": "object", "properties": object{"steps": list}, "required": []string{"steps"}, "additionalProperties": false}
	}
	text, _ := json.Marshal(schema) // maps, strings and numbers
	return &llm.Schema{Name: "verdict", Strict: true, Schema: text}
}

// fieldsOf names the fields in the order they are asked for: reasons come before grades, so that they can inform them.
func fieldsOf(reason bool) []string {
	if reason {
		return append([]string{"reason"}, aspects...)
	}
	return aspects
}

// formOf describes the answer in the prompt, for servers that do not enforce the schema.
func formOf(reason, list bool) string {
	var parts []string
	for _, name := range fieldsOf(reason) {
		if name == "reason" {
			parts = append(parts, `"reason": "one or two sentences"`)
		} else {
			parts = append(parts, fmt.Sprintf("%q: 0", name))
		}
	}
	form := "{" + strings.Join(parts, ", ") + "}"
	if list {
		form = `{"steps": [` + form + `, …]}`
	}
	return form
}

// reading is what an answer says of one step, or of all.
type reading struct {
	scores []float64
	raw    []json.RawMessage // each verdict as it came, without what mended names
	mended []string
}

// readAnswer reads an answer's verdict, or with steps > 0 the list of them. What is wrapped around the JSON object is taken off
// where that leaves one reading; the object itself is read strictly.
func readAnswer(text string, reason bool, steps int) (r reading, err error) {
	body, mended := unwrap(text)
	extra := false
	if steps > 0 {
		r.scores, r.raw, extra, err = readVerdicts(body, reason, steps)
	} else {
		r.raw, r.scores = []json.RawMessage{json.RawMessage(body)}, make([]float64, 1)
		r.scores[0], extra, err = readVerdict(body, reason)
	}
	if err != nil {
		return reading{}, llm.Bad(err.Error(), text)
	}
	if r.mended = mended; extra {
		r.mended = append(r.mended, "a field that was not asked for")
	}
	return r, nil
}

// readVerdict maps an answer to the mean of its grades, divided by 10: [0,1], all aspects alike. extra tells of fields that were
// not asked for.
func readVerdict(text string, reason bool) (score float64, extra bool, err error) {
	fields, extra, err := readObject(text, fieldsOf(reason))
	if err != nil {
		return 0, false, err
	}
	sum := 0
	for _, name := range aspects {
		grade, err := readGrade(fields[name])
		if err != nil {
			return 0, false, fmt.Errorf("%s is not a whole number from 0 to %d", name, most)
		}
		sum += grade
	}
	if reason {
		var why *string
		if err := json.Unmarshal(fields["reason"], &why); err != nil || why == nil {
			return 0, false, errors.New("the reason is not a text")
		}
	}
	return float64(sum) / float64(most*len(aspects)), extra, nil
}

// readGrade takes 7 and 7.0, which mean the same, and nothing between.
func readGrade(raw json.RawMessage) (int, error) {
	var x *float64
	if err := json.Unmarshal(raw, &x); err != nil {
		return 0, err
	}
	if x == nil || !(*x >= 0 && *x <= most) || *x != float64(int(*x)) {
		return 0, fmt.Errorf("%s is not a grade", raw)
	}
	return int(*x), nil
}

// readVerdicts reads a list of verdicts for exactly so many steps, and returns each one's text too.
func readVerdicts(text string, reason bool, steps int) (scores []float64, raw []json.RawMessage, extra bool, err error) {
	fields, extra, err := readObject(text, []string{"steps"})
	if err != nil {
		return nil, nil, false, err
	}
	if err := json.Unmarshal(fields["steps"], &raw); err != nil {
		return nil, nil, false, errors.New("steps is not a list")
	}
	if len(raw) != steps {
		return nil, nil, false, errors.New("the answer has another number of steps than the trajectory")
	}
	if err := checkNumbers(raw); err != nil {
		return nil, nil, false, err
	}
	scores = make([]float64, steps)
	for i := range raw {
		var more bool
		if scores[i], more, err = readVerdict(string(raw[i]), reason); err != nil {
			return nil, nil, false, err
		}
		extra = extra || more
	}
	return scores, raw, extra, nil
}

var errNoObject = errors.New("the answer is not a JSON object")

// readObject reads a JSON object that has these fields once, with nothing before or after it; extra tells of others. encoding/json
// alone would take the last of two equal names, and names in any case.
func readObject(text string, names []string) (fields map[string]json.RawMessage, extra bool, err error) {
	d := json.NewDecoder(strings.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, false, errNoObject
	}
	fields = map[string]json.RawMessage{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, false, errNoObject
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, false, errNoObject
		}
		if _, twice := fields[name.(string)]; twice {
			return nil, false, errors.New("the answer holds a field twice")
		}
		fields[name.(string)] = bytes.Clone(value)
	}
	if _, err := d.Token(); err != nil {
		return nil, false, errors.New("the answer is not a whole JSON object")
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, false, errors.New("the answer holds more than a JSON object")
	}
	for _, name := range names {
		if _, ok := fields[name]; !ok {
			return nil, false, errors.New("the answer lacks the field " + name)
		}
	}
	for name := range fields {
		if !slices.Contains(names, name) && slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) }) {
			return nil, false, errors.New("the answer holds a field twice, in capitals and in small letters")
		}
	}
	return fields, len(fields) > len(names), nil
}
