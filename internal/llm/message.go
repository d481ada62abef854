package llm

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"unicode"
)

// serverMessage is what a server says of a request that it refuses.
type serverMessage struct {
	text   string // for people
	fields string // which fields of the request it names beside that
}

// messageOf reads the forms in which servers explain themselves: OpenAI's and vLLM's {"error": {"message", "param"}}, {"error": "…"},
// {"message": "…"}, FastAPI's {"detail": "…"} and {"detail": [{"loc", "msg"}]}, and plain text. What a server echoes of the
// request (FastAPI's "input") is not its own words.
func messageOf(body []byte) serverMessage {
	body = bytes.TrimSpace(body)
	var r struct {
		Error, Message, Detail, Param json.RawMessage
	}
	if json.Unmarshal(body, &r) != nil {
		if bytes.HasPrefix(body, []byte("<")) || bytes.HasPrefix(body, []byte("{")) { // a proxy's page, or half a message
			return serverMessage{}
		}
		return serverMessage{text: string(body)}
	}
	m := serverMessage{fields: textOf(r.Param)}
	for _, raw := range []json.RawMessage{r.Error, r.Message, r.Detail} {
		inner := detailOf(raw)
		if inner.text != "" {
			inner.fields += " " + m.fields
			return inner
		}
	}
	return m
}

// detailOf reads a message, an object that holds one, or the first of a list of such.
func detailOf(raw json.RawMessage) (m serverMessage) {
	if m.text = textOf(raw); m.text != "" {
		return m
	}
	var one struct {
		Message, Msg, Param json.RawMessage
		Loc                 []any
	}
	var all []json.RawMessage
	if json.Unmarshal(raw, &all) == nil && len(all) > 0 {
		raw = all[0]
	}
	if json.Unmarshal(raw, &one) != nil {
		return m
	}
	m.text, m.fields = textOf(one.Message)+textOf(one.Msg), textOf(one.Param)
	var loc []string
	for _, part := range one.Loc {
		if name, ok := part.(string); ok {
			loc = append(loc, name)
		}
	}
	if m.text != "" && len(loc) > 0 {
		m.text = strings.Join(loc, ".") + ": " + m.text
	}
	return m
}

func textOf(raw json.RawMessage) (text string) {
	_ = json.Unmarshal(raw, &text) // "" where it is no text
	return text
}

var (
	schemaWords = regexp.MustCompile(`(?i)response[_ -]?format|json[_ -]?schema|guided[_ -]?(decoding|json)|structured[_ -]?outputs?`)
	// lengthWords: a prompt that is too long is too long without a schema too, and such messages count a schema's tokens.
	lengthWords = regexp.MustCompile(`(?i)context[_ -]?(length|window|size)|too (long|large|many tokens)|max(imum)?[_ ` +
		`](tokens|model|length|completion|context)|exceeds? .*(tokens?|limit)`)
)

// refusesSchema tells whether the words name the field that asks for a JSON schema, and not the request's length.
func (m serverMessage) refusesSchema() bool {
	return schemaWords.MatchString(m.text+" "+m.fields) && !lengthWords.MatchString(m.text)
}

// maxLine bounds a server's words within an error, in bytes.
const maxLine = 240

// Line is the beginning of a text as one line, without control characters.
func Line(text string) string {
	if len(text) > 4*maxLine {
		text = text[:4*maxLine]
	}
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.IsSpace(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, ""))
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxLine {
		text = strings.ToValidUTF8(text[:maxLine], "") + "…"
	}
	return text
}
