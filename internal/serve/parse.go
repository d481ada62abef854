package serve

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/goprm/goprm/data"
)

// trimEnd takes off what closes a turn, and white space around it.
func trimEnd(text string) string { return strings.TrimSpace(trimRight(text)) }

// trimRight takes off what closes a turn, and nothing of its beginning.
func trimRight(text string) string {
	for {
		before := text
		text = strings.TrimRightFunc(text, unicode.IsSpace)
		for _, token := range endTokens {
			text = strings.TrimSuffix(text, token)
		}
		if text == before {
			return text
		}
	}
}

var errTurns = errors.New("a conversation of one question and one answer is expected; send the problem and the response apart, e.g. to " +
	"/v1/steps")

// question returns the only user turn's content, and the beginning of the answer if the last turn is the assistant's.
func question(list []data.Turn) (problem, answer string, err error) {
	users, assistants := 0, 0
	for i, t := range list {
		switch {
		case t.Role == "system":
		case t.Role == "user" && users == 0:
			problem = trimEnd(t.Content)
			users++
		case t.Role == "assistant" && users == 1 && i == len(list)-1:
			answer = t.Content
			assistants++
		default:
			return "", "", fmt.Errorf("turn %d is of role %q: %w", i, t.Role, errTurns)
		}
	}
	if users == 0 {
		return "", "", fmt.Errorf("no question: %w", errTurns)
	}
	return problem, answer, nil
}

// fromPrompt returns the problem of a policy's prompt, which may be written by a chat template, and what it begins the answer with.
func fromPrompt(prompt string) (problem, begun string, err error) {
	if list := turns(prompt); list != nil {
		return question(list)
	}
	return prompt, "", nil
}

// fromText takes prompt and response apart, decoded as one text. Where the prompt is known, marks in the response count for nothing.
func fromText(text string, prompt *string) (problem, answer string, err error) {
	if prompt != nil {
		if response, ok := strings.CutPrefix(text, *prompt); ok {
			problem, begun, err := fromPrompt(*prompt)
			return problem, begun + response, err
		}
	}
	list := turns(text)
	if list == nil {
		return "", "", errors.New("neither a chat template's marks nor a prompt that the text begins with tell the problem from the response")
	}
	return question(list)
}

// trajectory is a problem with what a policy answered. Where the answer holds the model's step marks, they cut it.
func trajectory(problem, answer, mark string) *data.Trajectory {
	t := &data.Trajectory{Problem: problem}
	t.Thinking, t.Response, _ = data.CutThinking(trimEnd(plainChannels(answer)))
	t.Steps, t.Thinking = atMarks(t.Thinking, mark)
	t.ResponseSteps, t.Response = atMarks(t.Response, mark)
	return t
}

// atMarks returns the steps that marks end, or the text if there is no mark.
func atMarks(text, mark string) (steps []string, rest string) {
	if mark == "" || !strings.Contains(text, mark) {
		return nil, text
	}
	for step := range strings.SplitSeq(text, mark) {
		if strings.TrimSpace(step) != "" {
			steps = append(steps, step)
		}
	}
	return steps, ""
}

// answerOf is the text that a trajectory's outcome is told from: its response, never its thinking.
func answerOf(t *data.Trajectory) string {
	if len(t.ResponseSteps) > 0 {
		return strings.Join(t.ResponseSteps, "\n\n")
	}
	return t.Response
}
