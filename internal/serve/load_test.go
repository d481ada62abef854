package serve

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func remote(problem string) string {
	return fmt.Sprintf(`{"prompt":%q,"response":"0123456789"}`, problem)
}

// answered is a request in the background.
func answered(t *testing.T, url, body string) <-chan int {
	status := make(chan int, 1)
	go func() {
		r, err := http.Post(url, "application/json", strings.NewReader(body))
		if err != nil {
			status <- -1
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		_ = r.Body.Close()
		status <- r.StatusCode
	}()
	return status
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, 10*time.Second, time.Millisecond, what)
}

// While a batch runs, what arrives waits, shares the next one in its order up to the token limit, and beyond the queue is refused.
func TestBatchesAndOverload(t *testing.T) {
	f := newFake()
	f.block = make(chan struct{})
	s, url := start(t, f, Options{Queue: 5, BatchTokens: 33, MaxWait: time.Nanosecond})
	var all []<-chan int
	for i := range 5 { // 11 tokens each
		all = append(all, answered(t, url+"/reward/remote_rm", remote(fmt.Sprint(i))))
		if i == 0 {
			f.began(t)
		}
		waitFor(t, "it waits", func() bool { return s.current().batches.waiting() == i })
	}
	status, body, header := ask(t, url+"/reward/remote_rm", remote("x"))
	require.Equal(t, 429, status, body)
	require.Equal(t, "1", header.Get("Retry-After"))
	require.Contains(t, body, `"type":"too_many_requests"`)
	f.unblock()
	for _, status := range all {
		require.Equal(t, 200, <-status)
	}
	require.Equal(t, [][]string{{"0"}, {"1", "2", "3"}, {"4"}}, f.seen())

	// Texts count too, not requests alone.
	status, _, _ = ask(t, url+"/score", `{"text_1":"q","text_2":["a","b","c","d","e"]}`)
	require.Equal(t, 200, status)
}

// A text that cannot be scored fails alone, whatever its company.
func TestOneBadTextFailsAlone(t *testing.T) {
	f := newFake()
	_, url := start(t, f, Options{MaxWait: 200 * time.Millisecond})
	good, broken := answered(t, url+"/reward/remote_rm", remote("g")), answered(t, url+"/reward/remote_rm", remote("broken"))
	require.Equal(t, []int{200, 500}, []int{<-good, <-broken})
	require.Len(t, f.seen(), 1)
	require.Len(t, f.seen()[0], 2)

	require.Equal(t, 500, <-answered(t, url+"/reward/remote_rm", remote("panic")))
	require.Equal(t, 200, <-answered(t, url+"/reward/remote_rm", remote("g")))
}

// What a client no longer waits for is not scored.
func TestCancel(t *testing.T) {
	f := newFake()
	f.block = make(chan struct{})
	s, url := start(t, f, Options{MaxWait: time.Nanosecond})
	first := answered(t, url+"/reward/remote_rm", remote("first"))
	f.began(t)
	ctx, cancel := context.WithCancel(context.Background())
	r, err := http.NewRequestWithContext(ctx, "POST", url+"/reward/remote_rm", strings.NewReader(remote("gone")))
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() {
		_, err := http.DefaultClient.Do(r)
		ended <- err
	}()
	waitFor(t, "it waits", func() bool { return s.current().batches.waiting() == 1 })
	cancel()
	require.Error(t, <-ended)
	waitFor(t, "the handler has noticed", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.inFlight == 1
	})
	f.unblock()
	require.Equal(t, 200, <-first)
	status, _, _ := ask(t, url+"/reward/remote_rm", remote("last"))
	require.Equal(t, 200, status)
	require.Equal(t, [][]string{{"first"}, {"last"}}, f.seen())
}

func TestTimeout(t *testing.T) {
	f := newFake()
	f.block = make(chan struct{})
	_, url := start(t, f, Options{Timeout: 20 * time.Millisecond})
	status, _, _ := ask(t, url+"/reward/remote_rm", remote("slow"))
	require.Equal(t, 504, status)
	f.unblock()
}

// A client that sends a byte now and then is cut off; one that waits long for its answer is not.
func TestSlowClients(t *testing.T) {
	f := newFake()
	f.block = make(chan struct{})
	_, url := start(t, f, Options{ReadTimeout: 50 * time.Millisecond})
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	require.NoError(t, err)
	defer func() { _ = c.Close() }()
	_, err = io.WriteString(c, "POST /get_reward HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{\"query\"")
	require.NoError(t, err)
	require.NoError(t, c.SetReadDeadline(time.Now().Add(10*time.Second)))
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusRequestTimeout, r.StatusCode)

	waits := answered(t, url+"/reward/remote_rm", remote("q"))
	f.began(t)
	time.Sleep(150 * time.Millisecond)
	f.unblock()
	require.Equal(t, 200, <-waits)
}

