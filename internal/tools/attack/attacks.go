package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

var attacks = []attack{
	{"10,000 idle connections", holds(10_000, ""), 10},
	{"4,096 bodies of 12 bytes and no more", holds(4096, head(1000)+`{"prompt":"q`), 10},
	{"60 bodies of 15 MiB, held", holds(60, head(15<<20)+`{"prompt":"q","response":"`+strings.Repeat("x", 15<<20-100)), 20},
	{"60 bodies of 15 MiB", floods(60, 10, 15<<20), 20},
	{"texts of 200,000 steps", posts(2, same(steps(200_000)), time.Second, "413"), 10},
	{"requests of 168 KB of short steps", posts(2, same(steps(42_000)), time.Second, "413"), 10},
	{"1,000 requests that are cancelled", cancels(1000, 8), 10},
	{"20 requests of 3,000 steps", posts(20, same(steps(3000)), time.Minute, "200"), 3},
	{"20 requests of 3,000 steps, no two alike", posts(20, fresh(3000), time.Minute, "200"), 3},
}

func nothing(_ *server, stop <-chan struct{}) (map[string]int, error) {
	<-stop
	return nil, nil
}

// head is a request's header for a body of n bytes.
func head(n int) string {
	return fmt.Sprintf("POST /reward/remote_rm HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n", n)
}

// steps is a request for the steps of a response of n short ones.
func steps(n int) string { return `{"problem":"q","response":"` + strings.Repeat(`a\n\n`, n) + `"}` }

// same is always the one body.
func same(body string) func(int) string { return func(int) string { return body } }

// fresh are requests as steps makes them, each with a problem of its own: nothing of one is known from another.
func fresh(n int) func(i int) string {
	body := steps(n)
	return func(i int) string { return strings.Replace(body, `"q"`, fmt.Sprintf(`"%d"`, i), 1) }
}

// tally counts what many goroutines see.
type tally struct {
	mu   sync.Mutex
	seen map[string]int
}

func (t *tally) add(what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.seen == nil {
		t.seen = map[string]int{}
	}
	t.seen[what]++
}

// holds opens n connections, sends the same on each, and leaves them open.
func holds(n int, text string) func(*server, <-chan struct{}) (map[string]int, error) {
	return func(s *server, stop <-chan struct{}) (map[string]int, error) {
		var seen tally
		var wait sync.WaitGroup
		var mu sync.Mutex
		var open []net.Conn
		for k := range 16 {
			wait.Go(func() {
				for range (n + k) / 16 {
					c, err := net.Dial("tcp", s.address)
					if err != nil {
						seen.add(fault(err))
						return
					}
					mu.Lock()
					open = append(open, c)
					mu.Unlock()
					seen.add("open")
					go func() { _, _ = io.WriteString(c, text) }() // a large one does not get all of it away
				}
			})
		}
		wait.Wait()
		<-stop
		for _, c := range open {
			_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
			if r, err := http.ReadResponse(bufio.NewReader(c), nil); err == nil {
				seen.add(strconv.Itoa(r.StatusCode))
			}
			_ = c.Close()
		}
		return seen.seen, nil
	}
}

// floods sends n bodies of so many bytes, some at a time.
func floods(n, atOnce, size int) func(*server, <-chan struct{}) (map[string]int, error) {
	body := `{"query":["` + strings.Repeat("x", size) + `"]}`
	return func(s *server, stop <-chan struct{}) (map[string]int, error) {
		var seen tally
		var wait sync.WaitGroup
		for k := range atOnce {
			wait.Go(func() {
				for range (n + k) / atOnce {
					select {
					case <-stop:
						return
					default:
						seen.add(s.post(context.Background(), "/get_reward", body))
					}
				}
			})
		}
		wait.Wait()
		<-stop
		return seen.seen, nil
	}
}

// posts keeps n requests going, each of which must be answered with the status in time. body gives each of them by its number.
func posts(n int, body func(i int) string, within time.Duration, want string) func(*server, <-chan struct{}) (map[string]int, error) {
	return func(s *server, stop <-chan struct{}) (map[string]int, error) {
		var seen tally
		var wait sync.WaitGroup
		late := make(chan time.Duration, 1)
		var made atomic.Int64
		for range n {
			wait.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					begin := time.Now()
					seen.add(s.post(context.Background(), "/v1/steps", body(int(made.Add(1)))))
					if took := time.Since(begin); took > within {
						select {
						case late <- took:
						default:
						}
					}
				}
			})
		}
		wait.Wait()
		select {
		case took := <-late:
			return seen.seen, fmt.Errorf("one took %v, at most %v", took.Round(time.Millisecond), within)
		default:
		}
		if len(seen.seen) != 1 || seen.seen[want] == 0 {
			return seen.seen, fmt.Errorf("not all were answered with %s", want)
		}
		return seen.seen, nil
	}
}

// cancels sends long requests and leaves before they are answered.
func cancels(n, atOnce int) func(*server, <-chan struct{}) (map[string]int, error) {
	return func(s *server, stop <-chan struct{}) (map[string]int, error) {
		var seen tally
		var wait sync.WaitGroup
		for range atOnce {
			wait.Go(func() {
				for i := range n / atOnce {
					select {
					case <-stop:
						return
					default:
					}
					ctx, cancel := context.WithTimeout(context.Background(), time.Duration(1+i%20)*time.Millisecond)
					seen.add(s.post(ctx, "/v1/steps", steps(3000)))
					cancel()
				}
			})
		}
		wait.Wait()
		<-stop
		return seen.seen, nil
	}
}

const drainName = "SIGTERM beside 32 clients in a loop"

// drained ends the server under the load of 32 clients, which may see answers of 200 and 503 and a refused connection.
func (s *server) drained() result {
	row := result{name: drainName}
	var seen tally
	var wait sync.WaitGroup
	for range 32 {
		wait.Go(func() { seen.loop(s.address) })
	}
	time.Sleep(time.Second)
	row.rss = s.rss()
	begin := time.Now()
	err := s.command.Process.Signal(syscall.SIGTERM)
	wait.Wait()
	if err = errors.Join(err, s.command.Wait()); err != nil {
		row.faults = append(row.faults, err.Error())
	}
	if took := time.Since(begin); took > 5*time.Second {
		row.faults = append(row.faults, fmt.Sprintf("it took %v", took))
	}
	for what, n := range seen.seen {
		if what != "200" && what != "503" && what != "refused" {
			row.faults = append(row.faults, fmt.Sprintf("%d saw %s", n, what))
		}
	}
	row.seen = seen.seen
	return row
}

// loop asks on kept connections until one is refused.
func (t *tally) loop(address string) {
	body := `{"prompt":"q","response":"One.\n\nTwo."}`
	for {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.add(fault(err))
			return
		}
		in := bufio.NewReader(c)
		for last := false; !last; {
			_, err := io.WriteString(c, head(len(body))+body)
			var r *http.Response
			if err == nil {
				r, err = http.ReadResponse(in, nil)
			}
			if err == nil {
				_, err = io.Copy(io.Discard, r.Body)
			}
			if err != nil {
				t.add("cut")
				break
			}
			t.add(strconv.Itoa(r.StatusCode))
			last = r.Close
		}
		_ = c.Close()
	}
}
