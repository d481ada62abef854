package llm_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goprm/goprm/data/label/store"
	"github.com/goprm/goprm/internal/llm"
	"github.com/goprm/goprm/internal/llmtest"
	"github.com/stretchr/testify/require"
)

func client(t *testing.T, o llm.Options) *llm.Client {
	t.Helper()
	if o.Backoff == 0 {
		o.Backoff, o.MaxBackoff = time.Millisecond, 4*time.Millisecond
	}
	c, err := llm.New(o)
	require.NoError(t, err)
	return c
}

func server(t *testing.T, script llmtest.Script) *llmtest.Server {
	s := llmtest.New(script)
	t.Cleanup(s.Close)
	return s
}

func ask(text string) llm.Chat {
	return llm.Chat{Model: "m", Messages: []llm.Message{{Role: "user", Content: text}}, MaxTokens: 50}
}

// TestWire compares the request with what the API's documentation asks for, field by field.
func TestWire(t *testing.T) {
	s := server(t, llmtest.Script{Answer: func(_ *llmtest.Chat, i int) string { return fmt.Sprint("text ", i) }})
	t.Setenv("GOPRM_TEST_KEY", "sk-secret")
	c := client(t, llm.Options{URL: s.URL() + "/", KeyEnv: "GOPRM_TEST_KEY"})
	q := llm.Chat{
		Model: "judge", Messages: []llm.Message{{"system", "s"}, {"user", "u"}}, MaxTokens: 7, N: 2, Temperature: 0.5, TopP: 0.9, Seed: 3,
		Schema: &llm.Schema{Name: "verdict", Strict: true, Schema: json.RawMessage(`{"type":"object"}`)},
		Extra:  map[string]any{"reasoning_effort": "low"},
	}
	answer, err := c.Chat(t.Context(), q)
	require.NoError(t, err)
	require.Equal(t, []string{"text 0", "text 1"}, answer.Texts)
	call := s.Calls()[0]
	require.Equal(t, "/v1/chat/completions", call.Path)
	require.Equal(t, "Bearer sk-secret", call.Header.Get("Authorization"))
	require.JSONEq(t, `{"model":"judge","messages":[{"role":"system","content":"s"},{"role":"user","content":"u"}],"max_tokens":7,"n":2,
		"temperature":0.5,"top_p":0.9,"seed":3,"reasoning_effort":"low",
		"response_format":{"type":"json_schema","json_schema":{"name":"verdict","strict":true,"schema":{"type":"object"}}}}`, string(call.Body))
	require.Equal(t, call.Tokens, answer.Usage.Prompt+answer.Usage.Completion)
	require.Equal(t, answer.Usage.Prompt/2, answer.Usage.Cached)

	for as, want := range map[llm.SchemaAs]string{llm.AsNone: `null`, llm.AsJSONObject: `{"type":"json_object","schema":{"type":"object"}}`} {
		q.SchemaAs = as
		answer, err = c.Chat(t.Context(), q)
		require.NoError(t, err)
		require.Equal(t, as, answer.SchemaAs)
		calls := s.Calls()
		var sent struct {
			Format json.RawMessage `json:"response_format"`
		}
		require.NoError(t, json.Unmarshal(calls[len(calls)-1].Body, &sent))
		require.JSONEq(t, want, orElse(string(sent.Format), "null"))
	}

	c = client(t, llm.Options{URL: s.URL(), LimitField: "max_completion_tokens"})
	q = ask("x")
	q.Extra = map[string]any{"temperature": nil, "seed": nil}
	_, err = c.Chat(t.Context(), q)
	require.NoError(t, err)
	require.JSONEq(t, `{"model":"m","messages":[{"role":"user","content":"x"}],"max_completion_tokens":50}`, string(s.Calls()[3].Body))
	for _, field := range []string{"n", "model", "max_tokens", "stream"} {
		q.Extra = map[string]any{field: 1}
		_, err = c.Chat(t.Context(), q)
		require.ErrorContains(t, err, field)
	}
	q = ask("x")
	q.MaxTokens = 0
	_, err = c.Chat(t.Context(), q)
	require.ErrorContains(t, err, "positive limit")
	require.Len(t, s.Calls(), 4)
}

