package serve

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A key that stands twice in one object is refused wherever the object is, however the key is written; the same key in two objects is not.
func TestDoubledKeys(t *testing.T) {
	for text, key := range map[string]string{
		`{"a":1,"a":2}`: "a", `{"a":1,"\u0061" : 2}`: "a", `{"x":[{"b":1,"c":{"b":2},"b":3}]}`: "b", `{"":1,"":2}`: "",
		`{"a\"":"a","a\"":1}`: `a"`, `{"a":{"q":1},"b":[1,"a"],"a":0}`: "a",
	} {
		got, at := doubled([]byte(text))
		require.GreaterOrEqual(t, at, 0, text)
		require.Equal(t, key, got, text)
	}
	for _, text := range []string{
		`{"a":"a","b":"a"}`, `{"a":{"a":{"a":1}}}`, `[{"a":1},{"a":2}]`, `{"a":["a","a"]}`, `{"a":"x\",\"a\":1"}`, `}{"a`, `{"a\`, "", `{"a":1,"A":2}`,
	} {
		_, at := doubled([]byte(text))
		require.Equal(t, -1, at, text)
	}
	var many strings.Builder
	for i := range 100 {
		fmt.Fprintf(&many, `"k%d":1,`, i)
	}
	_, at := doubled([]byte("{" + many.String() + `"last":1}`))
	require.Equal(t, -1, at)
	key, _ := doubled([]byte("{" + many.String() + `"k70":1}`))
	require.Equal(t, "k70", key)

	_, url := start(t, newFake(), Options{})
	for path, body := range map[string]string{
		"/reward/remote_rm": `{"prompt":"q","response":"a","response":"b"}`, "/v1/steps": `{"problem":"q","response":"a","meta":{"x":1,"x":1}}`,
		"/classify": `{"messages":[{"role":"user","content":"q"},{"role":"assistant","role":"user","content":"a"}]}`,
	} {
		status, answer, _ := ask(t, url+path, body)
		require.Equal(t, 400, status, answer)
		require.Contains(t, answer, "stands twice in one object")
	}
}

// Many keys and deep lists are looked at once each: comparing every key with every other would take minutes.
func TestDoubledKeysIsLinear(t *testing.T) {
	const n = 500_000
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"%d":1,`, i)
	}
	begin := time.Now()
	_, at := doubled([]byte("{" + b.String() + `"x":` + strings.Repeat("[", n) + strings.Repeat("]", n) + "}"))
	require.Equal(t, -1, at)
	require.Less(t, time.Since(begin), 20*time.Second)
}

// What the scan of keys says agrees with a decoder that reads token by token.
func FuzzDoubledKeys(f *testing.F) {
	f.Add([]byte(`{"a":1,"b":{"a":[{"a":1}]},"a":2}`))
	f.Add([]byte(`{"\u0061":1,"a":2}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		_, at := doubled(text)
		if json.Valid(text) {
			require.Equal(t, doubledByTokens(text), at >= 0)
		}
	})
}

func doubledByTokens(text []byte) bool {
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.UseNumber()
	var read func() bool
	read = func() bool {
		token, err := d.Token()
		if err != nil {
			return false
		}
		again := false
		switch token {
		case json.Delim('{'):
			keys := map[string]bool{}
			for d.More() {
				key, _ := d.Token()
				again = again || keys[key.(string)]
				keys[key.(string)] = true
				again = read() || again
			}
			_, _ = d.Token()
		case json.Delim('['):
			for d.More() {
				again = read() || again
			}
			_, _ = d.Token()
		}
		return again
	}
	return read()
}
