package tokenizer

import (
	"fmt"
	"unicode"
	"unicode/utf8"
)

// addedToken is an entry of added_tokens. It is found in the text before anything else happens to the text.
type addedToken struct {
	ID         *int64  `json:"id"`
	Content    *string `json:"content"`
	SingleWord bool    `json:"single_word"` // only between characters that are not part of words
	Lstrip     bool    `json:"lstrip"`      // takes the white space before it
	Rstrip     bool    `json:"rstrip"`      // takes the white space after it
	Normalized bool    `json:"normalized"`  // is normalised, and looked for in normalised text
	Special    bool    `json:"special"`     // nothing here depends on it
}

func (a *addedToken) UnmarshalJSON(data []byte) error {
	type plain addedToken
	return strict(data, (*plain)(a))
}

// matcher finds added tokens: the leftmost first, of those that begin there the longest.
type matcher struct {
	first [256]bool // bytes that begin a token
	nodes []trieNode
}

type trieNode struct {
	next  map[byte]int32
	token *addedToken // that ends here
}

func newMatcher() *matcher { return &matcher{nodes: make([]trieNode, 1)} }

// add makes the matcher find content and report token. Two tokens for one content are an error.
func (m *matcher) add(content string, token *addedToken) error {
	m.first[content[0]] = true
	at := int32(0)
	for i := range len(content) {
		next, ok := m.nodes[at].next[content[i]]
		if !ok {
			next = int32(len(m.nodes))
			m.nodes = append(m.nodes, trieNode{})
			if m.nodes[at].next == nil {
				m.nodes[at].next = make(map[byte]int32, 1)
			}
			m.nodes[at].next[content[i]] = next
		}
		at = next
	}
	if m.nodes[at].token != nil {
		return fmt.Errorf("%q is there twice", content)
	}
	m.nodes[at].token = token
	return nil
}

// longest returns the longest token at the beginning of s.
func (m *matcher) longest(s string) (token *addedToken, length int) {
	at := int32(0)
	for i := range len(s) {
		next, ok := m.nodes[at].next[s[i]]
		if !ok {
			break
		}
		at = next
		if m.nodes[at].token != nil {
			token, length = m.nodes[at].token, i+1
		}
	}
	return token, length
}

// split calls emit for each added token and, with id -1, for each text between two; together they cover the text.
func (m *matcher) split(text string, emit func(id int32, start, end int)) {
	done := 0
	for i := 0; i < len(text); {
		if !m.first[text[i]] {
			i++
			continue
		}
		token, length := m.longest(text[i:])
		if token == nil {
			i++
			continue
		}
		start, end := i, i+length
		i = end
		if token.SingleWord && (endsWithWord(text[:start]) || beginsWithWord(text[end:])) {
			continue
		}
		if token.Lstrip {
			start = done + spaceBefore(text[done:start])
		}
		if token.Rstrip {
			end = run(text, end, blank|newline)
			i = end // a token that begins in white space already taken is not one
		}
		if done < start {
			emit(-1, done, start)
		}
		emit(int32(*token.ID), start, end)
		done = end
	}
	if done < len(text) {
		emit(-1, done, len(text))
	}
}

func endsWithWord(s string) bool {
	r, n := utf8.DecodeLastRuneInString(s)
	return n > 0 && inWord(r)
}

func beginsWithWord(s string) bool {
	r, n := utf8.DecodeRuneInString(s)
	return n > 0 && inWord(r)
}

// inWord is \w of Unicode regular expressions (UTS #18, annex C).
func inWord(r rune) bool {
	return unicode.IsLetter(r) || unicode.In(r, unicode.Other_Alphabetic, unicode.M, unicode.Nd, unicode.Nl, unicode.Pc, unicode.Join_Control)
}

// spaceBefore returns where the white space at the end of s begins.
func spaceBefore(s string) int {
	for len(s) > 0 {
		r, n := utf8.DecodeLastRuneInString(s)
		if !unicode.IsSpace(r) {
			break
		}
		s = s[:len(s)-n]
	}
	return len(s)
}