func orElse(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

// TestFaults: what every fault becomes, and how often it is asked again.
func TestFaults(t *testing.T) {
	type want struct {
		kind  llm.Kind
		calls int
	}
	wants := map[llmtest.Fault]want{
		llmtest.RateLimit: {llm.Transient, 3}, llmtest.RateLimitDate: {llm.Transient, 3}, llmtest.ServerError: {llm.Transient, 3},
		llmtest.Unavailable: {llm.Transient, 3}, llmtest.Hang: {llm.Transient, 3}, llmtest.Drip: {llm.Transient, 3},
		llmtest.Reset: {llm.Transient, 3}, llmtest.CutBody: {llm.Transient, 3}, llmtest.NoJSON: {llm.Transient, 3},
		llmtest.TooFew: {llm.BadAnswer, 1}, llmtest.Refusal: {llm.Refused, 1}, llmtest.Filter: {llm.Refused, 1}, llmtest.Length: {llm.Cut, 1},
		// These are whole texts; what they mean is the judge's to check.
		llmtest.None: {"", 1}, llmtest.NoUsage: {"", 1}, llmtest.Prose: {"", 1},
	}
	for fault, want := range wants {
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			s := server(t, llmtest.Script{Fault: func(int) llmtest.Fault { return fault }, RetryAfter: "0.01"})
			c := client(t, llm.Options{URL: s.URL(), Attempts: 3, Timeout: 300 * time.Millisecond})
			answer, err := c.Chat(t.Context(), ask("x"))
			requests, _, _ := s.Count()
			require.Equal(t, want.calls, requests)
			if want.kind == "" {
				require.NoError(t, err)
				require.Len(t, answer.Texts, 1)
				return
			}
			require.Empty(t, answer.Texts)
			e, ok := errors.AsType[*llm.Error](err)
			require.True(t, ok, "%v", err)
			require.Equal(t, want.kind, e.Kind)
			require.ErrorContains(t, err, s.URL())
			require.False(t, e.Fatal())
		})
	}
}

func TestTransientFailuresAreAskedAgain(t *testing.T) {
	faults := []llmtest.Fault{llmtest.Reset, llmtest.ServerError, llmtest.CutBody, llmtest.NoJSON, llmtest.None}
	s := server(t, llmtest.Script{Fault: func(n int) llmtest.Fault { return faults[n] }})
	answer, err := client(t, llm.Options{URL: s.URL()}).Chat(t.Context(), ask("x"))
	require.NoError(t, err)
	calls := s.Calls()
	require.Equal(t, calls[4].Said, answer.Texts)
	for _, call := range calls {
		require.Equal(t, calls[0].Body, call.Body)
	}
}

// transport answers without a network, so that time can be false.
type transport func(n int, at time.Time) *http.Response

type counted struct {
	answer transport
	mu     sync.Mutex
	times  []time.Time
}

func (c *counted) RoundTrip(r *http.Request) (*http.Response, error) {
	c.mu.Lock()
	n := len(c.times)
	c.times = append(c.times, time.Now())
	c.mu.Unlock()
	response := c.answer(n, time.Now())
	response.Request = r
	return response, nil
}

func answered(status int, body string, header ...string) *http.Response {
	h := http.Header{}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}
}

func whole(tokens int) string {
	return fmt.Sprintf(`{"choices":[{"message":{"content":"yes"},"finish_reason":"stop"}],"usage":{"prompt_tokens":%d,"completion_tokens":0}}`, tokens)
}

