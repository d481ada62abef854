package serve

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// raw opens a connection and sends a text on it.
func raw(t *testing.T, url, text string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(10*time.Second)))
	_, err = io.WriteString(c, text)
	require.NoError(t, err)
	return c
}

// answerOn reads an answer from a connection.
func answerOn(t *testing.T, c net.Conn) *http.Response {
	t.Helper()
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	require.NoError(t, err)
	return r
}

// head is a request's header for a body of n bytes.
func head(n int) string {
	return fmt.Sprintf("POST /reward/remote_rm HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n", n)
}

// Bodies that do not come keep nobody out: the oldest makes way, and a request counts when its body is there.
func TestSlowBodiesKeepNobodyOut(t *testing.T) {
	s, url := start(t, newFake(), Options{Unread: 8, Queue: 2})
	var slow []net.Conn
	for range 24 {
		slow = append(slow, raw(t, url, head(1000)+`{"prompt":"q`))
		if len(slow) == 1 {
			waitFor(t, "the first is the oldest", func() bool { return s.budget.state().unread == 1 })
		}
	}
	waitFor(t, "all have arrived", func() bool { return s.budget.state().unread == 8 && s.budget.made == 24 })
	for range 5 {
		status, answer, _ := ask(t, url+"/reward/remote_rm", remote("q"))
		require.Equal(t, 200, status, answer)
	}
	r := answerOn(t, slow[0])
	require.Equal(t, 429, r.StatusCode)
	require.NotEmpty(t, r.Header.Get("Retry-After"))
	require.True(t, r.Close)
	require.Zero(t, s.budget.state().used)
}

// A large body that is held makes way for smaller ones; one that is itself the largest is refused.
func TestHeldBodiesAreBounded(t *testing.T) {
	s, url := start(t, newFake(), Options{Memory: 4 << 20, MaxBody: 1 << 20})
	body := strings.Repeat("x", 600<<10)
	first := raw(t, url, head(1<<20)+body)
	waitFor(t, "it has arrived", func() bool { return s.budget.state().unreadBytes > 600<<10 })
	second := raw(t, url, head(1<<20)+body)
	require.Equal(t, 429, answerOn(t, second).StatusCode)
	for i := range 6 {
		raw(t, url, head(300<<10)+strings.Repeat("y", 200<<10))
		waitFor(t, "it has arrived", func() bool { return s.budget.made == uint64(3+i) })
	}
	require.Equal(t, 429, answerOn(t, first).StatusCode)
	require.LessOrEqual(t, s.budget.state().peak, int64(4<<20))
	status, answer, _ := ask(t, url+"/reward/remote_rm", remote("q"))
	require.Equal(t, 200, status, answer)
}

// What requests are reckoned to take is held until they are answered, given back then, and refused beyond the budget.
func TestMemoryBudget(t *testing.T) {
	f := newFake()
	f.block = make(chan struct{})
	s, url := start(t, f, Options{Memory: 3 * reckon(make([]byte, 100)) / 2})
	first := answered(t, url+"/reward/remote_rm", remote("first"))
	f.began(t)
	require.Positive(t, s.budget.state().used)
	status, answer, header := ask(t, url+"/reward/remote_rm", remote("second"))
	require.Equal(t, 429, status, answer)
	require.NotEmpty(t, header.Get("Retry-After"))
	require.Contains(t, answer, "bytes of memory are in use")
	status, answer, _ = ask(t, url+"/reward/remote_rm", remote(strings.Repeat(`q`, 4000)))
	require.Equal(t, 413, status, answer)
	f.unblock()
	require.Equal(t, 200, <-first)
	waitFor(t, "it is given back", func() bool { return s.budget.state().used == 0 })
	for _, body := range []string{remote("third"), `{`, remote("panic"), `{"prompt":"q"}`} {
		_, _, _ = ask(t, url+"/reward/remote_rm", body)
	}
	waitFor(t, "it is given back after errors too", func() bool { return s.budget.state().used == 0 })
	_, text := get(t, url+"/metrics", nil)
	require.Contains(t, text, "goprm_memory_bytes 0\n")
	require.Regexp(t, `goprm_memory_peak_bytes [1-9]`, text)
}

// A body's fault is told from its slowness.
func TestMalformedBodies(t *testing.T) {
	_, url := start(t, newFake(), Options{ReadTimeout: 100 * time.Millisecond, MaxBody: 100})
	chunked := "POST /reward/remote_rm HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
	for text, status := range map[string]int{
		chunked + "zz\r\n{}\r\n0\r\n\r\n": 400, chunked + "5\r\n{\"a\":1}\r\n": 400, chunked + "2\r\n{}\r\n": 408, head(50) + "{}": 408,
		head(200): 413,
		chunked + "78\r\n" + strings.Repeat("x", 120) + "\r\n0\r\n\r\n": 413,
	} {
		r := answerOn(t, raw(t, url, text))
		require.Equal(t, status, r.StatusCode, text)
	}
}

// A refusal does not wait for a body that does not come.
func TestRefusalsDoNotWaitForBodies(t *testing.T) {
	_, url := start(t, newFake(), Options{Token: "secret"})
	begin := time.Now()
	require.Equal(t, 401, answerOn(t, raw(t, url, head(1000)+"x")).StatusCode)
	require.Less(t, time.Since(begin), 5*time.Second)
}

// Too many steps or bytes are refused before anything is rendered or scored.
func TestLimitsBeforeRendering(t *testing.T) {
	f := newFake()
	_, url := start(t, f, Options{MaxSteps: 3, MaxText: 60, Unscored: "error"})
	long, steps := strings.Repeat("x", 61), `a\n\nb\n\nc\n\nd`
	for path, bodies := range map[string][]string{
		"/v1/steps": {`{"problem":"q","response":"` + long + `"}`, `{"problem":"q","response":"` + steps + `"}`,
			`{"problem":"q","response_steps":["a","b","c","d"]}`},
		"/reward/remote_rm":    {remote(long), `{"prompt":"q","response":"` + steps + `"}`},
		"/get_reward":          {`{"query":["` + chat(long) + `"]}`},
		"/reward/llamafactory": {`{"messages":["` + chat(long) + `"]}`},
		"/score":               {`{"text_1":"q","text_2":"` + long + `"}`, `{"text_1":"q","text_2":"` + steps + `"}`},
		"/pooling":             {`{"input":"` + long + `#"}`},
		"/classify":            {`{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"` + long + `"}]}`},
		"/tokenize":            {`{"prompt":"` + long + `"}`},
		"/generative_scoring":  {`{"query":"q","items":["` + long + `"],"label_token_ids":[1]}`},
	} {
		for _, body := range bodies {
			status, answer, _ := ask(t, url+path, body)
			require.Equal(t, 413, status, "%s %s: %s", path, body, answer)
		}
	}
	require.Empty(t, f.seen())
	status, answer, _ := ask(t, url+"/v1/steps", `{"problem":"q","response":"a\n\nb\n\nc"}`)
	require.Equal(t, 200, status, answer)
}
