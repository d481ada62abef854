// Package llmtest is a scripted server of OpenAI's API that misbehaves on request and keeps account of what it was asked, what it
// said and what it charges for.
package llmtest

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"
)

// Fault is a way to misbehave.
type Fault string

const (
	None          Fault = ""
	RateLimit     Fault = "429, wait in seconds"
	RateLimitDate Fault = "429, wait as a date"
	ServerError   Fault = "500"
	Unavailable   Fault = "503"
	Hang          Fault = "hang"
	Drip          Fault = "slow drip"
	Reset         Fault = "connection reset"
	CutBody       Fault = "body cut"
	NoJSON        Fault = "body not JSON"
	NoUsage       Fault = "no usage" // a whole answer, but nothing is said of its cost
	TooFew        Fault = "no completion"
	Refusal       Fault = "refusal"
	Filter        Fault = "content filter"
	Length        Fault = "limit of tokens"
	Prose         Fault = "prose around the JSON"
	CutJSON       Fault = "answer cut"
	OutOfRange    Fault = "out of range"
	NaN           Fault = "NaN"
	Quoted        Fault = "numbers as strings"
	Missing       Fault = "a field missing"
	Doubled       Fault = "a field twice"
	WrongSteps    Fault = "wrong number of steps"
)

// Faults are all ways to misbehave, without NoUsage.
var Faults = []Fault{
	RateLimit, RateLimitDate, ServerError, Unavailable, Hang, Drip, Reset, CutBody, NoJSON, TooFew, Refusal, Filter, Length,
	Prose, CutJSON, OutOfRange, NaN, Quoted, Missing, Doubled, WrongSteps,
}

// Message and Chat are a request as it came.
type Message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

type Chat struct {
	Model               string    `json:"model"`
	Messages            []Message `json:"messages"`
	N                   int       `json:"n"`
	MaxTokens           int       `json:"max_tokens"`
	MaxCompletionTokens int       `json:"max_completion_tokens"`
	Temperature         *float64  `json:"temperature"`
	Seed                *int64    `json:"seed"`
	ResponseFormat      *struct {
		Type   string `json:"type"`
		Schema struct {
			Name   string `json:"name"`
			Schema Schema `json:"schema"`
		} `json:"json_schema"`
	} `json:"response_format"`
}

// Prompt is the text of all messages.
func (q *Chat) Prompt() string {
	var b strings.Builder
	for _, m := range q.Messages {
		fmt.Fprintf(&b, "<%s>\n%s\n", m.Role, m.Content)
	}
	return b.String()
}

// Call is a request and what became of it.
type Call struct {
	Path   string
	Header http.Header
	Body   []byte
	Chat   Chat // of a chat completion
	Fault  Fault
	Said   []string // whole answers; nil where the fault spoiled them
	Tokens int64    // charged
}

// Script says how a server behaves. Its functions are called by many goroutines.
type Script struct {
	// Answer is the text of completion i; nil: Fill by the request's schema, or a short text where it has none.
	Answer func(q *Chat, i int) string
	// Embed is the vector of a text; nil: 8 numbers drawn from its hash.
	Embed func(text string) []float32
	// Style is how the answers are said; "": Plain.
	Style Style
	// Cut ends what is longer than the limit of tokens, four bytes each, as a server does.
	Cut bool
	// Refuse, if not nil, may refuse a chat completion before anything is charged for it: with this status and body. Status 0: it does not.
	Refuse func(q *Chat) (status int, body string)
	// Fault is asked once a request, with the number of requests before it; nil: None.
	Fault func(number int) Fault
	// RetryAfter is what the 429s ask for, a second where it is 0; Pace is the time between two bytes of a slow drip, 20 ms where it is 0.
	RetryAfter string
	Pace       time.Duration
	// Forget drops each call after it was counted, for long runs.
	Forget bool
}

// Server listens on a port of the loopback interface.
type Server struct {
	script Script
	http   *httptest.Server
	stop   chan struct{}

	mu     sync.Mutex
	number int
	calls  []Call
	tokens int64
	flying int
	peak   int
}

