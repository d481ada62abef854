package serve

import (
	_ "embed"
	"io"
	"net/http"
)

//go:embed page.html
var page string

//go:embed openapi.json
var openAPI string

// route is one endpoint; those that are open need no token.
type route struct {
	method, path string
	open         bool
	handler      http.Handler
}

func (s *Server) table() []route {
	list := []route{
		{"GET", "/{$}", true, static("text/html; charset=utf-8", page)},
		{"GET", "/openapi.json", true, static("application/json", openAPI)},
		{"GET", "/health", true, http.HandlerFunc(s.alive)},
		{"GET", "/healthz", true, http.HandlerFunc(s.alive)},
		{"GET", "/readyz", true, http.HandlerFunc(s.ready)},
		{"GET", "/metrics", false, s.metrics.handler()},
		{"GET", "/v1/models", false, http.HandlerFunc(s.models)},
	}
	for path, answer := range map[string]func(*call) (any, error){
		"/get_reward": getReward, "/reward/remote_rm": remoteRM, "/reward/llamafactory": llamaFactory,
		"/pooling": pooling, "/classify": classify, "/score": pairScore, "/v1/score": pairScore, "/rerank": rerank, "/v1/rerank": rerank, "/v2/rerank": rerank,
		"/v1/embeddings": embeddings, "/tokenize": tokenize,
		"/v1/steps": steps,
	} {
		list = append(list, route{"POST", path, false, s.post(answer)})
	}
	return list
}

func (s *Server) routes() {
	s.mux = http.NewServeMux()
	for _, r := range s.table() {
		h := r.handler
		if !r.open {
			h = s.guarded(h)
		}
		s.mux.Handle(r.method+" "+r.path, s.metrics.count(r.path, h))
	}
}

func static(kind, text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		_, _ = io.WriteString(w, text)
	})
}

func (s *Server) alive(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }

// ready tells balancers whether to send requests here.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	draining := s.draining
	s.mu.Unlock()
	if draining {
		s.reply(w, r, nil, &statusError{http.StatusServiceUnavailable, errDraining})
		return
	}
	s.reply(w, r, map[string]any{"ready": true}, nil)
}
