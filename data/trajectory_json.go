package data

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goprm/goprm/internal/onekey"
)

// CheckJSON reports what encoding/json would replace by U+FFFD in silence: bytes that are not UTF-8, and escapes of half a character.
func CheckJSON(b []byte) error {
	if i := invalidUTF8(b); i >= 0 {
		return fmt.Errorf("byte %d: not valid UTF-8", i)
	}
	if i := loneSurrogate(b); i >= 0 {
		return fmt.Errorf("byte %d: %s is half of a surrogate pair", i, b[i:i+6])
	}
	return nil
}

// parseObject reads one JSON object exactly, see CheckJSON.
func parseObject(b []byte) (map[string]json.RawMessage, error) {
	if err := CheckJSON(b); err != nil {
		return nil, err
	}
	if err := onekey.Check(b); err != nil {
		return nil, err
	}
	var row map[string]json.RawMessage
	err := json.Unmarshal(b, &row)
	var syntax *json.SyntaxError
	switch bare := string(bytes.TrimSpace(b)); {
	case err != nil && strings.HasPrefix(bare, "["):
		return nil, errors.New("not a JSON object but an array: jq -c '.[]' turns it into lines of one object each")
	case err != nil && bare == "{":
		return nil, errors.New("byte 1: not JSON: an object must stand on one line: jq -c . joins its lines")
	case errors.As(err, &syntax) && !strings.HasPrefix(bare, "{"):
		return nil, fmt.Errorf("byte %d: not JSON: %w; lines of JSON and parquet are read", syntax.Offset, err)
	case errors.As(err, &syntax):
		return nil, fmt.Errorf("byte %d: not JSON: %w", syntax.Offset, err)
	case err != nil:
		return nil, errors.New("not a JSON object")
	case row == nil:
		return nil, errors.New("null where an object is expected")
	}
	return row, nil
}

// invalidUTF8 returns the offset of the first byte that is not UTF-8, or -1.
func invalidUTF8(b []byte) int {
	if utf8.Valid(b) {
		return -1
	}
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}

// loneSurrogate returns the offset of the first \uD800..\uDFFF escape that is not part of a pair, or -1.
func loneSurrogate(b []byte) int {
	for i := 0; i < len(b); i++ {
		if b[i] != '\\' {
			continue
		}
		switch high, ok := surrogate(b[i:]); {
		case !ok:
			i++ // the escaped byte, which may itself be a backslash
		case high:
			if low, ok := surrogate(b[i+6:]); !ok || low {
				return i
			}
			i += 11
		default:
			return i
		}
	}
	return -1
}

// surrogate tells whether b begins with the escape of a surrogate, and whether it is the first of a pair.
func surrogate(b []byte) (high, ok bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return false, false
	}
	v, err := strconv.ParseUint(string(b[2:6]), 16, 16)
	if err != nil || v < 0xD800 || v > 0xDFFF {
		return false, false
	}
	return v < 0xDC00, true
}

type rowJSON struct {
	ID            string                     `json:"id"`
	Problem       string                     `json:"problem"`
	Thinking      string                     `json:"thinking,omitempty"`
	Response      string                     `json:"response,omitempty"`
	Steps         []string                   `json:"steps,omitempty"`
	ResponseSteps []string                   `json:"response_steps,omitempty"`
	Labels        map[string]json.RawMessage `json:"labels,omitempty"`
	Source        string                     `json:"source,omitempty"`
	Answer        string                     `json:"answer,omitempty"`
	Meta          map[string]json.RawMessage `json:"meta,omitempty"`
}

// MarshalJSON writes the JSON form on one line; targets that are not finite are errors.
func (t *Trajectory) MarshalJSON() ([]byte, error) {
	if err := t.Validate(); err != nil {
		return nil, err
	}
	row := rowJSON{t.ID, t.Problem, t.Thinking, t.Response, t.Steps, t.ResponseSteps, nil, t.Source, t.Answer, t.Meta}
	l := t.Labels
	row.Labels = make(map[string]json.RawMessage, len(l.Extra)+4)
	for k, v := range l.Extra {
		row.Labels[k] = v
	}
	for _, f := range []struct {
		name  string
		given bool
		value any
	}{
		{"steps", len(l.Steps) > 0, l.Steps}, {"trajectory", l.Trajectory != nil, l.Trajectory},
		{"weights", len(l.Weights) > 0, l.Weights}, {"trajectory_weight", l.TrajectoryWeight != nil, l.TrajectoryWeight},
	} {
		if !f.given {
			continue
		}
		raw, err := json.Marshal(f.value)
		if err != nil {
			return nil, err
		}
		row.Labels[f.name] = raw
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(row); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// Write writes the trajectory as one line of JSON.
func (t *Trajectory) Write(w io.Writer) error {
	b, err := t.MarshalJSON()
	if err != nil {
		return fmt.Errorf("trajectory %q: %w", t.ID, err)
	}
	_, err = w.Write(append(b, '\n'))
	return err
}