// New starts a server; Close stops it.
func New(script Script) *Server {
	s := &Server{script: script, stop: make(chan struct{})}
	s.http = httptest.NewServer(http.HandlerFunc(s.serve))
	return s
}

// URL is the base of the API.
func (s *Server) URL() string { return s.http.URL + "/v1" }

func (s *Server) Close() {
	close(s.stop)
	s.http.Close()
}

// Calls returns the requests so far.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Call(nil), s.calls...)
}

// Count returns the number of requests, the tokens charged for them, and the most requests that were in flight at once.
func (s *Server) Count() (requests int, tokens int64, peak int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.number, s.tokens, s.peak
}

// Random gives each request a fault with the given probability, all kinds alike, by the number of the request.
func Random(seed uint64, probability float64, faults ...Fault) func(int) Fault {
	return func(number int) Fault {
		r := rand.New(rand.NewPCG(seed, uint64(number)))
		if r.Float64() >= probability {
			return None
		}
		return faults[r.IntN(len(faults))]
	}
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	s.mu.Lock()
	number := s.number
	s.number++
	s.flying++
	s.peak = max(s.peak, s.flying)
	s.mu.Unlock()
	call := Call{Path: r.URL.Path, Header: r.Header.Clone(), Body: body}
	if s.script.Fault != nil {
		call.Fault = s.script.Fault(number)
	}
	status, response := s.answer(&call)
	s.mu.Lock()
	s.tokens += call.Tokens
	if !s.script.Forget {
		s.calls = append(s.calls, call)
	}
	s.flying--
	s.mu.Unlock()
	s.send(w, r, call.Fault, status, response)
}

// answer makes the response and charges for it, before anything is sent: a client that goes away has still cost.
func (s *Server) answer(call *Call) (status int, response []byte) {
	problem := func(status int, text string) (int, []byte) {
		return status, fmt.Appendf(nil, `{"error":{"message":%q}}`, text)
	}
	var err error
	var texts struct {
		Input []string `json:"input"`
	}
	switch call.Path {
	case "/v1/chat/completions":
		err = json.Unmarshal(call.Body, &call.Chat)
	case "/v1/embeddings":
		err = json.Unmarshal(call.Body, &texts)
	default:
		return problem(http.StatusNotFound, "no such path")
	}
	if err != nil {
		return problem(http.StatusBadRequest, err.Error())
	}
	switch call.Fault {
	case RateLimit, RateLimitDate:
		return problem(http.StatusTooManyRequests, "slow down")
	case Unavailable:
		return problem(http.StatusServiceUnavailable, "loading")
	}
	if refuse := orNever(s.script.Style.refusal(), s.script.Refuse); call.Path == "/v1/chat/completions" {
		if status, body := refuse(&call.Chat); status != 0 {
			return status, []byte(body)
		}
	}
	var answer any
	if call.Path == "/v1/embeddings" {
		answer = s.embed(call, texts.Input)
	} else {
		answer = s.chat(call)
	}
	if call.Fault == ServerError {
		return problem(http.StatusInternalServerError, "out of memory after the answer was made")
	}
	text, err := json.Marshal(answer)
	if err != nil {
		return problem(http.StatusInternalServerError, err.Error())
	}
	switch call.Fault {
	case NoJSON:
		return http.StatusOK, []byte("<html>upstream is gone</html>")
	case NaN:
		if call.Path == "/v1/embeddings" {
			text = []byte(strings.Replace(string(text), `"embedding":[`, `"embedding":[NaN,`, 1))
		}
	}
	return http.StatusOK, text
}

