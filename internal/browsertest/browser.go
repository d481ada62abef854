// Package browsertest drives a headless Chromium in tests: it opens pages, presses keys, reads what came of them, takes screenshots and
// runs axe-core. It speaks the DevTools protocol over a pair of pipes, so that tests need the browser and nothing else.
package browsertest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience bounds the answer to one command.
const patience = 60 * time.Second

// Browser is a running Chromium.
type Browser struct {
	write io.WriteCloser

	mu      sync.Mutex
	next    int
	answers map[int]chan message
	pages   map[string]*Page
	ended   error
}

type message struct {
	ID      int             `json:"id,omitempty"`
	Session string          `json:"sessionId,omitempty"`
	Method  string          `json:"method,omitempty"`
	Params  json.RawMessage `json:"params,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

// Required tells whether a missing browser is a failure: GOPRM_BROWSER=required says so.
func Required() bool { return os.Getenv("GOPRM_BROWSER") == "required" }

func program() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// Start starts a browser that ends with the test. Without one the test is skipped, or fails if GOPRM_BROWSER=required.
func Start(t testing.TB) *Browser {
	t.Helper()
	path := program()
	switch {
	case path == "" && Required():
		t.Fatal("GOPRM_BROWSER=required, but no chromium is installed")
	case path == "":
		t.Skip("no chromium is installed")
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := exec.CommandContext(ctx, path, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
		"--no-first-run", "--disable-extensions", "--disable-background-networking", "--remote-debugging-pipe",
		"--user-data-dir="+filepath.Join(t.TempDir(), "profile"))
	toRead, toWrite, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	fromRead, fromWrite, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c.ExtraFiles = []*os.File{toRead, fromWrite} // descriptors 3 and 4, as the flag has it
	c.WaitDelay = 5 * time.Second
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = toRead.Close(), fromWrite.Close()
	b := &Browser{write: toWrite, answers: map[int]chan message{}, pages: map[string]*Page{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.listen(fromRead)
	}()
	t.Cleanup(func() {
		_ = b.call("", "Browser.close", nil, nil)
		_ = toWrite.Close()
		_ = c.Wait()
		cancel()
		_ = fromRead.Close()
		<-done
	})
	return b
}

// listen hands out answers and events until the browser ends.
func (b *Browser) listen(from io.Reader) {
	r := bufio.NewReaderSize(from, 1<<20)
	for {
		text, err := r.ReadBytes(0)
		var m message
		if err == nil {
			err = json.Unmarshal(text[:len(text)-1], &m)
		}
		b.mu.Lock()
		if err != nil {
			b.ended = fmt.Errorf("the browser ended: %w", err)
			for _, answer := range b.answers {
				close(answer)
			}
			b.answers = map[int]chan message{}
			b.mu.Unlock()
			return
		}
		answer, page := b.answers[m.ID], b.pages[m.Session]
		delete(b.answers, m.ID)
		b.mu.Unlock()
		switch {
		case m.ID != 0 && answer != nil:
			answer <- m
		case page != nil:
			page.event(m)
		}
	}
}

// call sends a command and waits for its answer.
func (b *Browser) call(session, method string, params, result any) error {
	text, err := json.Marshal(params)
	if err != nil {
		return err
	}
	if params == nil {
		text = []byte("{}")
	}
	answer := make(chan message, 1)
	b.mu.Lock()
	if b.ended != nil {
		b.mu.Unlock()
		return b.ended
	}
	b.next++
	id := b.next
	b.answers[id] = answer
	line, err := json.Marshal(message{ID: id, Session: session, Method: method, Params: text})
	if err == nil {
		_, err = b.write.Write(append(line, 0))
	}
	b.mu.Unlock()
	if err != nil {
		return err
	}
	select {
	case m, ok := <-answer:
		switch {
		case !ok:
			return errors.New("the browser ended")
		case m.Error != nil:
			return fmt.Errorf("%s: %s", method, strings.TrimSpace(m.Error.Message))
		case result != nil:
			return json.Unmarshal(m.Result, result)
		}
		return nil
	case <-time.After(patience):
		return fmt.Errorf("%s: no answer in %v", method, patience)
	}
}
