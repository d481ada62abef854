package data

import (
	"encoding/json"
	"fmt"
	"strings"
)

// The data sets of long reasoning. Problems are kept as they are given: the user's text of OpenThoughts begins, for
// mathematics, with "Return your final response within \boxed{}. ". Worked solutions stay in Meta, under the names of
// their columns; an answer has to be extracted from them.

// readOpenThoughtsMetadata reads a row of OpenThoughts-114k, config metadata.
func readOpenThoughtsMetadata(r row) (*Trajectory, error) {
	if err := need(r, "OpenThoughts metadata", "problem"); err != nil {
		return nil, err
	}
	t := &Trajectory{Source: "openthoughts"}
	if err := takeAll(r, "", field{"problem", &t.Problem}, field{"deepseek_reasoning", &t.Thinking},
		field{"deepseek_solution", &t.Response}); err != nil {
		return nil, err
	}
	t.addMeta(r, []string{"problem", "deepseek_reasoning", "deepseek_solution"})
	return t, t.needText("deepseek_reasoning", "deepseek_solution")
}

// readConversation reads a row of OpenThoughts-114k, config default, or another of that form (ShareGPT's "human" and "gpt"
// too): a user's turn and the assistant's, with the marks of thinking. Nothing in the row tells whose data it is, so the source
// is what a column of that name says.
func readConversation(r row) (*Trajectory, error) {
	if err := need(r, "conversation", "conversations"); err != nil {
		return nil, err
	}
	var turns []map[string]json.RawMessage
	if err := json.Unmarshal(r["conversations"], &turns); err != nil {
		return nil, fieldErr("conversations", "not a list of objects with from and value")
	}
	t := &Trajectory{}
	if err := takeID(r, "id", &t.ID); err != nil {
		return nil, err
	}
	if err := take(r, "", "source", &t.Source); err != nil {
		return nil, err
	}
	text, users, assistants := "", 0, 0
	for i, turn := range turns {
		var from, value string
		prefix := fmt.Sprintf("conversations[%d].", i)
		if err := takeAll(turn, prefix, field{"from", &from}, field{"value", &value}); err != nil {
			return nil, err
		}
		switch from {
		case "user", "human":
			t.Problem = value
			users++
		case "assistant", "gpt":
			text = value
			assistants++
		default:
			return nil, fieldErr(prefix+"from", "%q is none of user, assistant", clip(from, 40))
		}
		if users < assistants {
			return nil, fieldErr(prefix+"from", "the assistant's turn comes before the user's")
		}
	}
	if users != 1 || assistants != 1 {
		return nil, fieldErr("conversations", "%d turns of the user and %d of the assistant, where one of each is a trajectory", users,
			assistants)
	}
	t.setText(text)
	t.addMeta(r, []string{"id", "source", "conversations"})
	return t, t.needText("conversations")
}

// readS1K reads a row of s1K or data_ablation_full59K. Several thinking trajectories are one thinking in that many steps:
// so s1's own code joins them.
func readS1K(r row) (*Trajectory, error) {
	if err := need(r, "s1K", "question", "thinking_trajectories"); err != nil {
		return nil, err
	}
	t := &Trajectory{Source: "s1k"}
	var thinking []string
	if err := takeAll(r, "", field{"question", &t.Problem}, field{"thinking_trajectories", &thinking},
		field{"attempt", &t.Response}); err != nil {
		return nil, err
	}
	if len(thinking) == 1 {
		t.Thinking = thinking[0]
	} else {
		t.Steps = thinking
	}
	t.addMeta(r, []string{"question", "thinking_trajectories", "attempt"})
	return t, t.needText("thinking_trajectories", "attempt")
}

// readS1K11 reads a row of s1K-1.1: a trajectory of Gemini's and one of DeepSeek-R1's, where the row has both, each with its
// own grade in Meta and the model's name there as "model".
func readS1K11(r row) ([]part, error) {
	if err := need(r, "s1K-1.1", "question"); err != nil {
		return nil, err
	}
	models := []string{"gemini", "deepseek"}
	fields := []string{"_thinking_trajectory", "_attempt", "_grade", "_grade_reason"}
	known := []string{"question"}
	for _, m := range models {
		for _, f := range fields {
			known = append(known, m+f)
		}
	}
	var parts []part
	for _, m := range models {
		t := &Trajectory{Source: "s1k-1.1"}
		if err := takeAll(r, "", field{"question", &t.Problem}, field{m + fields[0], &t.Thinking},
			field{m + fields[1], &t.Response}); err != nil {
			return nil, err
		}
		if t.Thinking == "" && t.Response == "" {
			continue
		}
		t.Meta = map[string]json.RawMessage{"model": json.RawMessage(`"` + m + `"`)}
		for _, f := range fields[2:] {
			if raw, ok := r[m+f]; ok {
				t.Meta[m+f] = raw
			}
		}
		t.addMeta(r, known)
		parts = append(parts, part{t, m})
	}
	if len(parts) == 0 {
		return nil, fieldErr("gemini_thinking_trajectory", "empty, and so are gemini_attempt, deepseek_thinking_trajectory and deepseek_attempt")
	}
	return parts, nil
}

// readTrace reads a question with the thinking and the response of a model in columns of their own, or in one response with
// the marks of thinking. Options of a multiple choice are part of the problem, since the question alone cannot be answered.
// Chunks with their accuracy, as Thought Anchors publishes them, are steps with labels.
func readTrace(r row) (*Trajectory, error) {
	if err := need(r, "trace", "question"); err != nil {
		return nil, err
	}
	t := &Trajectory{}
	var options []string
	if err := takeID(r, "id", &t.ID); err != nil {
		return nil, err
	}
	if err := takeAll(r, "", field{"question", &t.Problem}, field{"options", &options}, field{"thinking", &t.Thinking},
		field{"response", &t.Response}, field{"gold", &t.Answer}, field{"source", &t.Source}); err != nil {
		return nil, err
	}
	if len(options) > 26 {
		return nil, fieldErr("options", "%d, at most 26 have a letter", len(options))
	}
	var problem strings.Builder
	problem.WriteString(t.Problem)
	for i, o := range options {
		if i == 0 {
			problem.WriteByte('\n')
		}
		fmt.Fprintf(&problem, "\n%c. %s", 'A'+i, o)
	}
	t.Problem = problem.String()
	if t.Thinking == "" {
		t.setText(t.Response)
	}
	if err := t.addChunks(r["chunks"]); err != nil {
		return nil, err
	}
	t.addMeta(r, []string{"id", "question", "options", "thinking", "response", "gold", "source"})
	return t, t.needText("thinking", "response")
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

// needText refuses a trajectory without any step; the fields are where they should come from.
func (t *Trajectory) needText(fields ...string) error {
	if t.Thinking == "" && t.Response == "" && len(t.Steps) == 0 && len(t.ResponseSteps) == 0 {
		return fieldErr(strings.Join(fields, ", "), "neither thinking nor a response")
	}
	return nil
}
