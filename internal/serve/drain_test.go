package serve

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/served"
	"github.com/stretchr/testify/require"
)

// listening serves a model at an address of its own; stop begins the drain, and ended tells its end.
func listening(t *testing.T, m Model, opt Options, change func(*Server)) (s *Server, address string, stop func(), ended <-chan error) {
	t.Helper()
	opt.Verifier = exact{}
	s, err := New(m, opt)
	require.NoError(t, err)
	if change != nil {
		change(s)
	}
	var config net.ListenConfig
	config.SetMultipathTCP(false) // see refuseConnections
	l, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, l, 5*time.Second, nil) }()
	t.Cleanup(cancel)
	return s, l.Addr().String(), cancel, served
}

// looping asks on kept-alive connections until one is refused, and reports whatever is neither an answer nor a refusal.
func looping(address string, answers *atomic.Int64) error {
	body := remote("q")
	request := fmt.Sprintf("POST /reward/remote_rm HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	for {
		c, err := net.Dial("tcp", address)
		if errors.Is(err, syscall.ECONNREFUSED) {
			return nil
		}
		if err != nil {
			return err
		}
		in := bufio.NewReader(c)
		for last := false; !last; {
			if _, err := io.WriteString(c, request); err != nil {
				return fmt.Errorf("writing on a kept connection: %w", err)
			}
			r, err := http.ReadResponse(in, nil)
			if err != nil {
				return fmt.Errorf("reading on a connection that was not said to close: %w", err)
			}
			if _, err := io.Copy(io.Discard, r.Body); err != nil || r.StatusCode != 200 && r.StatusCode != 503 {
				return fmt.Errorf("status %d: %w", r.StatusCode, err)
			}
			answers.Add(1)
			last = r.Close
		}
		_ = c.Close()
	}
}

// Clients in a loop see 200, 503 and refused connections while the server drains, and nothing cut off.
func TestDrainLosesNothing(t *testing.T) {
	f := newFake()
	f.begun = make(chan struct{}, 1_000_000)
	_, address, stop, ended := listening(t, f, Options{}, nil)
	var answers atomic.Int64
	faults := make(chan error, 32)
	for range 32 {
		go func() { faults <- looping(address, &answers) }()
	}
	waitFor(t, "they are served", func() bool { return answers.Load() > 300 })
	begin := time.Now()
	stop()
	require.NoError(t, <-ended)
	require.Less(t, time.Since(begin), 3*time.Second)
	for range 32 {
		require.NoError(t, <-faults)
	}
}

// A body that does not come does not hold up the drain, and its client is told.
func TestDrainDoesNotWaitForBodies(t *testing.T) {
	s, address, stop, ended := listening(t, newFake(), Options{}, nil)
	c := raw(t, "http://"+address, head(1000)+"x")
	waitFor(t, "it has arrived", func() bool { return s.budget.state().unread == 1 })
	begin := time.Now()
	stop()
	require.Equal(t, 503, answerOn(t, c).StatusCode)
	require.NoError(t, <-ended)
	require.Less(t, time.Since(begin), 3*time.Second)
}

// A client that does not end its header is cut off.
func TestHeaderTimeout(t *testing.T) {
	_, address, stop, ended := listening(t, newFake(), Options{}, func(s *Server) { s.headerTimeout = 50 * time.Millisecond })
	c := raw(t, "http://"+address, "POST /get_reward HTTP/1.1\r\nHost: lo")
	require.NoError(t, c.SetReadDeadline(time.Now().Add(3*time.Second)))
	_, err := io.ReadAll(c)
	require.NoError(t, err, "the connection is closed")
	stop()
	require.NoError(t, <-ended)
}

// stubborn renders or scores until its context ends.
type stubborn struct {
	*fake
	renders bool

	rendering, stopped chan struct{}
}

func (m stubborn) Render(ctx context.Context, t *data.Trajectory, limits Limits) (Text, error) {
	m.rendering <- struct{}{}
	if m.renders {
		<-ctx.Done()
		m.stopped <- struct{}{}
		return nil, ctx.Err()
	}
	return m.fake.Render(ctx, t, limits)
}

func (m stubborn) Score(ctx context.Context, _ []Text) ([]Score, error) {
	m.begun <- struct{}{}
	<-ctx.Done()
	m.stopped <- struct{}{}
	return nil, ctx.Err()
}

