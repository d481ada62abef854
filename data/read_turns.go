package data

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// speaker is whose turn of a conversation it is.
type speaker int

// The speakers, in the order of their turns.
const (
	nobody speaker = iota
	systemTurn
	userTurn
	assistantTurn
)

func (s speaker) String() string { return [...]string{"nobody", "system", "user", "assistant"}[s] }

// speakerOf knows OpenAI's roles and ShareGPT's.
func speakerOf(role string) speaker {
	switch role {
	case "system", "developer":
		return systemTurn
	case "user", "human":
		return userTurn
	case "assistant", "gpt", "model":
		return assistantTurn
	}
	return nobody
}

// exchange is a conversation of one question and one answer, perhaps behind a system's turn.
type exchange struct {
	system, user, text, thinking string // thinking: where it has a field of its own
	last                         speaker
}

// turn is where a speaker's text goes.
func (x *exchange) turn(of speaker) *string {
	return [...]*string{systemTurn: &x.system, userTurn: &x.user, assistantTurn: &x.text}[of]
}

// add reads a list of turns. A turn has role and content, or from and value.
func (x *exchange) add(r row, column string) error {
	var turns []row
	if err := json.Unmarshal(r[column], &turns); err != nil {
		return fieldErr(column, "not a list of objects with role and content, or from and value")
	}
	for i, turn := range turns {
		if err := x.addTurn(turn, fmt.Sprintf("%s[%d].", column, i)); err != nil {
			return err
		}
	}
	return nil
}

func (x *exchange) addTurn(turn row, prefix string) error {
	roleName, contentName := "role", "content"
	if _, ok := turn["from"]; ok {
		roleName, contentName = "from", "value"
	}
	var role string
	if err := take(turn, prefix, roleName, &role); err != nil {
		return err
	}
	who := speakerOf(role)
	switch {
	case who == nobody:
		return fieldErr(prefix+roleName, "%q is none of system, user, assistant", clip(role, 40))
	case who <= x.last:
		return fieldErr(prefix+roleName, "a further turn of %s: a trajectory is one question and one answer, perhaps behind a system's turn",
			role)
	}
	content, thinking, err := contentOf(turn, prefix, contentName)
	if err != nil {
		return err
	}
	if thinking != "" && who != assistantTurn {
		return fieldErr(prefix+roleName, "thinking in a turn of %s", role)
	}
	*x.turn(who) = content
	x.thinking, x.last = thinking, who
	return nil
}

// thinkingFields are where servers of models put thinking that they have cut from the content.
var thinkingFields = []string{"reasoning_content", "reasoning", "thinking"}

// contentOf is a turn's text, and its thinking where that has a field or parts of its own.
func contentOf(turn row, prefix, name string) (content, thinking string, err error) {
	for _, calls := range []string{"tool_calls", "function_call"} {
		if raw := string(turn[calls]); !slices.Contains([]string{"", "null", "[]"}, raw) {
			return "", "", fieldErr(prefix+calls, "calls of tools are not read: a trajectory is one question and one answer")
		}
	}
	for _, field := range thinkingFields {
		if thinking == "" {
			if err := take(turn, prefix, field, &thinking); err != nil {
				return "", "", err
			}
		}
	}
	if raw := turn[name]; len(raw) == 0 || raw[0] != '[' {
		return content, thinking, take(turn, prefix, name, &content)
	}
	var parts []row
	if json.Unmarshal(turn[name], &parts) != nil {
		return "", "", fieldErr(prefix+name, "neither a text nor a list of objects with type and text")
	}
	for i, part := range parts {
		var kind, text string
		place := fmt.Sprintf("%s%s[%d].", prefix, name, i)
		if err := take(part, place, "type", &kind); err != nil {
			return "", "", err
		}
		into, field := &content, "text"
		switch kind {
		case "text", "input_text", "output_text":
		case "thinking":
			into, field = &thinking, "thinking"
		case "reasoning":
			into = &thinking
		default:
			return "", "", fieldErr(place+"type", "%q: only texts and thinking are read", clip(kind, 40))
		}
		if err := take(part, place, field, &text); err != nil {
			return "", "", err
		}
		*into += text
	}
	return content, thinking, nil
}

// put makes a trajectory's texts of the exchange; column is where the answer came from.
func (x *exchange) put(t *Trajectory, column string) error {
	if x.last != assistantTurn || x.user == "" {
		return fieldErr(column, "a user's turn and then the assistant's are needed")
	}
	t.Problem = x.user
	if err := t.setAnswer(x.thinking, x.text, column); err != nil {
		return err
	}
	if x.system == "" {
		return nil
	}
	return t.setMeta("system", x.system)
}

// setAnswer sets thinking and response from a text, and from thinking that may have a place of its own.
func (t *Trajectory) setAnswer(thinking, text, column string) error {
	t.setText(text)
	if strings.TrimSpace(thinking) == "" {
		return nil
	}
	if t.Thinking != "" {
		return fieldErr(column, "thinking both in a field of its own and between marks in the text")
	}
	t.Thinking = thinking
	return nil
}

// readTurns reads a conversation of one of the columns: OpenAI's messages, as prm select --to chat writes them, ShareGPT's conversations
// and OpenThoughts'. A system's turn is kept in Meta. Nothing in the row tells whose data it is, so the source is what a column of that
// name says.
func readTurns(kind, column string) func(row) (*Trajectory, error) {
	return func(r row) (*Trajectory, error) {
		if err := need(r, kind, column); err != nil {
			return nil, err
		}
		t, x := &Trajectory{}, exchange{}
		known, err := t.takeNames(r)
		if err != nil {
			return nil, err
		}
		if err := x.add(r, column); err != nil {
			return nil, err
		}
		if err := x.put(t, column); err != nil {
			return nil, err
		}
		t.addMeta(r, append(known, column))
		return t, t.needText(column)
	}
}

// takeNames takes the columns that stand beside a trajectory's texts, and returns their names. An answer that is neither a text nor a
// number is left to Meta.
func (t *Trajectory) takeNames(r row) (known []string, err error) {
	if err := takeID(r, "id", &t.ID); err != nil {
		return nil, err
	}
	known = []string{"id", "source"}
	if raw := r["answer"]; len(raw) > 0 && strings.IndexByte(`"-0123456789`, raw[0]) >= 0 {
		if err := takeID(r, "answer", &t.Answer); err != nil {
			return nil, err
		}
		known = append(known, "answer")
	}
	return known, take(r, "", "source", &t.Source)
}
