package data

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
)

// shepherdMark ends each step in the input of Math-Shepherd, whose label has + or - in its place.
const shepherdMark = "ки"

// readMathShepherd reads a row of Math-Shepherd as published (peiyi9979/Math-Shepherd): input is the problem and the solution,
// "Step 1:" begins the solution, and label is the same text with + or - for the marks. In OpenRLHF's form the labels are a list,
// value, of "+", "-" or numbers. The steps keep their "Step 1:", which models trained on this text expect.
func readMathShepherd(r row) (*Trajectory, error) {
	if err := need(r, "Math-Shepherd", "input"); err != nil {
		return nil, err
	}
	t := &Trajectory{Source: "math-shepherd"}
	var input string
	if err := takeID(r, "id", &t.ID); err != nil {
		return nil, err
	}
	if err := take(r, "", "input", &input); err != nil {
		return nil, err
	}
	pieces := strings.Split(input, shepherdMark)
	last := len(pieces) - 1
	if strings.TrimSpace(pieces[last]) != "" {
		return nil, fieldErr("input", "%q after the last mark %s", clip(strings.TrimSpace(pieces[last]), 40), shepherdMark)
	}
	var err error
	if _, ok := r["value"]; ok {
		t.Labels.Steps, err = shepherdValues(r["value"], last)
	} else {
		t.Labels.Steps, err = shepherdLabels(r, pieces)
	}
	if err != nil {
		return nil, err
	}
	begin := strings.LastIndex(pieces[0], "Step 1:") // the question may speak of a step 1 too
	if begin < 0 {
		return nil, fieldErr("input", `no "Step 1:" before the first mark %s: where the problem ends is unknown`, shepherdMark)
	}
	t.Problem, pieces[0] = strings.TrimSpace(pieces[0][:begin]), pieces[0][begin:]
	for _, p := range pieces[:last] {
		t.ResponseSteps = append(t.ResponseSteps, strings.TrimSpace(p))
	}
	t.addMeta(r, []string{"id", "input", "label", "value"})
	return t, nil
}

// shepherdLabels are the signs that the field label has where the marks between the pieces are.
func shepherdLabels(r row, pieces []string) ([]*float64, error) {
	if err := need(r, "Math-Shepherd", "label"); err != nil {
		return nil, err
	}
	var text string
	if err := take(r, "", "label", &text); err != nil {
		return nil, err
	}
	var list []*float64
	for i, piece := range pieces[:len(pieces)-1] {
		rest, same := strings.CutPrefix(text, piece)
		if !same || rest == "" || rest[0] != '+' && rest[0] != '-' {
			return nil, fieldErr("label", "differs from input in step %d, or has neither + nor - at its end", i+1)
		}
		target := 0.0
		if rest[0] == '+' {
			target = 1
		}
		list, text = append(list, &target), rest[1:]
	}
	if rest := strings.TrimRightFunc(text, unicode.IsSpace); rest != "" {
		return nil, fieldErr("label", "%q after the last step of input", clip(rest, 40))
	}
	return list, nil
}

// shepherdValues are the labels of OpenRLHF's form: one for each mark, and null for none.
func shepherdValues(raw json.RawMessage, marks int) ([]*float64, error) {
	var values []json.RawMessage
	if err := json.Unmarshal(raw, &values); err != nil {
		return nil, fieldErr("value", "not a list")
	}
	if len(values) != marks {
		return nil, fieldErr("value", "%d labels for %d marks %s in input", len(values), marks, shepherdMark)
	}
	list := make([]*float64, len(values))
	for i, v := range values {
		switch string(v) {
		case "null":
		case `"+"`:
			list[i] = Float(1)
		case `"-"`:
			list[i] = Float(0)
		default:
			if err := json.Unmarshal(v, &list[i]); err != nil {
				return nil, fieldErr(fmt.Sprintf("value[%d]", i), `%s is none of "+", "-" and a number`, clip(string(v), 40))
			}
		}
	}
	return list, nil
}