func TestRetryAfter(t *testing.T) {
	wait := func(header func(now time.Time) string, o llm.Options) (time.Duration, error) {
		var gap time.Duration
		var err error
		synctest.Test(t, func(t *testing.T) {
			tr := &counted{answer: func(n int, now time.Time) *http.Response {
				if n == 0 {
					return answered(429, "slow down", "Retry-After", header(now))
				}
				return answered(200, whole(1))
			}}
			o.URL, o.Transport = "http://host/v1", tr
			c, nerr := llm.New(o)
			require.NoError(t, nerr)
			// A second caller is held back too, though nobody told it to wait.
			done := make(chan struct{})
			go func() {
				defer close(done)
				time.Sleep(10 * time.Millisecond)
				_, _ = c.Chat(t.Context(), ask("other"))
			}()
			_, err = c.Chat(t.Context(), ask("x"))
			<-done
			gap = tr.times[1].Sub(tr.times[0])
		})
		return gap, err
	}
	seconds := func(text string) func(time.Time) string { return func(time.Time) string { return text } }
	gap, err := wait(seconds("37"), llm.Options{})
	require.NoError(t, err)
	require.Equal(t, 37*time.Second, gap)
	gap, err = wait(seconds("0.5"), llm.Options{Backoff: time.Minute})
	require.NoError(t, err)
	require.Equal(t, 500*time.Millisecond, gap, "the other caller waits no longer than it must")
	gap, err = wait(func(now time.Time) string { return now.Add(90 * time.Second).UTC().Format(http.TimeFormat) }, llm.Options{})
	require.NoError(t, err)
	require.InDelta(t, 90, gap.Seconds(), 1)
	for _, nonsense := range []string{"", "soon", "-5", "NaN", "1e300", "Inf"} {
		gap, err = wait(seconds(nonsense), llm.Options{})
		require.NoError(t, err)
		require.LessOrEqual(t, gap, time.Second, nonsense)
	}
	_, err = wait(seconds("3600"), llm.Options{})
	require.ErrorContains(t, err, "longer than 10m0s")
}

func TestBackoffDoubles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &counted{answer: func(int, time.Time) *http.Response { return answered(500, "no") }}
		c, err := llm.New(llm.Options{URL: "http://host/v1", Transport: tr, Attempts: 9})
		require.NoError(t, err)
		_, err = c.Chat(t.Context(), ask("x"))
		require.Error(t, err)
		require.Len(t, tr.times, 9)
		for i, most := range []float64{1, 2, 4, 8, 16, 32, 60, 60} {
			gap := tr.times[i+1].Sub(tr.times[i]).Seconds()
			require.LessOrEqual(t, gap, most)
			require.GreaterOrEqual(t, gap, most/2)
		}
	})
}

// TestLimits lets 40 callers ask for five minutes: no window of a minute holds more than the limits, and they are used.
func TestLimits(t *testing.T) {
	run := func(o llm.Options, text string) []time.Time {
		var times []time.Time
		synctest.Test(t, func(t *testing.T) {
			tr := &counted{answer: func(int, time.Time) *http.Response { return answered(200, whole(100)) }}
			o.URL, o.Transport, o.Concurrency = "http://host/v1", tr, 40
			c, err := llm.New(o)
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			var wait sync.WaitGroup
			for range 40 {
				wait.Go(func() {
					for ctx.Err() == nil {
						_, _ = c.Chat(ctx, ask(text))
					}
				})
			}
			wait.Wait()
			times = tr.times
		})
		return times
	}
	most := func(times []time.Time) int {
		most := 0
		for i := range times {
			n := 0
			for _, at := range times[i:] {
				if at.Sub(times[i]) < time.Minute {
					n++
				}
			}
			most = max(most, n)
		}
		return most
	}
	times := run(llm.Options{RequestsPerMinute: 30}, "x")
	require.LessOrEqual(t, most(times), 30)
	require.InDelta(t, 150, len(times), 2)

	// 100 tokens a call by the server's count, though the bound of one is far higher.
	times = run(llm.Options{TokensPerMinute: 6000}, strings.Repeat("x", 1000))
	require.LessOrEqual(t, most(times), 60)
	// Of 300 at best: which callers hold their bounds meanwhile is the scheduler's choice. Bounds alone would allow some 25.
	require.Greater(t, len(times), 100)

	// A call whose bound is beyond a whole minute's tokens passes all the same.
	times = run(llm.Options{TokensPerMinute: 200}, strings.Repeat("x", 1000))
	require.Greater(t, len(times), 5)
	require.LessOrEqual(t, most(times), 2)
}