// The client's leaving, the time-out and the end of the server's grace end rendering and scoring, of short texts and long ones.
func TestWorkEndsWithItsRequest(t *testing.T) {
	soon := func(t *testing.T, c <-chan struct{}) {
		t.Helper()
		select {
		case <-c:
		case <-time.After(time.Second):
			t.Fatal("it goes on")
		}
	}
	for name, body := range map[string]string{"short": remote("q"), "long": remote(strings.Repeat("q", 2*LongText))} {
		for _, renders := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s rendering %v", name, renders), func(t *testing.T) {
				t.Parallel()
				made := func() stubborn { return stubborn{newFake(), renders, make(chan struct{}, 10), make(chan struct{}, 10)} }
				m := made()
				_, address, stop, ended := listening(t, m, Options{Timeout: 200 * time.Millisecond}, nil)
				status, _, _ := ask(t, "http://"+address+"/reward/remote_rm", body)
				require.Equal(t, 504, status)
				soon(t, m.stopped)
				stop()
				require.NoError(t, <-ended)

				begun := func() {
					waitFor(t, "it has begun", func() bool { return renders && len(m.rendering) > 0 || !renders && len(m.begun) > 0 })
				}
				m = made()
				s, address, stop, ended := listening(t, m, Options{}, nil)
				c := raw(t, "http://"+address, head(len(body))+body)
				begun()
				require.NoError(t, c.Close())
				soon(t, m.stopped)
				if <-m.rendering; !renders {
					m.began(t)
				}

				left := answered(t, "http://"+address+"/reward/remote_rm", body)
				begun()
				begin := time.Now()
				require.NoError(t, s.Close())
				soon(t, m.stopped)
				require.Less(t, time.Since(begin), time.Second)
				require.Equal(t, 503, <-left)
				stop()
				require.NoError(t, <-ended)
			})
		}
	}
}

// A long text is scored beside the batches: short ones do not wait for it.
func TestLongTextsAreScoredBeside(t *testing.T) {
	f := newFake()
	f.hold = func(problem string) bool { return len(problem) > LongText }
	f.block = make(chan struct{})
	s, url := start(t, f, Options{})
	var long []<-chan int
	for range 3 {
		long = append(long, answered(t, url+"/reward/remote_rm", remote(strings.Repeat("q", 2*LongText))))
		f.began(t)
	}
	for range 3 {
		status, _, _ := ask(t, url+"/reward/remote_rm", remote("short"))
		require.Equal(t, 200, status)
	}
	require.Equal(t, 3, s.current().batches.waiting())
	f.unblock()
	for _, status := range long {
		require.Equal(t, 200, <-status)
	}
	require.Zero(t, s.current().batches.waiting())
}

// Another model takes the place of the first without a lost request; the first is asked nothing after Swap has returned.
func TestSwap(t *testing.T) {
	old, fresh := newFake(), newFake()
	old.block = make(chan struct{})
	fresh.info.Name = "fresh"
	s, url := start(t, old, Options{})
	first := answered(t, url+"/reward/remote_rm", remote("first"))
	old.began(t)
	waiting := answered(t, url+"/reward/remote_rm", remote("waiting"))
	waitFor(t, "it waits", func() bool { return s.current().batches.waiting() == 1 })
	swapped := make(chan error, 1)
	go func() { swapped <- s.Swap(fresh) }()
	waitFor(t, "the new one is served", func() bool { return s.current().model == Model(fresh) })
	status, _ := get(t, url+"/readyz", nil)
	require.Equal(t, 200, status)
	status, _, _ = ask(t, url+"/reward/remote_rm", remote("second"))
	require.Equal(t, 200, status)
	require.Empty(t, swapped, "the first is still asked")
	old.unblock()
	require.Equal(t, []int{200, 200}, []int{<-first, <-waiting})
	require.NoError(t, <-swapped)
	require.Equal(t, [][]string{{"first"}, {"waiting"}}, old.seen())
	require.Equal(t, [][]string{{"second"}}, fresh.seen())
	_, text := get(t, url+"/v1/models", nil)
	require.Contains(t, text, `"id":"fresh"`)

	bad := newFake()
	bad.info = Info{Trajectory: true} // alpha 0: its reward would always be 0
	require.ErrorContains(t, s.Swap(bad), "alpha")
	status, _, _ = ask(t, url+"/reward/remote_rm", remote("third"))
	require.Equal(t, 200, status, "the one before stays")
	require.NoError(t, s.Close())
	require.ErrorIs(t, s.Swap(newFake()), errDraining)
}

// lostModel finds its weights gone.
type lostModel struct{ *fake }

func (m lostModel) Score(context.Context, []Text) ([]Score, error) {
	return nil, fmt.Errorf("%w: model.safetensors was cut", served.ErrLost)
}

