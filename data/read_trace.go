package data

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
)

// traceColumns are the columns of a question with what a model wrote, by the names that published data sets use.
type traceColumns struct{ problem, thinking, response string }

var (
	questionColumns = []string{"question", "problem", "query", "instruction", "prompt", "input"}
	thinkingColumns = []string{"thinking", "reasoning", "reasoning_content", "chain_of_thought", "cot"}
	responseColumns = []string{"response", "completion", "output", "generation", "generated_text", "solution", "answer", "content"}
)

// columnsOf finds a trace's columns in a file's first row. An answer beside a problem, without thinking, is the gold answer: so this
// package's own rows have it. What the first row lacks later rows may have, by the usual name.
func columnsOf(r row) (c traceColumns, ok bool) {
	c = traceColumns{firstOf(r, questionColumns...), firstOf(r, thinkingColumns...), firstOf(r, responseColumns...)}
	gold := c.problem == "problem" && c.response == "answer" && c.thinking == ""
	ok = c.problem != "" && (c.thinking != "" || c.response != "") && !gold
	c.thinking, c.response = cmp.Or(c.thinking, "thinking"), cmp.Or(c.response, "response")
	return c, ok
}

// firstOf is the first of the names that the row has, "" if it has none.
func firstOf(r row, names ...string) string {
	for _, name := range names {
		if _, ok := r[name]; ok {
			return name
		}
	}
	return ""
}

// traceReader reads rows whose columns are those of a file's first row.
func traceReader(first row) func(row) (*Trajectory, error) {
	c, _ := columnsOf(first)
	return func(r row) (*Trajectory, error) { return readTrace(r, c) }
}

// readTrace reads a question with the thinking and the response of a model in columns of their own, or in one response with
// the marks of thinking. Question and response may each be a list of turns, as TRL's conversational data sets have them. Options of a
// multiple choice are part of the problem, since the question alone cannot be answered, and so is the input of an instruction. Chunks
// with their accuracy, as Thought Anchors publishes them, are steps with labels.
func readTrace(r row, c traceColumns) (*Trajectory, error) {
	if err := need(r, "trace", c.problem); err != nil {
		return nil, err
	}
	t := &Trajectory{}
	known, err := t.takeNames(r)
	if err != nil {
		return nil, err
	}
	if c.response == "answer" {
		t.Answer = ""
	}
	if err := takeID(r, "gold", &t.Answer); err != nil {
		return nil, err
	}
	x := exchange{}
	if err := x.takeColumn(r, c.problem, userTurn); err != nil {
		return nil, err
	}
	if err := x.takeColumn(r, c.response, assistantTurn); err != nil {
		return nil, err
	}
	if err := take(r, "", c.thinking, &x.thinking); err != nil {
		return nil, err
	}
	if err := x.askedWith(r, c); err != nil {
		return nil, err
	}
	if err := x.put(t, c.response); err != nil {
		return nil, err
	}
	if err := t.addChunks(r["chunks"]); err != nil {
		return nil, err
	}
	known = append(known, "options", "gold", c.problem, c.thinking, c.response)
	if c.problem == "instruction" {
		known = append(known, "input")
	}
	t.addMeta(r, known)
	return t, t.needText(c.thinking, c.response)
}

// takeColumn takes a column that is one speaker's text, or a list of turns that ends with that speaker's.
func (x *exchange) takeColumn(r row, column string, who speaker) error {
	if raw := r[column]; len(raw) > 0 && raw[0] == '[' {
		if err := x.add(r, column); err != nil {
			return err
		}
		if x.last != who {
			return fieldErr(column, "its last turn is not the %s's", who)
		}
		return nil
	}
	x.last = who
	return take(r, "", column, x.turn(who))
}

// askedWith appends what the question refers to.
func (x *exchange) askedWith(r row, c traceColumns) error {
	var input string
	var options []string
	if c.problem == "instruction" {
		if err := take(r, "", "input", &input); err != nil {
			return err
		}
	}
	if err := take(r, "", "options", &options); err != nil {
		return err
	}
	if len(options) > 26 {
		return fieldErr("options", "%d, at most 26 have a letter", len(options))
	}
	var problem strings.Builder
	problem.WriteString(x.user)
	if input != "" {
		problem.WriteString("\n\n" + input)
	}
	for i, o := range options {
		if i == 0 {
			problem.WriteByte('\n')
		}
		fmt.Fprintf(&problem, "\n%c. %s", 'A'+i, o)
	}
	x.user = problem.String()
	return nil
}

// addChunks makes steps of the chunks of a Thought Anchors trace. A chunk's accuracy is that of answers resampled from
// before the chunk (the next one's less its own is what the data calls the chunk's importance), so the value of having taken a
// step is the next chunk's accuracy, and the last step has none.
func (t *Trajectory) addChunks(raw json.RawMessage) error {
	if raw == nil || string(raw) == "null" {
		return nil
	}
	var chunks []struct {
		Chunk    *string
		Accuracy *float64
	}
	if err := json.Unmarshal(raw, &chunks); err != nil {
		return fieldErr("chunks", "not a list of objects with chunk, a text, and accuracy, a number")
	}
	t.Labels.Steps = make([]*float64, len(chunks))
	for i, c := range chunks {
		if c.Chunk == nil {
			return fieldErr(fmt.Sprintf("chunks[%d].chunk", i), "missing")
		}
		t.Steps = append(t.Steps, *c.Chunk)
		if i > 0 {
			t.Labels.Steps[i-1] = c.Accuracy
		}
	}
	return nil
}