func TestConcurrency(t *testing.T) {
	s := server(t, llmtest.Script{Answer: func(*llmtest.Chat, int) string { time.Sleep(5 * time.Millisecond); return "x" }})
	c := client(t, llm.Options{URL: s.URL(), Concurrency: 3})
	var wait sync.WaitGroup
	for range 30 {
		wait.Go(func() {
			_, err := c.Chat(t.Context(), ask("x"))
			require.NoError(t, err)
		})
	}
	wait.Wait()
	requests, _, peak := s.Count()
	require.Equal(t, 30, requests)
	require.LessOrEqual(t, peak, 3)
}

func TestCancellationIsPrompt(t *testing.T) {
	for name, o := range map[string]llm.Options{
		"in flight":  {},
		"in a pause": {RequestsPerMinute: 1},
		"in a queue": {Concurrency: 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := server(t, llmtest.Script{Fault: func(int) llmtest.Fault { return llmtest.Hang }})
			o.URL = s.URL()
			c := client(t, o)
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(50*time.Millisecond, cancel)
			began := time.Now()
			var wait sync.WaitGroup
			for range 3 {
				wait.Go(func() {
					_, err := c.Chat(ctx, ask("x"))
					require.ErrorIs(t, err, context.Canceled)
				})
			}
			wait.Wait()
			require.Less(t, time.Since(began), 2*time.Second)
		})
	}
}

func TestBodyLimit(t *testing.T) {
	s := server(t, llmtest.Script{Answer: func(*llmtest.Chat, int) string { return strings.Repeat("x", 5000) }})
	_, err := client(t, llm.Options{URL: s.URL(), MaxBody: 5000}).Chat(t.Context(), ask("x"))
	require.ErrorContains(t, err, "longer than 5000 bytes")
	require.Less(t, len(err.Error()), 1000)
	_, err = client(t, llm.Options{URL: s.URL(), MaxBody: 6000}).Chat(t.Context(), ask("x"))
	require.NoError(t, err)
}

// TestKeyStaysSecret: a server that echoes the key gets it into no error.
func TestKeyStaysSecret(t *testing.T) {
	const key = "sk-0123456789-very-secret"
	t.Setenv("GOPRM_TEST_KEY", key)
	for _, response := range []func() *http.Response{
		func() *http.Response { return answered(401, `{"error":"Incorrect API key provided: `+key+`"}`) },
		func() *http.Response { return answered(500, strings.Repeat("x", 290)+key) },
		func() *http.Response { return answered(200, key) },
		func() *http.Response {
			return answered(200, `{"choices":[{"message":{"content":"`+key+`"},"finish_reason":"length"}]}`)
		},
		func() *http.Response {
			return answered(200, `{"choices":[{"message":{"content":"`+strings.Repeat("x", 290)+key+`"},"finish_reason":"tool"}]}`)
		},
		func() *http.Response { return answered(302, key, "Location", "http://elsewhere/"+key) },
	} {
		c := client(t, llm.Options{URL: "http://host/v1", KeyEnv: "GOPRM_TEST_KEY", Attempts: 1,
			Transport: &counted{answer: func(int, time.Time) *http.Response { return response() }}})
		_, err := c.Chat(t.Context(), ask("x"))
		require.Error(t, err)
		for _, text := range []string{err.Error(), fmt.Sprintf("%+v", err)} {
			require.NotContains(t, text, "sk-0123")
		}
	}
	for _, o := range []llm.Options{
		{URL: "http://user:" + key + "@host/v1"}, {URL: "http://host/v1?key=" + key}, {URL: "http://host:" + key + "/v1"},
	} {
		_, err := llm.New(o)
		require.Error(t, err)
		require.NotContains(t, err.Error(), key)
	}
	t.Setenv("GOPRM_TEST_KEY", "")
	_, err := llm.New(llm.Options{URL: "http://host/v1", KeyEnv: "GOPRM_TEST_KEY"})
	require.ErrorContains(t, err, "GOPRM_TEST_KEY")
	for want, o := range map[string]llm.Options{
		"http://localhost:8000/v1": {URL: "localhost:8000"}, "limit field": {LimitField: "x"}, "attempts": {Attempts: -1},
		"price": {Prices: llm.Prices{Prompt: math.NaN()}},
	} {
		o.URL = orElse(o.URL, "http://host/v1")
		_, err = llm.New(o)
		require.ErrorContains(t, err, want)
	}
}

