// Package ui is the page of prm ui: training runs as they go, and beside each other. It reads run folders that it found itself below the
// folders it was given, and nothing that a request names; it writes nothing.
package ui

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/goprm/goprm/internal/report"
	"github.com/goprm/goprm/internal/report/inputs"
)

//go:embed page.html.tmpl
var pageSource string

//go:embed page.css
var pageStyle string

//go:embed page.js
var pageScript string

// mostCompared is how many runs a page shows at a time.
const mostCompared = report.Colours

// Options say what is shown.
type Options struct {
	Roots []string // run folders, or folders that hold some
	Local bool     // requests must name a loopback host, so that no other site's page can reach the server by a name of its own
}

// Server is an http.Handler.
type Server struct {
	opt Options
	mux *http.ServeMux

	mu   sync.Mutex // one page is made at a time
	last struct {
		key, html string
		refused   []string
	}
}

// New makes a server. The folders must exist; they may hold no run yet.
func New(opt Options) (*Server, error) {
	if len(opt.Roots) == 0 {
		return nil, errors.New("no folder of runs")
	}
	for _, root := range opt.Roots {
		if err := isFolder(root); err != nil {
			return nil, err
		}
	}
	page, policy, err := page()
	if err != nil {
		return nil, err
	}
	s := &Server{opt: opt, mux: http.NewServeMux()}
	s.mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", policy)
		_, _ = w.Write(page)
	})
	s.mux.HandleFunc("GET /runs", s.runs)
	return s, nil
}

func page() (text []byte, policy string, err error) {
	t, err := template.New("page").Parse(pageSource)
	if err != nil {
		return nil, "", err
	}
	style := report.Style() + pageStyle
	var out bytes.Buffer
	err = t.Execute(&out, map[string]any{"Style": template.CSS(style), "Script": template.JS(pageScript), "Most": mostCompared})
	return out.Bytes(), report.ServedPolicy(style, pageScript), err
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Referrer-Policy", "no-referrer")
	if s.opt.Local && !loopback(r.Host) {
		http.Error(w, "this server answers requests to localhost only", http.StatusForbidden)
		return
	}
	s.mux.ServeHTTP(w, r)
}

func loopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// answer is what the page is told: the runs there are, and those that were asked for, or the newest one, drawn.
type answer struct {
	Runs    []run    `json:"runs"`
	More    int      `json:"more"` // runs that are not listed
	Chosen  []string `json:"chosen"`
	Refused []string `json:"refused"` // what cannot be shown, and why
	HTML    string   `json:"html"`    // its texts are escaped
}

func (s *Server) runs(w http.ResponseWriter, r *http.Request) {
	found, more, err := find(s.opt.Roots)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	chosen := choose(found, r.URL.Query()["run"])
	key := keyOf(found, chosen)
	if r.Header.Get("If-None-Match") == key {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	html, refused, err := s.draw(r.Context(), chosen)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	a := answer{Runs: found, More: more, Refused: refused, HTML: html, Chosen: []string{}}
	for _, c := range chosen {
		a.Chosen = append(a.Chosen, c.Name)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("ETag", key)
	w.Header().Set("Cache-Control", "no-cache")
	_ = json.NewEncoder(w).Encode(a) // a client that is gone needs no answer
}

// choose takes the runs of these names; without any the newest.
func choose(found []run, names []string) []run {
	var list []run
	for _, f := range found {
		if slices.Contains(names, f.Name) && len(list) < mostCompared {
			list = append(list, f)
		}
	}
	if len(list) == 0 && len(found) > 0 {
		list = found[:1]
	}
	return list
}

// keyOf changes with what there is to show: the runs, their states, and the files of those that are shown.
func keyOf(found, chosen []run) string {
	h := sha256.New()
	for _, list := range [][]run{found, chosen} {
		for _, f := range list {
			_, _ = fmt.Fprintf(h, "%q %q %d %d\n", f.Name, f.State, f.size, f.changed.UnixNano())
		}
		_, _ = fmt.Fprintln(h)
	}
	return `"` + hex.EncodeToString(h.Sum(nil)[:16]) + `"`
}

// draw lays runs out as prm report does.
func (s *Server) draw(ctx context.Context, chosen []run) (html string, refused []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := keyOf(nil, chosen)
	if s.last.key == key {
		return s.last.html, s.last.refused, nil
	}
	var paths []string
	for _, c := range chosen {
		paths = append(paths, c.path)
	}
	sections, refused, err := inputs.Runs(ctx, paths)
	if err != nil { // what was refused for that must not be remembered
		return "", nil, err
	}
	var out bytes.Buffer
	if err := report.WriteSections(&out, sections); err != nil {
		return "", nil, err
	}
	s.last.key, s.last.html, s.last.refused = key, out.String(), refused
	return s.last.html, refused, nil
}

// Serve answers what arrives at the listener until the context ends.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	h := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 2 * time.Minute,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10}
	failed := make(chan error, 1)
	go func() { failed <- h.Serve(l) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	left, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := h.Shutdown(left); err != nil {
		return h.Close()
	}
	return nil
}
