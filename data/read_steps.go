package data

import (
	"encoding/json"
	"fmt"
	"maps"
)

// The data sets of judged steps. Their solutions are responses.

// rating makes a target of a PRM800K rating: 1 good, 0 neutral, -1 bad become 1, 0.5 and 0; none leaves the step unlabelled.
func rating(v *float64, field string) (*float64, error) {
	if v == nil {
		return nil, nil
	}
	if *v != -1 && *v != 0 && *v != 1 {
		return nil, fieldErr(field, "%v is none of 1, 0, -1", *v)
	}
	return Float((*v + 1) / 2), nil
}

// readPRM800KStep reads a flat PRM800K row: the steps so far, and one more that the rating is about.
func readPRM800KStep(r row) (*Trajectory, error) {
	if err := need(r, "PRM800K step", "instruction", "next_response"); err != nil {
		return nil, err
	}
	t := &Trajectory{Source: "prm800k"}
	var next string
	var given *float64
	if err := takeAll(r, "", field{"instruction", &t.Problem}, field{"responses", &t.ResponseSteps}, field{"next_response", &next},
		field{"rating", &given}); err != nil {
		return nil, err
	}
	t.ResponseSteps = append(t.ResponseSteps, next)
	label, err := rating(given, "rating")
	if err != nil {
		return nil, err
	}
	if label != nil {
		t.Labels.Steps = make([]*float64, len(t.ResponseSteps))
		t.Labels.Steps[len(t.ResponseSteps)-1] = label
	}
	t.addMeta(r, []string{"instruction", "responses", "next_response", "rating"})
	return t, nil
}

// completion is one of the candidates for a step in PRM800K.
type completion struct {
	Text   *string
	Rating *float64
}

// readPRM800K reads a row of PRM800K as OpenAI published it. The chosen completions (the human's where one was written) are one
// trajectory; each completion that was not chosen is another, which ends with it and is labelled there alone, so that each
// rating counts once. A branch is named by its step and completion, from 0.
func readPRM800K(r row) ([]part, error) {
	if err := need(r, "PRM800K", "question", "label"); err != nil {
		return nil, err
	}
	var question, label row
	if err := takeAll(r, "", field{"question", &question}, field{"label", &label}); err != nil {
		return nil, err
	}
	if need(question, "", "problem") != nil {
		return nil, fieldErr("question.problem", "missing")
	}
	main := Trajectory{Source: "prm800k"}
	if err := takeAll(question, "question.", field{"problem", &main.Problem}, field{"ground_truth_answer", &main.Answer}); err != nil {
		return nil, err
	}
	delete(question, "problem")
	delete(question, "ground_truth_answer")
	main.addMeta(question, nil)
	main.addMeta(r, []string{"question", "label"})
	main.addMeta(label, []string{"steps"})
	var steps []struct {
		Completions []completion
		Human       *completion `json:"human_completion"`
		Chosen      *int        `json:"chosen_completion"`
	}
	if err := json.Unmarshal(label["steps"], &steps); err != nil {
		return nil, fieldErr("label.steps", "not a list of steps with completions: %v", err)
	}
	var branches []part
	for i, s := range steps {
		chosen := s.Human
		where := fmt.Sprintf("label.steps[%d].human_completion", i)
		if s.Chosen != nil {
			if *s.Chosen < 0 || *s.Chosen >= len(s.Completions) {
				return nil, fieldErr(fmt.Sprintf("label.steps[%d].chosen_completion", i), "%d of %d completions", *s.Chosen, len(s.Completions))
			}
			chosen, where = &s.Completions[*s.Chosen], fmt.Sprintf("label.steps[%d].completions[%d]", i, *s.Chosen)
		}
		for j := range s.Completions {
			if s.Chosen != nil && j == *s.Chosen {
				continue
			}
			branch := main
			branch.Meta = maps.Clone(main.Meta)
			branch.ResponseSteps = append([]string{}, main.ResponseSteps...)
			branch.Labels.Steps = make([]*float64, len(main.ResponseSteps))
			if err := branch.addStep(&s.Completions[j], fmt.Sprintf("label.steps[%d].completions[%d]", i, j)); err != nil {
				return nil, err
			}
			branches = append(branches, part{&branch, fmt.Sprintf("%d.%d", i, j)})
		}
		if chosen == nil {
			if i < len(steps)-1 {
				return nil, fieldErr(fmt.Sprintf("label.steps[%d]", i), "nothing was chosen, yet more steps follow")
			}
			break
		}
		if err := main.addStep(chosen, where); err != nil {
			return nil, err
		}
	}
	if len(main.ResponseSteps) > 0 {
		branches = append([]part{{&main, ""}}, branches...)
	}
	if len(branches) == 0 {
		return nil, fieldErr("label.steps", "no step in it")
	}
	return branches, nil
}