func TestRejectedAndFatal(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		kind   llm.Kind
		fatal  bool
	}{
		{400, "context length exceeded", llm.Rejected, false}, {401, "", llm.Rejected, true}, {404, "no model", llm.Rejected, true},
		{422, "", llm.Rejected, false}, {307, "", llm.Rejected, false}, {429, `{"error":{"code":"insufficient_quota"}}`, llm.Rejected, true},
		{429, "", llm.Transient, false}, {502, "", llm.Transient, false}, {408, "", llm.Transient, false}, {501, "", llm.Rejected, false},
	} {
		tr := &counted{answer: func(int, time.Time) *http.Response { return answered(c.status, c.body) }}
		_, err := client(t, llm.Options{URL: "http://host/v1", Transport: tr, Attempts: 2}).Chat(t.Context(), ask("x"))
		e, ok := errors.AsType[*llm.Error](err)
		require.True(t, ok)
		require.Equal(t, c.kind, e.Kind, c.status)
		require.Equal(t, c.fatal, e.Fatal(), c.status)
		require.Equal(t, c.kind == llm.Transient, len(tr.times) == 2, c.status)
	}
}

// TestLedger: what each outcome costs, and that the accounts never show less than the server charges.
func TestLedger(t *testing.T) {
	o := llm.Options{Attempts: 1, Timeout: 200 * time.Millisecond, Prices: llm.Prices{Prompt: 2, Cached: 1, Completion: 10}}
	for _, fault := range append([]llmtest.Fault{llmtest.None, llmtest.NoUsage}, llmtest.Faults...) {
		ledger, err := store.Open(filepath.Join(t.TempDir(), "store"), store.Options{})
		require.NoError(t, err)
		s := server(t, llmtest.Script{Fault: func(int) llmtest.Fault { return fault }, RetryAfter: "0.01"})
		o.URL, o.Ledger = s.URL(), ledger
		answer, err := client(t, o).Chat(t.Context(), ask("some words to be read"))
		_, charged, _ := s.Count()
		spend, serr := ledger.Spend()
		require.NoError(t, serr)
		require.Zero(t, spend.ReservedCalls)
		require.LessOrEqual(t, charged, spend.Total().Tokens, fault)
		bound := int64(256+len("user")+len("some words to be read")+8) + 50
		switch {
		case err == nil && fault != llmtest.NoUsage:
			require.Equal(t, charged, spend.Settled.Tokens)
			// In 1e-9 of the currency: 2 per million prompt tokens are 2000 each.
			require.Equal(t, (answer.Usage.Prompt-answer.Usage.Cached)*2000+answer.Usage.Cached*1000+answer.Usage.Completion*10000,
				spend.Settled.Nanos)
		case charged == 0:
			require.Zero(t, spend.Total(), fault)
		case spend.LostCalls > 0:
			require.Equal(t, store.Amount{Tokens: bound, Nanos: (bound-50)*2000 + 50*10000}, spend.Lost)
		}
		require.NoError(t, ledger.Close())
	}
	// Nobody is there: nothing is charged. No budget: nothing is asked.
	ledger, err := store.Open(filepath.Join(t.TempDir(), "store"), store.Options{Budget: store.Amount{Tokens: 300}})
	require.NoError(t, err)
	defer func() { require.NoError(t, ledger.Close()) }()
	o.URL, o.Ledger = "http://127.0.0.1:1/v1", ledger
	q := ask("x")
	q.MaxTokens = 20
	_, err = client(t, o).Chat(t.Context(), q)
	require.Error(t, err)
	spend, err := ledger.Spend()
	require.NoError(t, err)
	require.Zero(t, spend.Total())
	s := server(t, llmtest.Script{})
	o.URL = s.URL()
	q.MaxTokens = 100
	_, err = client(t, o).Chat(t.Context(), q)
	e, ok := errors.AsType[*llm.Error](err)
	require.True(t, ok)
	require.Equal(t, llm.Budget, e.Kind)
	require.True(t, e.Fatal())
	require.ErrorIs(t, err, store.ErrBudget)
	require.Empty(t, s.Calls())
}

