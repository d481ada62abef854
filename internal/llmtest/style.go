package llmtest

import "regexp"

// Style is a way in which judges that are no fault of the network say their answers.
type Style string

const (
	Plain      Style = ""
	JSONFence  Style = "fence with json"
	BareFence  Style = "fence"
	Thinks     Style = "thinking before the answer"
	ByteOrder  Style = "byte order mark"
	AsStrings  Style = "numbers as strings"
	Comments   Style = "a field too many"
	OnlyThinks Style = "the limit of tokens while thinking"
	NoSchema   Style = "response_format refused" // with HTTP status 400, as DeepSeek's API does
)

// Styles are all but Plain.
var Styles = []Style{JSONFence, BareFence, Thinks, ByteOrder, AsStrings, Comments, OnlyThinks, NoSchema}

var grades = regexp.MustCompile(`:\s*(\d+)`)

// say is a JSON object in the style, and the finish reason.
func (s Style) say(text string) (said, finish string) {
	switch s {
	case JSONFence:
		return "```json\n" + text + "\n```", "stop"
	case BareFence:
		return "```\n" + text + "\n```\n", "stop"
	case Thinks:
		return "<think>\nThe step claims {\"correctness\": 0}. Let me check.\n</think>\n\n" + text, "stop"
	case ByteOrder:
		return "\ufeff" + text, "stop"
	case AsStrings:
		return grades.ReplaceAllString(text, `:"$1"`), "stop"
	case Comments:
		return text[:1] + `"comment":"it is well",` + text[1:], "stop"
	case OnlyThinks:
		return "", "length"
	}
	return text, "stop"
}

func (s Style) refusal() func(q *Chat) (int, string) {
	if s != NoSchema {
		return nil
	}
	return RefuseSchema
}

// RefuseSchema refuses what asks for a response_format.
func RefuseSchema(q *Chat) (status int, body string) {
	if q.ResponseFormat == nil {
		return 0, ""
	}
	return 400, `{"error":{"message":"response_format json_schema is not supported by this model","type":"invalid_request_error"}}`
}

// orNever is the first of the refusals that is one.
func orNever(refusals ...func(q *Chat) (int, string)) func(q *Chat) (int, string) {
	for _, r := range refusals {
		if r != nil {
			return r
		}
	}
	return func(*Chat) (int, string) { return 0, "" }
}