func (t *Trajectory) addStep(c *completion, where string) error {
	if c.Text == nil {
		return fieldErr(where+".text", "missing")
	}
	label, err := rating(c.Rating, where+".rating")
	t.ResponseSteps = append(t.ResponseSteps, *c.Text)
	t.Labels.Steps = append(t.Labels.Steps, label)
	return err
}

// readProcessBench reads a row of ProcessBench. Its label is the index of the first wrong step, -1 if all are right: the steps
// before it get 1, it gets 0, and those after it, which nobody judged, no label.
func readProcessBench(r row) (*Trajectory, error) {
	if err := need(r, "ProcessBench", "problem", "steps", "label"); err != nil {
		return nil, err
	}
	t := &Trajectory{Source: "processbench"}
	var first int
	if err := takeID(r, "id", &t.ID); err != nil {
		return nil, err
	}
	if err := takeAll(r, "", field{"problem", &t.Problem}, field{"steps", &t.ResponseSteps}, field{"label", &first}); err != nil {
		return nil, err
	}
	if first < -1 || first >= len(t.ResponseSteps) {
		return nil, fieldErr("label", "%d is neither -1 nor the index of one of %d steps", first, len(t.ResponseSteps))
	}
	for i := range t.ResponseSteps {
		if i == first {
			t.Labels.Steps = append(t.Labels.Steps, Float(0))
			break
		}
		t.Labels.Steps = append(t.Labels.Steps, Float(1))
	}
	t.addMeta(r, []string{"id", "problem", "steps", "label"})
	return t, nil
}

// readPRMBench reads a row of PRMBench: the modified process, in which the error steps (from 1) get 0 and all others 1. A few
// published rows name steps beyond the last; there is nothing to label there, and a row whose error steps all lie there, which would
// become all right, is refused. The original process and error_steps stay in Meta.
func readPRMBench(r row) (*Trajectory, error) {
	t, outside, err := prmBenchRow(r)
	if err == nil && outside != nil {
		return nil, fieldErr("error_steps", "%v, all beyond the last of %d steps, so the row would be labelled as all right", outside,
			len(t.ResponseSteps))
	}
	return t, err
}

// prmBenchRow also gives the error steps where all of them lie beyond the last step.
func prmBenchRow(r row) (t *Trajectory, outside []int, err error) {
	if err := need(r, "PRMBench", "modified_question", "modified_process", "error_steps"); err != nil {
		return nil, nil, err
	}
	t = &Trajectory{Source: "prmbench"}
	var wrong []int
	if err := takeID(r, "idx", &t.ID); err != nil {
		return nil, nil, err
	}
	if err := takeAll(r, "", field{"modified_question", &t.Problem}, field{"modified_process", &t.ResponseSteps},
		field{"error_steps", &wrong}); err != nil {
		return nil, nil, err
	}
	for range t.ResponseSteps {
		t.Labels.Steps = append(t.Labels.Steps, Float(1))
	}
	inside := 0
	for i, step := range wrong {
		switch {
		case step < 1:
			return nil, nil, fieldErr(fmt.Sprintf("error_steps[%d]", i), "%d is no step: they count from 1", step)
		case step <= len(t.ResponseSteps):
			*t.Labels.Steps[step-1] = 0
			inside++
		}
	}
	if len(wrong) > 0 && inside == 0 {
		outside = wrong
	}
	t.addMeta(r, []string{"idx", "modified_question", "modified_process"})
	return t, outside, nil
}
