package safetensors

import (
	"encoding/json"
	"strings"
)

// scanner walks the tokens of text that is known to be valid JSON, without memory of its own: a header may hold a million names.
type scanner struct {
	text string
	at   int // behind the last token
}

// A token is a part of the text: a delimiter, a string with its quotes, a number or a word. Commas and colons are passed over.
type token string

// next is the next token; "" at the end.
func (s *scanner) next() token {
	s.skip()
	begin := s.at
	if begin == len(s.text) {
		return ""
	}
	switch s.text[begin] {
	case '{', '}', '[', ']':
		s.at++
	case '"':
		for s.at++; s.text[s.at] != '"'; s.at++ {
			if s.text[s.at] == '\\' {
				s.at++
			}
		}
		s.at++
	default:
		for s.at < len(s.text) && !strings.ContainsRune(" \t\r\n,:]}", rune(s.text[s.at])) {
			s.at++
		}
	}
	return token(s.text[begin:s.at])
}

// more reports whether an object or a list goes on.
func (s *scanner) more() bool {
	s.skip()
	return s.at < len(s.text) && s.text[s.at] != '}' && s.text[s.at] != ']'
}

func (s *scanner) skip() {
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case ' ', '\t', '\r', '\n', ',', ':':
			s.at++
		default:
			return
		}
	}
}

// unquote is the value of a string token: a part of the text itself, unless it holds escapes. ok is false for another token, or half of a
// surrogate pair, which is refused rather than repaired.
func (t token) unquote() (value string, isString, ok bool) {
	if t == "" || t[0] != '"' {
		return "", false, false
	}
	inner := string(t[1 : len(t)-1])
	if !strings.Contains(inner, `\`) {
		return inner, true, true
	}
	var unescaped string // a variable of its own: it takes memory
	if json.Unmarshal([]byte(t), &unescaped) != nil {
		return "", true, false
	}
	written := strings.Count(inner, "\uFFFD") + strings.Count(strings.ToLower(inner), `\ufffd`)
	return unescaped, true, strings.Count(unescaped, "\uFFFD") <= written
}
