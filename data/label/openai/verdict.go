package openai

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
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

// readVerdict maps an answer to the mean of its grades, divided by 10: [0,1], all aspects alike.
func readVerdict(text string, reason bool) (float64, error) {
	fields, err := readObject(text, fieldsOf(reason))
	if err != nil {
		return 0, err
	}
	sum := 0
	for _, name := range aspects {
		grade, err := readGrade(fields[name])
		if err != nil {
			return 0, llm.Bad(fmt.Sprintf("%s is not a whole number from 0 to %d", name, most), text)
		}
		sum += grade
	}
	if reason {
		var why *string
		if err := json.Unmarshal(fields["reason"], &why); err != nil || why == nil {
			return 0, llm.Bad("the reason is not a text", text)
		}
	}
	return float64(sum) / float64(most*len(aspects)), nil
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
func readVerdicts(text string, reason bool, steps int) (scores []float64, raw []json.RawMessage, err error) {
	fields, err := readObject(text, []string{"steps"})
	if err != nil {
		return nil, nil, err
	}
	if err := json.Unmarshal(fields["steps"], &raw); err != nil {
		return nil, nil, llm.Bad("steps is not a list", text)
	}
	if len(raw) != steps {
		return nil, nil, llm.Bad("the answer has another number of steps than the trajectory", text)
	}
	scores = make([]float64, steps)
	for i := range raw {
		if scores[i], err = readVerdict(string(raw[i]), reason); err != nil {
			return nil, nil, err
		}
	}
	return scores, raw, nil
}

// readObject reads a JSON object that has these fields once and no others, with nothing before or after it. encoding/json alone
// would take the last of two equal names, and names in any case.
func readObject(text string, names []string) (map[string]json.RawMessage, error) {
	d := json.NewDecoder(strings.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, llm.Bad("the answer is not a JSON object", text)
	}
	fields := map[string]json.RawMessage{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, llm.Bad("the answer is not a JSON object", text)
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, llm.Bad("the answer is not a JSON object", text)
		}
		if _, twice := fields[name.(string)]; twice {
			return nil, llm.Bad("the answer holds a field twice", text)
		}
		fields[name.(string)] = bytes.Clone(value)
	}
	if _, err := d.Token(); err != nil {
		return nil, llm.Bad("the answer is not a whole JSON object", text)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, llm.Bad("the answer holds more than a JSON object", text)
	}
	for _, name := range names {
		if _, ok := fields[name]; !ok {
			return nil, llm.Bad("the answer lacks the field "+name, text)
		}
	}
	if len(fields) != len(names) {
		return nil, llm.Bad("the answer holds a field that was not asked for", text)
	}
	return fields, nil
}