// A model that is lost is answered with 503 and the reason, and /readyz fails, until another one is served.
func TestLostModel(t *testing.T) {
	s, url := start(t, newFake(), Options{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	require.NoError(t, s.Swap(lostModel{newFake()}))
	status, _ := get(t, url+"/readyz", nil)
	require.Equal(t, 200, status)
	for range 2 {
		status, answer, header := ask(t, url+"/reward/remote_rm", remote("q"))
		require.Equal(t, 503, status)
		require.Contains(t, answer, "model.safetensors was cut")
		require.NotEmpty(t, header.Get("Retry-After"))
	}
	status, answer := get(t, url+"/readyz", nil)
	require.Equal(t, 503, status)
	require.Contains(t, answer, "model.safetensors was cut")
	status, _ = get(t, url+"/healthz", nil)
	require.Equal(t, 200, status)
	require.NoError(t, s.Swap(newFake()))
	status, _, _ = ask(t, url+"/reward/remote_rm", remote("q"))
	require.Equal(t, 200, status)
	status, _ = get(t, url+"/readyz", nil)
	require.Equal(t, 200, status)
}

// safeBuffer is written to by the server while a test reads.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *safeBuffer) lines() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Split(strings.TrimSpace(b.b.String()), "\n")
}

// Each request is a line with its id, which its answer has too, and no text of it.
func TestAccessLog(t *testing.T) {
	var log safeBuffer
	_, url := start(t, newFake(), Options{Token: "secret", AccessLog: slog.New(slog.NewJSONHandler(&log, nil))})
	for i, c := range []struct {
		id, path, token string
		status          int
		route, name     string
		kept            bool
	}{
		{"run-1:a", "/reward/remote_rm", "secret", 200, "/reward/remote_rm", "default", true},
		{"has space", "/reward/remote_rm?x=private", "wrong", 401, "/reward/remote_rm", "", false},
		{strings.Repeat("x", 129), "/private/path", "secret", 404, "other", "", false},
	} {
		r, err := http.NewRequest("POST", url+c.path, strings.NewReader(remote("private")))
		require.NoError(t, err)
		r.Header.Set("X-Request-Id", c.id)
		r.Header.Set("Authorization", "Bearer "+c.token)
		got, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		body, err := io.ReadAll(got.Body)
		require.NoError(t, err)
		require.NoError(t, got.Body.Close())
		require.Equal(t, c.status, got.StatusCode)
		id := got.Header.Get("X-Request-Id")
		require.Equal(t, c.kept, id == c.id)
		require.Regexp(t, requestID, id)
		waitFor(t, "it is logged", func() bool { return len(log.lines()) == i+1 && log.lines()[i] != "" })
		var line struct {
			ID, Route, Token string
			Status, Bytes    int
			Seconds          float64
		}
		require.NoError(t, json.Unmarshal([]byte(log.lines()[i]), &line))
		require.Equal(t, []any{id, c.route, c.name, c.status, len(body)}, []any{line.ID, line.Route, line.Token, line.Status, line.Bytes})
		require.Positive(t, line.Seconds)
		require.NotRegexp(t, "private|secret|wrong|0123456789", log.lines()[i])
	}
	_, text := get(t, url+"/metrics", map[string]string{"Authorization": "Bearer secret"})
	for _, want := range []string{
		`goprm_requests_total{code="401",endpoint="/reward/remote_rm"} 1`, `goprm_requests_total{code="404",endpoint="other"} 1`,
		"go_goroutines ",
		`goprm_request_seconds_bucket{endpoint="/reward/remote_rm",le="0.001"}`, "goprm_queue_texts 0", "goprm_unread_requests 0",
		"goprm_memory_limit_bytes 5.36870912e+08",
	} {
		require.Contains(t, text, want)
	}
}

// Large requests take turns until they are scored, and leave processors to small ones; those whose clients are gone take none.
func TestLargeRequestsTakeTurns(t *testing.T) {
	m := stubborn{newFake(), true, make(chan struct{}, 100), make(chan struct{}, 100)}
	s, url := start(t, m.fake, Options{Timeout: 600 * time.Millisecond})
	s.serving.model = m
	turns, large := cap(s.large), remote(strings.Repeat("q", largeBody))
	ctx, cancel := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	for range turns + 3 {
		wait.Go(func() {
			r, err := http.NewRequestWithContext(ctx, "POST", url+"/reward/remote_rm", strings.NewReader(large))
			if err == nil {
				_, err = http.DefaultClient.Do(r)
			}
			if err == nil {
				t.Error("it was answered")
			}
		})
	}
	waitFor(t, "as many as have turns are rendered", func() bool { return len(m.rendering) == turns })
	small := answered(t, url+"/reward/remote_rm", remote("small"))
	waitFor(t, "a small one is rendered beside", func() bool { return len(m.rendering) == turns+1 })
	cancel()
	wait.Wait()
	waitFor(t, "they have left", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.inFlight == 1 && len(s.large) == 0 })
	require.Equal(t, 504, <-small)
}

// A request on an idle connection that was on its way when the server was told to end is answered.
func TestDrainKeepsIdleConnections(t *testing.T) {
	_, address, stop, ended := listening(t, newFake(), Options{}, nil)
	request := head(len(remote("q"))) + remote("q")
	c := raw(t, "http://"+address, request)
	in := bufio.NewReader(c)
	for _, status := range []int{200, 503} {
		r, err := http.ReadResponse(in, nil)
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, r.Body)
		require.NoError(t, err)
		require.Equal(t, status, r.StatusCode)
		require.Equal(t, status == 503, r.Close)
		if status == 200 {
			stop()
			time.Sleep(200 * time.Millisecond)
			_, err = io.WriteString(c, request)
			require.NoError(t, err)
		}
	}
	require.NoError(t, <-ended)
}
