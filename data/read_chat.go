package data

import (
	"encoding/json"
	"fmt"
)

func (t *Trajectory) setMeta(name string, value any) error {
	raw, err := json.Marshal(value)
	if err != nil {
		return err
	}
	if t.Meta == nil {
		t.Meta = map[string]json.RawMessage{}
	}
	t.Meta[name] = raw
	return nil
}

// openR1Lists are the columns of OpenR1-Math-220k that have a value for each generation.
var openR1Lists = []string{"is_reasoning_complete", "correctness_math_verify", "correctness_llama", "finish_reasons"}

// readOpenR1 reads a row of open-r1/OpenR1-Math-220k: a trajectory a generation, incomplete ones too, each with its own values of the
// lists in Meta. Their correctness is what another program found: it is no label. The column messages repeats the problem and a
// generation, and is left out.
func readOpenR1(r row) ([]part, error) {
	if err := need(r, "OpenR1-Math", "problem", "generations"); err != nil {
		return nil, err
	}
	var problem, answer, id string
	var generations []string
	if err := takeID(r, "uuid", &id); err != nil {
		return nil, err
	}
	if err := takeAll(r, "", field{"problem", &problem}, field{"answer", &answer}, field{"generations", &generations}); err != nil {
		return nil, err
	}
	if len(generations) == 0 {
		return nil, fieldErr("generations", "empty")
	}
	lists := map[string][]json.RawMessage{}
	for _, name := range openR1Lists {
		var list []json.RawMessage
		if err := take(r, "", name, &list); err != nil {
			return nil, err
		}
		if list != nil && len(list) != len(generations) {
			return nil, fieldErr(name, "%d values for %d generations", len(list), len(generations))
		}
		lists[name] = list
	}
	parts := make([]part, len(generations))
	for i, text := range generations {
		t := &Trajectory{ID: id, Problem: problem, Answer: answer, Source: "openr1-math"}
		t.setText(text)
		t.addMeta(r, append([]string{"uuid", "problem", "answer", "generations", "messages"}, openR1Lists...))
		for name, list := range lists {
			if list != nil && string(list[i]) != "null" {
				if err := t.setMeta(name, list[i]); err != nil {
					return nil, err
				}
			}
		}
		if err := t.needText(fmt.Sprintf("generations[%d]", i)); err != nil {
			return nil, err
		}
		parts[i] = part{t, fmt.Sprint(i)}
	}
	return parts, nil
}
