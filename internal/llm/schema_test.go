package llm_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goprm/goprm/internal/llm"
	"github.com/goprm/goprm/internal/llmtest"
	"github.com/stretchr/testify/require"
)

func askAs(as llm.SchemaAs) llm.Chat {
	q := ask("x")
	q.SchemaAs, q.Schema = as, &llm.Schema{Name: "verdict", Schema: json.RawMessage(`{"type":"object"}`)}
	return q
}

// refusing is a server that refuses what has a response_format with the status and body, and counts its requests.
func refusing(t *testing.T, status int, body string) *llmtest.Server {
	return server(t, llmtest.Script{Refuse: func(q *llmtest.Chat) (int, string) {
		if q.ResponseFormat == nil {
			return 0, ""
		}
		return status, body
	}})
}

// TestSchemaAuto: many calls at once cost one refused request, and the user is told once.
func TestSchemaAuto(t *testing.T) {
	s := server(t, llmtest.Script{Style: llmtest.NoSchema})
	var log bytes.Buffer
	c := client(t, llm.Options{URL: s.URL(), Logger: slog.New(slog.NewTextHandler(&log, nil))})
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			a, err := c.Chat(t.Context(), askAs(llm.AsAuto))
			require.NoError(t, err)
			require.Equal(t, llm.AsNone, a.SchemaAs)
		})
	}
	all.Wait()
	refused := 0
	for _, call := range s.Calls() {
		if call.Chat.ResponseFormat != nil {
			refused++
		}
	}
	require.Equal(t, 1, refused)
	require.Len(t, s.Calls(), 21)
	require.Equal(t, 1, strings.Count(log.String(), "takes no JSON schema"))
	require.Contains(t, log.String(), "json_schema is not supported by this model")

	_, err := c.Chat(t.Context(), askAs(llm.AsJSONSchema))
	require.ErrorContains(t, err, "rejected: HTTP status 400: response_format json_schema is not supported by this model")
	a, err := client(t, llm.Options{URL: server(t, llmtest.Script{}).URL()}).Chat(t.Context(), askAs(llm.AsAuto))
	require.NoError(t, err)
	require.Equal(t, llm.AsJSONSchema, a.SchemaAs, "a server that takes schemas gets them")
}

// TestSchemaAutoKeepsAsking: which refusals are of the schema, and which say nothing of it.
func TestSchemaAutoKeepsAsking(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		asked  bool // once more without a schema
	}{
		{400, `{"error":{"message":"This response_format type is unavailable now"}}`, true},
		{422, `{"detail":[{"loc":["body","response_format","type"],"msg":"Input should be 'text'","input":"json_schema"}]}`, true},
		{400, `{"object":"error","message":"Guided decoding is not available"}`, true},
		{400, `{"error":{"message":"Unsupported value","param":"response_format"}}`, true},
		{400, `{"error":"json_schema mode is off"}`, true},
		{400, "unknown field json schema", true},
		{401, `{"error":{"message":"response_format"}}`, false},
		{403, `{"error":{"message":"response_format"}}`, false},
		{429, `{"error":{"message":"response_format"}}`, false},
		{500, `{"error":{"message":"response_format"}}`, false},
		{400, `{"error":{"message":"temperature must be 1"}}`, false},
		{400, `{"error":{"message":"maximum context length is 8192 tokens, 9213 requested (9100 in the messages, 113 in response_format)"}}`,
			false},
		{400, `{"error":{"message":"prompt is too long: the json_schema counts"}}`, false},
		{422, `{"detail":[{"loc":["body","messages"],"msg":"Field required","input":{"response_format":{}}}]}`, false},
		{400, `<html>response_format</html>`, false},
	} {
		s := refusing(t, c.status, c.body)
		_, err := client(t, llm.Options{URL: s.URL(), Attempts: 1, Logger: slog.New(slog.DiscardHandler)}).Chat(t.Context(), askAs(llm.AsAuto))
		require.Equal(t, c.asked, err == nil, "%d %s: %v", c.status, c.body, err)
		calls := s.Calls()
		require.Len(t, calls, map[bool]int{true: 2, false: 1}[c.asked], c.body)
	}
	// A server that refuses the request either way has said nothing of schemas.
	s := server(t, llmtest.Script{Refuse: func(*llmtest.Chat) (int, string) { return 400, "no response_format, nor anything else" }})
	var log bytes.Buffer
	c := client(t, llm.Options{URL: s.URL(), Logger: slog.New(slog.NewTextHandler(&log, nil))})
	for range 2 {
		_, err := c.Chat(t.Context(), askAs(llm.AsAuto))
		require.Error(t, err)
	}
	require.Len(t, s.Calls(), 4)
	require.Empty(t, log.String())
}

// TestServersWords: an error says in one line what the server said.
func TestServersWords(t *testing.T) {
	for body, want := range map[string]string{
		`{"error":{"message":"no such\n\tfield"}}`:            "HTTP status 400: no such field;",
		`{"detail":[{"loc":["body","n"],"msg":"must be 1"}]}`: "HTTP status 400: body.n: must be 1;",
		`{"error":"` + strings.Repeat("ab ", 4000) + `"}`:     "HTTP status 400: ab ab",
		`plain`:                                 "HTTP status 400: plain;",
		`<html><body>Bad Gateway</body></html>`: "HTTP status 400;",
		`{"error":{"message":"key sk-0123456789-very-secret no"}}`: "HTTP status 400: key [key] no;",
	} {
		t.Setenv("GOPRM_TEST_KEY", "sk-0123456789-very-secret")
		tr := &counted{answer: func(int, time.Time) *http.Response { return answered(400, body) }}
		_, err := client(t, llm.Options{URL: "http://host/v1", Transport: tr, KeyEnv: "GOPRM_TEST_KEY"}).Chat(t.Context(), ask("x"))
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "\n")
		require.Less(t, len(err.Error()), 1000)
	}
}

// TestKeysAlterNoAnswer: a key that occurs in an answer, by chance or by echo, leaves the answer as it came.
func TestKeysAlterNoAnswer(t *testing.T) {
	const said = `{"correctness":7,"coherence":8,"progress":9}`
	for _, key := range []string{"7", "e", `"`, "{", "EMPTY", "correctness", `{"correctness":7,"coherence":8`, strings.Repeat("k", 5000)} {
		t.Setenv("GOPRM_TEST_KEY", key)
		s := server(t, llmtest.Script{Answer: func(*llmtest.Chat, int) string { return said }})
		c := client(t, llm.Options{URL: s.URL(), KeyEnv: "GOPRM_TEST_KEY"})
		a, err := c.Chat(t.Context(), ask("x"))
		require.NoError(t, err, "%.20s", key)
		require.Equal(t, []string{said}, a.Texts)
		require.True(t, json.Valid(c.Record(json.RawMessage(said))), "%.20s", key)
	}
	const secret = "sk-0123456789-very-secret"
	t.Setenv("GOPRM_TEST_KEY", secret)
	c := client(t, llm.Options{URL: "http://host/v1", KeyEnv: "GOPRM_TEST_KEY"})
	require.Equal(t, `{"reason":"[key]"}`, string(c.Record(json.RawMessage(fmt.Sprintf(`{"reason":%q}`, secret)))),
		"an echo gets into no file")
}
