package execjudge

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/goprm/goprm/data/label"
)

// request is one line.
func (j *Judge) request(id string, c *label.Case, steps []int) ([]byte, error) {
	r := struct {
		ID       string   `json:"id"`
		Problem  string   `json:"problem"`
		Thinking []string `json:"thinking"`
		Response []string `json:"response,omitzero"`
		Answer   string   `json:"answer,omitempty"`
		Steps    []int    `json:"steps"`
	}{ID: id, Problem: c.Problem, Thinking: c.Thinking, Steps: steps}
	if j.o.Sees != label.SeesFuture {
		r.Thinking = c.Thinking[:steps[0]+1]
	}
	switch j.o.Sees {
	case label.SeesResponse, label.SeesFuture:
		r.Response = append([]string{}, c.Response...)
	case label.SeesAnswer:
		r.Answer = c.Answer
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b) // ends with a line break
	e.SetEscapeHTML(false)
	err := e.Encode(r)
	return b.Bytes(), err
}

// maxLine bounds an answer in bytes: tens of thousands of scores.
const maxLine = 1 << 20

// answer is a line of the program.
type answer struct {
	ID     *string           `json:"id"`
	Scores []json.RawMessage `json:"scores"`
	Error  *string           `json:"error"`
}

// notNumbers are what Python's json module writes for floats that JSON does not have.
var notNumbers = regexp.MustCompile(`\bNaN\b|-?\bInfinity\b`)

// readAnswer returns an error for what is no answer at all. A score that is NaN or infinite becomes null, which is no score either:
// it spoils its request, not the program.
func readAnswer(line []byte) (*answer, error) {
	a := &answer{}
	err := json.Unmarshal(line, a)
	if _, syntax := errors.AsType[*json.SyntaxError](err); syntax && notNumbers.Match(line) {
		*a = answer{}
		err = json.Unmarshal(notNumbers.ReplaceAll(line, []byte("null")), a)
	}
	if err == nil && a.ID == nil {
		err = errors.New("it has no id")
	}
	if err != nil {
		return nil, fmt.Errorf("%w; it begins %q", err, excerpt(line))
	}
	return a, nil
}

// verdicts fills in one verdict for each wanted step.
func (a *answer) verdicts(into []label.Verdict) ([]label.Verdict, error) {
	if a.Error != nil {
		line, _, _ := strings.Cut(strings.TrimSpace(*a.Error), "\n")
		return nil, &Error{Reason: "the program reports: " + excerpt([]byte(line))}
	}
	if len(a.Scores) != len(into) {
		return nil, &Error{
			Reason: "the program gave another number of scores than of steps asked for", Err: fmt.Errorf("%d for %d", len(a.Scores), len(into)),
		}
	}
	for i, raw := range a.Scores {
		var score *float64
		if err := json.Unmarshal(raw, &score); err != nil || score == nil || !(*score >= 0 && *score <= 1) {
			return nil, &Error{Reason: "the program gave a score that is not a number in [0,1]", Err: fmt.Errorf("score %d is %s", i, excerpt(raw))}
		}
		into[i].Score, into[i].Raw = *score, []json.RawMessage{bytes.Clone(raw)}
	}
	return into, nil
}

// excerpt is the beginning of what the program wrote, for a message.
func excerpt(text []byte) string {
	const most = 100
	if len(text) > most {
		return strings.ToValidUTF8(string(text[:most]), "") + "…"
	}
	return strings.ToValidUTF8(string(text), "\uFFFD")
}
