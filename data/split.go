package data

import (
	"strings"
	"unicode/utf8"
)

// Span is a step's place in the text it was cut from: bytes [Start, End) and code points [CharStart, CharEnd).
type Span struct {
	Start, End         int
	CharStart, CharEnd int
}

// Split cuts text at every occurrence of sep, found from left to right without overlap. A span covers its piece
// exactly, white space included, and never the separator. Pieces that are empty or only white space (separators in a
// row, at the beginning or at the end) belong to no step and yield no span. With an empty sep the text is one piece.
func Split(text, sep string) []Span {
	var spans []Span
	start, char := 0, 0
	for start <= len(text) {
		end := len(text)
		if i := strings.Index(text[start:], sep); sep != "" && i >= 0 {
			end = start + i
		}
		piece := text[start:end]
		chars := utf8.RuneCountInString(piece)
		if strings.TrimSpace(piece) != "" {
			spans = append(spans, Span{start, end, char, char + chars})
		}
		if end == len(text) {
			break
		}
		start, char = end+len(sep), char+chars+utf8.RuneCountInString(sep)
	}
	return spans
}

// TextOf says what the spans of a Cut point into.
type TextOf string

const (
	Given  TextOf = "given"  // the part's own text
	Joined TextOf = "joined" // the part's steps joined by the separator, since the part has no text that holds them
)

// Cut is one part of a trajectory in steps: Text[Spans[i].Start:Spans[i].End] == Steps[i].
type Cut struct {
	Text   string
	TextOf TextOf
	Steps  []string
	Spans  []Span
}

// Cut returns the thinking and the response in steps. Steps given in the trajectory are taken as they are; their spans
// point into the part's text if they all occur in it in order, else into the steps joined by sep.
// A part without given steps is split at sep.
func (t *Trajectory) Cut(sep string) (thinking, response Cut) {
	return cut(t.Thinking, t.Steps, sep), cut(t.Response, t.ResponseSteps, sep)
}

func cut(text string, steps []string, sep string) Cut {
	if len(steps) == 0 {
		c := Cut{Text: text, TextOf: Given, Spans: Split(text, sep)}
		for _, s := range c.Spans {
			c.Steps = append(c.Steps, text[s.Start:s.End])
		}
		return c
	}
	if spans, ok := locate(text, steps); ok {
		return Cut{text, Given, steps, spans}
	}
	joined := strings.Join(steps, sep)
	spans := make([]Span, len(steps))
	at, char := 0, 0
	for i, s := range steps {
		chars := utf8.RuneCountInString(s)
		spans[i] = Span{at, at + len(s), char, char + chars}
		at, char = at+len(s)+len(sep), char+chars+utf8.RuneCountInString(sep)
	}
	return Cut{joined, Joined, steps, spans}
}

// locate finds the steps in text, in order and without overlap.
func locate(text string, steps []string) ([]Span, bool) {
	if text == "" {
		return nil, false
	}
	spans := make([]Span, len(steps))
	at, char := 0, 0
	for i, s := range steps {
		gap := strings.Index(text[at:], s)
		if gap < 0 {
			return nil, false
		}
		char += utf8.RuneCountInString(text[at : at+gap])
		at += gap
		chars := utf8.RuneCountInString(s)
		spans[i] = Span{at, at + len(s), char, char + chars}
		at, char = at+len(s), char+chars
	}
	return spans, true
}
