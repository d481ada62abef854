package serve

import (
	"bytes"
	"encoding/json"
	"net/http"

	"github.com/goprm/goprm/data"
)

// checkBody refuses a body that JSON readers could read in two ways: what is not UTF-8, half a surrogate pair, and a key that an object
// has twice.
func checkBody(body []byte) error {
	if err := data.CheckJSON(body); err != nil {
		return &RequestError{http.StatusBadRequest, err}
	}
	if key, at := doubled(body); at >= 0 {
		return bad("byte %d: the key %q stands twice in one object", at, key)
	}
	return nil
}

// keySet are the keys of an object. Few are compared one by one.
type keySet struct {
	few  []string
	many map[string]bool
}

func (s *keySet) add(key string) (again bool) {
	if s.many != nil {
		again, s.many[key] = s.many[key], true
		return again
	}
	for _, k := range s.few {
		if k == key {
			return true
		}
	}
	if s.few = append(s.few, key); len(s.few) > 16 {
		s.many = map[string]bool{}
		for _, k := range s.few {
			s.many[k] = true
		}
	}
	return false
}

// doubled finds the first key that an object of the text has twice, and where; -1: there is none. It takes time in proportion to the
// text, and anything: whether it is JSON, its decoder tells.
func doubled(text []byte) (key string, at int) {
	var open []*keySet // of the objects and lists (nil) around
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '{':
			open = append(open, &keySet{})
		case '[':
			open = append(open, nil)
		case '}', ']':
			open = open[:max(0, len(open)-1)]
		case '"':
			end := stringEnd(text, i)
			if len(open) > 0 && open[len(open)-1] != nil && colonFollows(text, end) {
				if key := keyOf(text[i:end]); open[len(open)-1].add(key) {
					return key, i
				}
			}
			i = end - 1
		}
	}
	return "", -1
}

// stringEnd is the place behind the string that begins at i.
func stringEnd(text []byte, i int) int {
	for i++; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(text)
}

func colonFollows(text []byte, i int) bool {
	for i < len(text) && bytes.IndexByte([]byte(" \t\r\n"), text[i]) >= 0 {
		i++
	}
	return i < len(text) && text[i] == ':'
}

// keyOf is a key without its quotes and escapes.
func keyOf(quoted []byte) string {
	if len(quoted) > 1 && bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1 : len(quoted)-1])
	}
	var key string
	if json.Unmarshal(quoted, &key) != nil {
		return string(quoted)
	}
	return key
}
