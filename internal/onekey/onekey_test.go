package onekey

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestCheck(t *testing.T) {
	for text, says := range map[string]string{
		`{"a":1,"b":{"a":2},"c":[{"a":1},{"a":1}]}`: "",
		`{"a":"a","b":"a"}`:                         "",
		`{"a":["a","a"],"b":"\"a\":1,\"a\":2"}`:     "",
		`[]`:                                        "", `"a"`: "", `{"a":1,`: "", ``: "",
		`{"a":1,"a":1}`:               `byte 7: key "a" is there twice`,
		`{"a":1,"\u0061":2}`:          `key "a" is there twice`,
		`{"x":[{"y":{"k":1,"k":2}}]}`: `byte 18: key "k"`,
		`{"":1, "" :2}`:               `key ""`,
	} {
		if err := Check([]byte(text)); says == "" {
			require.NoError(t, err, text)
		} else {
			require.ErrorContains(t, err, says, text)
		}
	}
}

// Many keys and deep lists are looked at once each: comparing every key with every other would take minutes.
func TestCheckIsLinear(t *testing.T) {
	const n, deep = 500_000, 9_000 // encoding/json goes no deeper than 10,000
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"%d":1,`, i)
	}
	begin := time.Now()
	require.NoError(t, Check([]byte("{"+b.String()+`"x":`+strings.Repeat("[", deep)+strings.Repeat("]", deep)+"}")))
	require.Less(t, time.Since(begin), 20*time.Second)
}

// FuzzCheck compares with a second reader, by tokens.
func FuzzCheck(f *testing.F) {
	for _, s := range []string{`{"a":1,"a":2}`, `[{"a":{"b":[]}},{"a":"\""}]`, `{"\\":1,"\\":"}"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if !json.Valid(text) {
			require.NoError(t, Check(text))
			return
		}
		dec := json.NewDecoder(bytes.NewReader(text))
		dec.UseNumber()
		require.Equal(t, twice(t, dec), Check(text) != nil)
	})
}

func twice(t *testing.T, dec *json.Decoder) (found bool) {
	token, err := dec.Token()
	require.NoError(t, err)
	open, _ := token.(json.Delim)
	seen := map[string]bool{}
	for open != 0 && dec.More() {
		if open == '{' {
			key, err := dec.Token()
			require.NoError(t, err)
			found = found || seen[key.(string)]
			seen[key.(string)] = true
		}
		found = twice(t, dec) || found
	}
	if open != 0 {
		_, err := dec.Token()
		require.NoError(t, err)
	}
	return found
}