func (s *Server) chat(call *Call) any {
	q := &call.Chat
	type object = map[string]any
	var choices []object
	completion := 0
	for i := range max(q.N, 1) {
		var text string
		switch {
		case s.script.Answer != nil:
			text = s.script.Answer(q, i)
		case q.ResponseFormat != nil || s.script.Style != Plain:
			text = Fill(q, i)
		default:
			text = fmt.Sprintf("answer %d to %d bytes", i, len(q.Prompt()))
		}
		said, finish := s.script.Style.say(text)
		limit := max(q.MaxTokens, q.MaxCompletionTokens)
		if s.script.Cut && len(said) > 4*limit {
			said, finish = said[:4*limit], "length"
		}
		message, whole := object{"role": "assistant", "content": said}, false
		switch call.Fault {
		case Refusal:
			message["content"], message["refusal"] = nil, "I cannot help with that."
		case Filter:
			finish = "content_filter"
		case Length:
			finish, message["content"] = "length", text[:len(text)/2]
		case Prose:
			message["content"] = "Sure, here is my verdict:\n```json\n" + text + "\n```"
		case CutJSON:
			message["content"] = text[:len(text)-1]
		case OutOfRange, NaN, Quoted, Missing, Doubled, WrongSteps:
			message["content"] = spoil(call.Fault, text)
		case None, NoUsage:
			whole = true
		}
		completion += min(1+len(text)/4, limit)
		choices = append(choices, object{"index": i, "message": message, "finish_reason": finish})
		if whole {
			call.Said = append(call.Said, text)
		}
	}
	if call.Fault == TooFew {
		choices = choices[1:]
	}
	prompt := 1 + len(q.Prompt())/4
	call.Tokens = int64(prompt + completion)
	answer := object{"id": "chatcmpl-1", "object": "chat.completion", "model": q.Model, "choices": choices}
	if call.Fault != NoUsage {
		answer["usage"] = object{
			"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion,
			"prompt_tokens_details": object{"cached_tokens": prompt / 2},
		}
	}
	return answer
}

func (s *Server) embed(call *Call, texts []string) any {
	type item struct {
		Index     int       `json:"index"`
		Embedding []float32 `json:"embedding"`
	}
	items := make([]item, len(texts))
	for i, text := range texts {
		v := make([]float32, 8)
		if s.script.Embed != nil {
			v = s.script.Embed(text)
		} else {
			r := hashed(text)
			for k := range v {
				v[k] = float32(r.NormFloat64())
			}
		}
		call.Tokens += int64(1 + len(text)/4)
		items[len(texts)-1-i] = item{i, v} // the order is the client's to restore
	}
	switch call.Fault {
	case TooFew, WrongSteps:
		items = items[1:]
	case Doubled:
		items[0].Index = items[len(items)-1].Index
	case CutJSON, Missing:
		items[0].Embedding = items[0].Embedding[1:]
	}
	return map[string]any{"data": items, "usage": map[string]int64{"prompt_tokens": call.Tokens, "total_tokens": call.Tokens}}
}

func (s *Server) send(w http.ResponseWriter, r *http.Request, fault Fault, status int, response []byte) {
	w.Header().Set("Content-Type", "application/json")
	switch fault {
	case Hang:
		select {
		case <-r.Context().Done():
		case <-s.stop:
		}
		panic(http.ErrAbortHandler)
	case Reset:
		panic(http.ErrAbortHandler)
	case CutBody:
		w.Header().Set("Content-Length", fmt.Sprint(len(response)))
		response = response[:len(response)/2]
	case RateLimit:
		w.Header().Set("Retry-After", orElse(s.script.RetryAfter, "1"))
	case RateLimitDate:
		w.Header().Set("Retry-After", orElse(s.script.RetryAfter, time.Now().Add(time.Second).UTC().Format(http.TimeFormat)))
	}
	w.WriteHeader(status)
	if fault != Drip {
		_, _ = w.Write(response) // the client may be gone
		return
	}
	pace := s.script.Pace
	if pace == 0 {
		pace = 20 * time.Millisecond
	}
	for i := range response {
		if _, err := w.Write(response[i : i+1]); err != nil {
			return
		}
		_ = http.NewResponseController(w).Flush()
		select {
		case <-time.After(pace):
		case <-r.Context().Done():
			return
		case <-s.stop:
			return
		}
	}
}

func orElse(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

func hashed(parts ...any) *rand.Rand {
	h := fnv.New64a()
	_, _ = fmt.Fprintln(h, parts...)
	return rand.New(rand.NewPCG(h.Sum64(), 0))
}
