package data

import (
	"encoding/json"
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

// needText refuses a trajectory without any step; the fields are where they should come from.
func (t *Trajectory) needText(fields ...string) error {
	if t.Thinking == "" && t.Response == "" && len(t.Steps) == 0 && len(t.ResponseSteps) == 0 {
		return fieldErr(strings.Join(fields, ", "), "neither thinking nor a response")
	}
	return nil
}