// At the end of its context the server refuses what is new, answers what it has, and its Serve returns.
func TestDrain(t *testing.T) {
	f := newFake()
	f.block = make(chan struct{})
	s, err := New(f, Options{Verifier: exact{}})
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	url := "http://" + l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, l, 10*time.Second, nil) }()
	status := func(path string) int {
		r, err := http.Get(url + path)
		require.NoError(t, err)
		require.NoError(t, r.Body.Close())
		return r.StatusCode
	}
	require.Equal(t, 200, status("/readyz"))
	first := answered(t, url+"/reward/remote_rm", remote("first"))
	f.began(t)
	second := answered(t, url+"/reward/remote_rm", remote("second"))
	waitFor(t, "it waits", func() bool { return s.current().batches.waiting() == 1 })
	cancel()
	waitFor(t, "it drains", func() bool { return status("/readyz") == 503 })
	require.Equal(t, 200, status("/healthz"))
	refused, _, header := ask(t, url+"/reward/remote_rm", remote("late"))
	require.Equal(t, 503, refused)
	require.NotEmpty(t, header.Get("Retry-After"))
	f.unblock()
	require.Equal(t, []int{200, 200}, []int{<-first, <-second})
	require.NoError(t, <-served)
	require.Equal(t, [][]string{{"first"}, {"second"}}, f.seen())
	require.NoError(t, s.Close())
	require.NoError(t, s.Drain(context.Background()))
}

// Whoever is still waiting when the server is closed is told so.
func TestClose(t *testing.T) {
	f := newFake()
	f.block = make(chan struct{})
	s, url := start(t, f, Options{})
	first := answered(t, url+"/reward/remote_rm", remote("first"))
	f.began(t)
	second := answered(t, url+"/reward/remote_rm", remote("second"))
	waitFor(t, "it waits", func() bool { return s.current().batches.waiting() == 1 })
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	require.ErrorIs(t, s.Drain(ctx), context.DeadlineExceeded)
	f.unblock()
	require.NoError(t, <-closed)
	require.Equal(t, 200, <-first)
	require.Equal(t, 503, <-second)
}

func TestToken(t *testing.T) {
	_, url := start(t, newFake(), Options{Token: "secret"})
	for _, c := range []struct {
		path, token string
		status      int
	}{
		{"/v1/models", "", 401}, {"/v1/models", "Bearer wrong", 401}, {"/v1/models", "secret", 401}, {"/v1/models", "Bearer secret", 200},
		{"/metrics", "", 401}, {"/", "", 200}, {"/healthz", "", 200}, {"/readyz", "", 200},
	} {
		r, err := http.NewRequest("GET", url+c.path, nil)
		require.NoError(t, err)
		if c.token != "" {
			r.Header.Set("Authorization", c.token)
		}
		got, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		require.NoError(t, got.Body.Close())
		require.Equal(t, c.status, got.StatusCode, c)
	}
	status, _, _ := ask(t, url+"/reward/remote_rm", remote("q"))
	require.Equal(t, 401, status)
}

// Nothing is lost or mixed up among many clients: each request's reward is that of its own response.
func TestManyClients(t *testing.T) {
	_, url := start(t, newFake(), Options{BatchTokens: 500})
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	defer client.CloseIdleConnections()
	var wait sync.WaitGroup
	for c := range 64 {
		wait.Go(func() {
			for i := range 20 {
				n := 1 + (c*20+i)%97
				r, err := client.Post(url+"/reward/remote_rm", "application/json",
					strings.NewReader(fmt.Sprintf(`{"prompt":"q","response":%q}`, strings.Repeat("x", n))))
				if err != nil {
					t.Error(err)
					return
				}
				body, err := io.ReadAll(r.Body)
				_ = r.Body.Close()
				if want := fmt.Sprintf("%v\n", float64(n)/100+0.5); err != nil || string(body) != want {
					t.Errorf("%q instead of %q (%v)", body, want, err)
				}
			}
		})
	}
	wait.Wait()
	r, err := http.Get(url + "/metrics")
	require.NoError(t, err)
	text, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	require.NoError(t, r.Body.Close())
	require.Contains(t, string(text), "goprm_texts_total 1280\n")
	require.Contains(t, string(text), `goprm_requests_total{code="200",endpoint="/reward/remote_rm"} 1280`)
}