func TestEmbed(t *testing.T) {
	texts := []string{"one", "two", "three"}
	s := server(t, llmtest.Script{Embed: func(text string) []float32 { return []float32{float32(len(text)), -1} }})
	vectors, usage, err := client(t, llm.Options{URL: s.URL()}).Embed(t.Context(), "e", texts, 2)
	require.NoError(t, err)
	require.Equal(t, [][]float32{{3, -1}, {3, -1}, {5, -1}}, vectors)
	require.Equal(t, s.Calls()[0].Tokens, usage.Prompt)
	require.JSONEq(t, `{"model":"e","input":["one","two","three"],"encoding_format":"float","dimensions":2}`, string(s.Calls()[0].Body))
	for _, fault := range []llmtest.Fault{llmtest.TooFew, llmtest.Doubled, llmtest.CutJSON, llmtest.NaN, llmtest.CutBody} {
		s := server(t, llmtest.Script{Fault: func(int) llmtest.Fault { return fault }})
		vectors, _, err := client(t, llm.Options{URL: s.URL(), Attempts: 2}).Embed(t.Context(), "e", texts, 0)
		require.Error(t, err, fault)
		require.Nil(t, vectors)
	}
	for body, want := range map[string]string{
		`{"data":[{"index":0,"embedding":[1,null]}]}`:  "not a number",
		`{"data":[{"index":0,"embedding":[1,1e39]}]}`:  "not a number",
		`{"data":[{"index":0,"embedding":[1,"2"]}]}`:   "not a list of embeddings",
		`{"data":[{"index":0,"embedding":"AAAA"}]}`:    "not a list of embeddings",
		`{"data":[{"index":0,"embedding":[0,0]}]}`:     "no direction",
		`{"data":[{"index":0,"embedding":[[1,2]]}]}`:   "bad answer", // a vector a token: a model without pooling
		`{"data":[{"index":0,"embedding":[NaN,2]}]}`:   "transient",
		`{"data":[{"index":0,"embedding":[]}]}`:        "length",
		`{"data":[{"index":1,"embedding":[1]}]}`:       "indices",
		`{"data":[{"embedding":[1]}]}`:                 "indices",
		`{"data":[{"index":0,"embedding":[1,2,3,4]}]}`: "length",
	} {
		tr := &counted{answer: func(int, time.Time) *http.Response { return answered(200, body) }}
		_, _, err := client(t, llm.Options{URL: "http://host/v1", Transport: tr, Attempts: 1}).Embed(t.Context(), "e", []string{"x"}, 2)
		require.ErrorContains(t, err, want, body)
	}
	_, _, err = client(t, llm.Options{URL: s.URL()}).Embed(t.Context(), "e", []string{"x", ""}, 0)
	require.ErrorContains(t, err, "text 1 of 2 is empty")
}

func FuzzChatResponse(f *testing.F) {
	f.Add([]byte(whole(3)))
	f.Add([]byte(`{"choices":[{"message":{"content":"a","refusal":"b"},"finish_reason":"stop"}]}`))
	f.Add([]byte(`{"choices":[null],"usage":{"prompt_tokens":-1}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		tr := &counted{answer: func(int, time.Time) *http.Response {
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body))}
		}}
		c, err := llm.New(llm.Options{URL: "http://host/v1", Transport: tr, Attempts: 1})
		require.NoError(t, err)
		answer, err := c.Chat(t.Context(), ask("x"))
		usage := answer.Usage
		require.Equal(t, err == nil, len(answer.Texts) == 1)
		require.GreaterOrEqual(t, usage.Prompt, usage.Cached)
	})
}
