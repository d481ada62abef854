package serve

import (
	_ "embed"
	"io"
	"net/http"
)

//go:embed openapi.json
var openAPI string

// route is one endpoint; those that are open need no token.
type route struct {
	method, path string
	open         bool
	handler      http.Handler
}

// endpoint answers requests with a value.
type endpoint struct {
	path    string
	answer  func(*call) (any, error)
	task    string // of vLLM's, that the field of this name may say; "": none
	trainer bool   // a trainer's, which may call the model what it likes
}

// taskOfModel is what /pooling does: token_classify for a model that scores steps, else classify.
const taskOfModel = "model"

var endpoints []endpoint

func init() {
	endpoints = []endpoint{
		{path: "/get_reward", answer: getReward, trainer: true},
		{path: "/reward/remote_rm", answer: remoteRM, trainer: true},
		{path: "/reward/llamafactory", answer: llamaFactory, trainer: true},
		{path: "/pooling", answer: pooling, task: taskOfModel},
		{path: "/classify", answer: classify, task: "classify"},
		{path: "/score", answer: pairScore, task: "classify"},
		{path: "/v1/score", answer: pairScoreV1, task: "classify"},
		{path: "/rerank", answer: rerank, task: "classify"},
		{path: "/v1/rerank", answer: rerank, task: "classify"},
		{path: "/v2/rerank", answer: rerank, task: "classify"},
		{path: "/generative_scoring", answer: generativeScoring},
		{path: "/v1/embeddings", answer: embeddings, task: "embed"},
		{path: "/tokenize", answer: tokenize},
		{path: "/detokenize", answer: detokenize},
		{path: "/v1/steps", answer: steps},
		{path: "/page/trace", answer: pageTrace},
	}
}

func (s *Server) table() []route {
	list := []route{
		{"GET", "/{$}", true, http.HandlerFunc(s.page)},
		{"GET", "/openapi.json", true, static("application/json", openAPI)},
		{"GET", "/health", true, http.HandlerFunc(s.alive)},
		{"GET", "/healthz", true, http.HandlerFunc(s.alive)},
		{"GET", "/readyz", true, http.HandlerFunc(s.ready)},
		{"GET", "/metrics", false, s.metrics.handler()},
		{"GET", "/v1/models", false, http.HandlerFunc(s.models)},
	}
	for i := range endpoints {
		list = append(list, route{"POST", endpoints[i].path, false, s.post(&endpoints[i])})
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
		s.mux.Handle(r.method+" "+r.path, h)
	}
}

func static(kind, text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		_, _ = io.WriteString(w, text)
	})
}

func (s *Server) alive(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }

// ready tells balancers whether to send requests here: not while shutting down, nor when the model is lost.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	draining, lost := s.draining, s.serving.why()
	s.mu.Unlock()
	if draining {
		lost = errDraining
	}
	if lost != nil {
		s.reply(w, r, nil, withStatus(http.StatusServiceUnavailable, lost))
		return
	}
	s.reply(w, r, map[string]any{"ready": true}, nil)
}
