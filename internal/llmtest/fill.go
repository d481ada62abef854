package llmtest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
)

// Schema is the part of JSON schema that Fill understands.
type Schema struct {
	Type       string            `json:"type"`
	Properties map[string]Schema `json:"properties"`
	Required   []string          `json:"required"`
	Items      *Schema           `json:"items"`
	MinItems   int               `json:"minItems"`
	Enum       []any             `json:"enum"`
}

// Fill is an answer of the request's schema, or a judge's verdict on one step where it has none. What it says depends on the prompt, the
// seed and i alone.
func Fill(q *Chat, i int) string {
	seed := int64(0)
	if q.Seed != nil {
		seed = *q.Seed
	}
	schema := verdict
	if q.ResponseFormat != nil {
		schema = q.ResponseFormat.Schema.Schema
	}
	return schema.fill(hashed(q.Prompt(), seed, i))
}

// verdict is what a judge's prompt asks for in words, where no schema comes with it.
var verdict = func() Schema {
	grades := make([]any, 11)
	for i := range grades {
		grades[i] = i
	}
	grade := Schema{Enum: grades}
	names := []string{"correctness", "coherence", "progress"}
	return Schema{Type: "object", Required: names, Properties: map[string]Schema{names[0]: grade, names[1]: grade, names[2]: grade}}
}()

func (s Schema) fill(r *rand.Rand) string {
	switch {
	case len(s.Enum) > 0:
		text, _ := json.Marshal(s.Enum[r.IntN(len(s.Enum))])
		return string(text)
	case s.Type == "object":
		fields := make([]string, len(s.Required))
		for i, name := range s.Required {
			fields[i] = fmt.Sprintf("%q:%s", name, s.Properties[name].fill(r))
		}
		return "{" + strings.Join(fields, ",") + "}"
	case s.Type == "array":
		items := make([]string, s.MinItems)
		for i := range items {
			items[i] = s.Items.fill(r)
		}
		return "[" + strings.Join(items, ",") + "]"
	case s.Type == "string":
		return fmt.Sprintf(`"because of %d"`, r.IntN(1000))
	}
	return "null"
}

var (
	number   = regexp.MustCompile(`:\d+`)
	lastItem = regexp.MustCompile(`,\{[^{}]*\}\]`)
)

// spoil makes an answer wrong in one place.
func spoil(fault Fault, text string) string {
	at := number.FindStringIndex(text)
	if at == nil {
		return "not an answer"
	}
	value := text[at[0]+1 : at[1]]
	field := text[strings.LastIndexAny(text[:at[0]], "{,")+1 : at[1]]
	replace := func(old, new string) string { return strings.Replace(text, old, new, 1) }
	switch fault {
	case OutOfRange:
		return text[:at[0]] + ":11" + text[at[1]:]
	case NaN:
		return text[:at[0]] + ":NaN" + text[at[1]:]
	case Quoted:
		return text[:at[0]] + `:"` + value + `"` + text[at[1]:]
	case Doubled:
		return replace(field, field+","+field)
	case WrongSteps:
		if cut := lastItem.FindStringIndex(text); cut != nil {
			return text[:cut[0]] + "]" + text[cut[1]:]
		}
		return "[" + text + "," + text + "]"
	case Missing:
		return strings.Replace(replace(field+",", ""), field, "", 1)
	}
	return text
}
