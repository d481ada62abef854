package browsertest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Page is one tab. Its methods fail the test when the browser does not do what they ask.
type Page struct {
	t       testing.TB
	b       *Browser
	session string
	loaded  chan struct{}

	mu       sync.Mutex
	problems []string
}

// Page opens a tab.
func (b *Browser) Page(t testing.TB) *Page {
	t.Helper()
	var target struct{ TargetID string }
	var attached struct{ SessionID string }
	err := b.call("", "Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	if err == nil {
		err = b.call("", "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	}
	if err != nil {
		t.Fatal(err)
	}
	p := &Page{t: t, b: b, session: attached.SessionID, loaded: make(chan struct{}, 1)}
	b.mu.Lock()
	b.pages[p.session] = p
	b.mu.Unlock()
	for _, domain := range []string{"Page", "Runtime", "Log"} {
		p.do(domain+".enable", nil, nil)
	}
	return p
}

func (p *Page) do(method string, params, result any) {
	p.t.Helper()
	if err := p.b.call(p.session, method, params, result); err != nil {
		p.t.Fatal(err)
	}
}

// event notes what the page complains of.
func (p *Page) event(m message) {
	var e struct {
		Type             string
		Args             []struct{ Value any }
		Entry            struct{ Level, Text, URL string }
		ExceptionDetails struct {
			Text      string
			Exception struct{ Description string }
		}
	}
	_ = json.Unmarshal(m.Params, &e)
	problem := ""
	switch {
	case m.Method == "Page.loadEventFired":
		select {
		case p.loaded <- struct{}{}:
		default:
		}
	case m.Method == "Runtime.exceptionThrown":
		problem = e.ExceptionDetails.Text + " " + e.ExceptionDetails.Exception.Description
	case m.Method == "Runtime.consoleAPICalled" && (e.Type == "error" || e.Type == "warning"):
		problem = fmt.Sprint(e.Args)
	case m.Method == "Log.entryAdded" && e.Entry.Level == "error" && !strings.HasSuffix(e.Entry.URL, "/favicon.ico"):
		problem = e.Entry.Text + " " + e.Entry.URL
	}
	if problem != "" {
		p.mu.Lock()
		p.problems = append(p.problems, problem)
		p.mu.Unlock()
	}
}

// Problems are the errors and warnings in the page's console so far.
func (p *Page) Problems() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.problems)
}

// Open loads a page and waits until it is there.
func (p *Page) Open(url string) {
	p.t.Helper()
	var got struct{ ErrorText string }
	p.do("Page.navigate", map[string]any{"url": url}, &got)
	if got.ErrorText != "" {
		p.t.Fatalf("%s: %s", url, got.ErrorText)
	}
	select {
	case <-p.loaded:
	case <-time.After(patience):
		p.t.Fatalf("%s: not loaded in %v", url, patience)
	}
}

// View sets the width in CSS pixels, the color scheme (light or dark) and the medium (screen or print).
func (p *Page) View(width int, scheme, medium string) {
	p.t.Helper()
	p.do("Emulation.setDeviceMetricsOverride",
		map[string]any{"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}, nil)
	p.do("Emulation.setEmulatedMedia",
		map[string]any{"media": medium, "features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
}

// Eval evaluates an expression, waits for it if it is a promise, and decodes its value into result, which may be nil.
func (p *Page) Eval(expression string, result any) {
	p.t.Helper()
	var got struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails *struct {
			Text      string
			Exception struct{ Description string }
		}
	}
	p.do("Runtime.evaluate", map[string]any{"expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true}, &got)
	if e := got.ExceptionDetails; e != nil {
		p.t.Fatalf("%s: %s %s", expression[:min(len(expression), 200)], e.Text, e.Exception.Description)
	}
	if result != nil {
		if err := json.Unmarshal(got.Result.Value, result); err != nil {
			p.t.Fatalf("%s: %v", expression[:min(len(expression), 200)], err)
		}
	}
}

// Wait waits until an expression is true.
func (p *Page) Wait(expression string) {
	p.t.Helper()
	for until := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		done := false
		if p.Eval("!!("+expression+")", &done); done {
			return
		}
		if time.Now().After(until) {
			p.t.Fatalf("%s: not true in %v", expression, patience)
		}
	}
}

// Press presses and releases keys, each a character or a name such as Tab, Enter, Escape or ArrowDown.
func (p *Page) Press(keys ...string) {
	p.t.Helper()
	codes := map[string]int{"Tab": 9, "Enter": 13, "Escape": 27, " ": 32, "ArrowUp": 38, "ArrowDown": 40}
	for _, key := range keys {
		event := map[string]any{"type": "keyDown", "key": key, "windowsVirtualKeyCode": codes[key]}
		if len(key) == 1 {
			event["text"] = key
		} else if key == "Enter" {
			event["text"] = "\r"
		}
		p.do("Input.dispatchKeyEvent", event, nil)
		p.do("Input.dispatchKeyEvent", map[string]any{"type": "keyUp", "key": key, "windowsVirtualKeyCode": codes[key]}, nil)
	}
}

// Screenshot writes the page, at most its first 5000 pixels, to NAME.png in the folder that GOPRM_SCREENSHOTS names; without one it does
// nothing.
func (p *Page) Screenshot(name string) {
	p.t.Helper()
	dir := os.Getenv("GOPRM_SCREENSHOTS")
	if dir == "" {
		return
	}
	var size struct {
		CSSContentSize struct{ Width, Height float64 }
	}
	var image struct{ Data []byte }
	p.do("Page.getLayoutMetrics", nil, &size)
	clip := map[string]any{"x": 0, "y": 0, "width": size.CSSContentSize.Width, "height": min(5000, size.CSSContentSize.Height), "scale": 1}
	p.do("Page.captureScreenshot", map[string]any{"captureBeyondViewport": true, "clip": clip}, &image)
	if err := os.WriteFile(filepath.Join(dir, name+".png"), image.Data, 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// PDF is the page as it is printed.
func (p *Page) PDF() []byte {
	p.t.Helper()
	var out struct{ Data []byte }
	p.do("Page.printToPDF", map[string]any{"printBackground": false}, &out)
	return out.Data
}
