package data

import (
	"fmt"
	"iter"
	"strings"
)

// SampledProblem is a problem with several answers to choose from.
type SampledProblem struct {
	ID      string
	Problem string
	Gold    string // the right answer; "" if unknown
	Samples []Sample
	Where   string // "file:line" of the row
}

// Sample is one answer, with what is known of it.
type Sample struct {
	Text  string
	Steps []string // Text in steps; none: the splitter cuts it
	// Pred is the final answer that was found in Text, in a form in which equal answers are equal texts; "" is none, nil unknown.
	Pred    *string
	Correct *bool // nil: unknown
	// Scores are those of the steps, Trajectory that of the whole; nil: none.
	Scores     []float64
	Trajectory *float64
}

// The names under which published files hold a problem, its gold answer and its id: goprm's own, MATH-500, AIME 2024 and
// 2025, GSM8K, GPQA, and the outputs of search-and-learn and of Qwen2.5-Math's evaluation, which keep the columns of their inputs.
var (
	problemNames = []string{"problem", "question", "Question"}
	goldNames    = []string{"answer", "gt", "Correct Answer"}
	idNames      = []string{"id", "unique_id", "problem_idx", "idx", "Record ID"}
)

// ReadSamples yields the problems of the paths with their samples, one by one. A row has its samples in one of three forms:
//
//	"samples": [{"text", "steps", "pred", "correct", "scores", "trajectory"}, ...], each field optional
//	"completions": [...], "scores": [[...], ...], "preds": [...]                          (search-and-learn)
//	"code": [...], "pred": [...], "score": [true, ...], "pred_score": [[...], ...]        (Qwen2.5-Math)
//
// Of a gold answer that GSM8K writes behind "####", that part is taken.
func ReadSamples(paths []string, opt ReadOptions) iter.Seq2[*SampledProblem, error] {
	return readProblems(paths, opt, sampledProblem)
}

// ReadProblems yields the problems of files that hold no samples, as MATH-500, AIME, GPQA and GSM8K are published.
func ReadProblems(paths []string, opt ReadOptions) iter.Seq2[*SampledProblem, error] {
	return readProblems(paths, opt, problemOf)
}

func readProblems(paths []string, opt ReadOptions, read func(*Row) (*SampledProblem, error)) iter.Seq2[*SampledProblem, error] {
	return func(yield func(*SampledProblem, error) bool) {
		for row, err := range Rows(paths, opt) {
			var p *SampledProblem
			if err == nil {
				p, err = read(row)
			}
			if err != nil {
				p = nil
			}
			if !yield(p, err) {
				return
			}
		}
	}
}

// problemOf reads what rows with and without samples have in common.
func problemOf(row *Row) (*SampledProblem, error) {
	p := &SampledProblem{Where: fmt.Sprintf("%s:%d", row.File, row.Line)}
	name := row.first(problemNames...)
	if name == "" {
		return nil, row.FailField(problemNames[0], "missing; a problem is expected under %s", alternatives(problemNames))
	}
	if err := row.Take(name, &p.Problem); err != nil {
		return nil, err
	}
	if name := row.first(goldNames...); name != "" {
		if err := row.TakeText(name, &p.Gold); err != nil {
			return nil, err
		}
	}
	if i := strings.LastIndex(p.Gold, "####"); i >= 0 {
		p.Gold = p.Gold[i+len("####"):]
	}
	p.Gold = strings.TrimSpace(p.Gold)
	p.ID = row.DefaultID()
	if name := row.first(idNames...); name != "" {
		if err := row.TakeText(name, &p.ID); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func sampledProblem(row *Row) (*SampledProblem, error) {
	p, err := problemOf(row)
	if err != nil {
		return nil, err
	}
	field := row.first("samples", "completions", "code")
	switch field {
	case "samples":
		err = p.takeObjects(row)
	case "completions":
		err = p.takeColumns(row, columns{text: field, scores: "scores", preds: "preds"})
	case "code":
		err = p.takeColumns(row, columns{text: field, scores: "pred_score", preds: "pred", correct: "score"})
	default:
		return nil, row.FailField("samples", "missing; samples are expected under samples, completions (search-and-learn) or code (Qwen2.5-Math)")
	}
	if err == nil && len(p.Samples) == 0 {
		err = row.FailField(field, "no samples")
	}
	return p, err
}

func (p *SampledProblem) takeObjects(row *Row) error {
	rows, err := row.Objects("samples")
	if err != nil {
		return err
	}
	for _, r := range rows {
		var s Sample
		for _, f := range []struct {
			name string
			into any
		}{{"text", &s.Text}, {"steps", &s.Steps}, {"pred", &s.Pred}, {"correct", &s.Correct}, {"trajectory", &s.Trajectory}} {
			if err := r.Take(f.name, f.into); err != nil {
				return err
			}
		}
		if s.Scores, err = r.Numbers("scores"); err != nil {
			return err
		}
		p.Samples = append(p.Samples, s)
	}
	return nil
}

// columns names the lists in which a row holds its samples, one entry each; correct may be "".
type columns struct{ text, scores, preds, correct string }

func (p *SampledProblem) takeColumns(row *Row, names columns) error {
	var texts, preds []string
	var correct []*bool
	var scores [][]*float64
	for _, f := range []struct {
		name string
		into any
	}{{names.text, &texts}, {names.preds, &preds}, {names.correct, &correct}, {names.scores, &scores}} {
		if err := row.Take(f.name, f.into); err != nil {
			return err
		}
	}
	for _, f := range []struct {
		name string
		n    int
	}{{names.preds, len(preds)}, {names.correct, len(correct)}, {names.scores, len(scores)}} {
		if row.Has(f.name) && f.n != len(texts) {
			return row.FailField(f.name, "%d entries for the %d of %s", f.n, len(texts), names.text)
		}
	}
	for i, text := range texts {
		s := Sample{Text: text}
		if len(preds) > 0 {
			s.Pred = &preds[i]
		}
		if len(correct) > 0 {
			if s.Correct = correct[i]; s.Correct == nil {
				return row.FailField(fmt.Sprintf("%s[%d]", names.correct, i), "null where true or false is expected")
			}
		}
		if len(scores) > 0 {
			var err error
			if s.Scores, err = row.numbers(fmt.Sprintf("%s[%d]", names.scores, i), scores[i]); err != nil {
				return err
			}
		}
		p.Samples = append(p.Samples, s)
	}
	return nil
}

// SampleID is the id of sample i as a trajectory.
func (p *SampledProblem) SampleID(i int) string { return fmt.Sprintf("%s/%d", p.ID, i) }

// Trajectory is sample i as a trajectory to score. Thinking between <think> tags (the opening one may be missing, as where
// the prompt ends with it; so may the closing one, where a limit cut the text) is told from the response.
func (p *SampledProblem) Trajectory(i int) *Trajectory {
	s := p.Samples[i]
	t := &Trajectory{ID: p.SampleID(i), Problem: p.Problem, Response: s.Text, ResponseSteps: s.Steps, Where: p.Where}
	thinking, response, closed := strings.Cut(s.Text, "</think>")
	body, opened := strings.CutPrefix(strings.TrimSpace(thinking), "<think>")
	if (opened || closed) && len(s.Steps) == 0 {
		t.Thinking, t.Response = strings.TrimSpace(body), strings.TrimSpace(response)
	}
	return t
}
