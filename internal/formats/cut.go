package formats

import (
	"strings"
	"unicode/utf8"

	"github.com/goprm/goprm/data"
)

// cutter returns a trajectory's parts in steps.
type cutter func(t *data.Trajectory) (thinking, response data.Cut)

func cutAt(separator string) cutter {
	return func(t *data.Trajectory) (data.Cut, data.Cut) { return t.Cut(separator) }
}

// cutLines takes given steps as they are, and every line of a text that is not given in steps for one, the empty ones too.
func cutLines(t *data.Trajectory) (thinking, response data.Cut) {
	thinking, response = t.Cut("\n")
	if len(t.Steps) == 0 {
		thinking = lines(t.Thinking)
	}
	if len(t.ResponseSteps) == 0 {
		response = lines(t.Response)
	}
	return thinking, response
}

func lines(text string) data.Cut {
	c := data.Cut{Text: text, TextOf: data.Given}
	if text == "" {
		return c
	}
	at, char := 0, 0
	for _, line := range strings.Split(text, "\n") {
		chars := utf8.RuneCountInString(line)
		c.Steps = append(c.Steps, line)
		c.Spans = append(c.Spans, data.Span{Start: at, End: at + len(line), CharStart: char, CharEnd: char + chars})
		at, char = at+len(line)+1, char+chars+1
	}
	return c
}

// partBreak stands between thinking and response where a format takes a trajectory as one text.
const partBreak = "\n\n"

// starts is where in content's text each step begins.
func starts(thinking, response data.Cut) []int {
	var list []int
	at := 0
	for _, part := range []data.Cut{thinking, response} {
		for _, span := range part.Spans {
			list = append(list, at+span.Start)
		}
		if part.Text != "" {
			at += len(part.Text) + len(partBreak)
		}
	}
	return list
}

// content is the trajectory as one text, and where in it each step ends.
func content(thinking, response data.Cut) (text string, ends []int) {
	for _, part := range []data.Cut{thinking, response} {
		if part.Text == "" && len(part.Steps) == 0 {
			continue
		}
		if text != "" {
			text += partBreak
		}
		for _, span := range part.Spans {
			ends = append(ends, len(text)+span.End)
		}
		text += part.Text
	}
	return text, ends
}
