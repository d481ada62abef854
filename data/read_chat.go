package data

import (
	"encoding/json"
	"fmt"
	"strings"
)

// readMessages reads a conversation in OpenAI's form, as prm select --to chat writes it: a user's turn and the assistant's, with the
// marks of thinking, perhaps behind a system's turn, which is kept in Meta. Nothing in the row tells whose data it is, so the source is
// what a column of that name says.
func readMessages(r row) (*Trajectory, error) {
	if err := need(r, "messages", "messages"); err != nil {
		return nil, err
	}
	var turns []map[string]json.RawMessage
	if err := json.Unmarshal(r["messages"], &turns); err != nil {
		return nil, fieldErr("messages", "not a list of objects with role and content")
	}
	t := &Trajectory{}
	if err := takeID(r, "id", &t.ID); err != nil {
		return nil, err
	}
	if err := takeID(r, "answer", &t.Answer); err != nil {
		return nil, err
	}
	if err := take(r, "", "source", &t.Source); err != nil {
		return nil, err
	}
	order := []string{"system", "user", "assistant"}
	var text, system string
	next := 0
	for i, turn := range turns {
		var role, content string
		prefix := fmt.Sprintf("messages[%d].", i)
		if err := takeAll(turn, prefix, field{"role", &role}, field{"content", &content}); err != nil {
			return nil, err
		}
		at := -1
		for k, name := range order {
			if role == name || role == "developer" && name == "system" {
				at = k
			}
		}
		switch {
		case at < 0:
			return nil, fieldErr(prefix+"role", "%q is none of %s", clip(role, 40), strings.Join(order, ", "))
		case at < next:
			return nil, fieldErr(prefix+"role", "a further turn of %s: a trajectory is one question and one answer", role)
		}
		next = at + 1
		*[]*string{&system, &t.Problem, &text}[at] = content
	}
	if next != len(order) || t.Problem == "" {
		return nil, fieldErr("messages", "a user's turn and then the assistant's are needed")
	}
	t.setText(text)
	if system != "" {
		if err := t.setMeta("system", system); err != nil {
			return nil, err
		}
	}
	t.addMeta(r, []string{"id", "source", "answer", "messages"})
	return t, t.needText("messages")
}

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
