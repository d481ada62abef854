package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/served"
	"github.com/stretchr/testify/require"
)

// fake scores a step with a hundredth of its length, and the whole with 0.5. Tokens are bytes.
type fake struct {
	info    Info
	mu      sync.Mutex
	batches [][]string // problems
	block   chan struct{}
	begun   chan struct{}             // told of each batch
	hold    func(problem string) bool // which batches block holds, by their first problem; nil: all
	once    sync.Once
}

// unblock lets batches run that block holds.
// began waits until a batch has begun that nobody was told of.
func (f *fake) began(t *testing.T) {
	t.Helper()
	waitFor(t, "a batch begins", func() bool { return len(f.begun) > 0 })
	<-f.begun
}

func (f *fake) unblock() {
	if f.block != nil {
		f.once.Do(func() { close(f.block) })
	}
}

type fakeText struct {
	problem string
	steps   []string
	windows int
}

func (t fakeText) Tokens() int {
	n := len(t.problem)
	for _, s := range t.steps {
		n += len(s)
	}
	return n
}
func (t fakeText) Windows() int { return max(1, t.windows) }

func fakeOf(t Text) fakeText {
	if u, ok := t.(Uncached); ok {
		t = u.Text
	}
	return t.(fakeText)
}

func newFake() *fake {
	return &fake{info: Info{Name: "fake", MaxTokens: 400, Alpha: 1, Steps: true, Trajectory: true, Mark: "#"},
		begun: make(chan struct{}, 1000)}
}

func (f *fake) Info() Info { return f.info }

func (f *fake) Render(_ context.Context, t *data.Trajectory, limits Limits) (Text, error) {
	thinking, response := t.Cut("\n\n")
	steps := append(append([]string{}, thinking.Steps...), response.Steps...)
	if len(steps) == 0 {
		return nil, errors.New("no steps")
	}
	if len(steps) > limits.Steps {
		return nil, withStatus(413, errors.New("too many steps"))
	}
	text := fakeText{problem: t.Problem, steps: steps}
	text.windows = 1 + text.Tokens()/f.info.MaxTokens
	return text, nil
}

func (f *fake) RenderTokens(ids []int32) (Text, error) {
	text, err := f.Decode(ids)
	steps := strings.Split(text, "#")
	return fakeText{steps: steps[:len(steps)-1]}, err
}

func (f *fake) Encode(text string) ([]int32, error) {
	var ids []int32
	for _, b := range []byte(text) {
		ids = append(ids, int32(b))
	}
	return ids, nil
}

func (f *fake) Decode(ids []int32) (string, error) {
	var b []byte
	for i, id := range ids {
		if id < 0 || id > 255 {
			return "", fmt.Errorf("id %d at %d", id, i)
		}
		b = append(b, byte(id))
	}
	return string(b), nil
}

func (f *fake) Chat(turns []data.Turn) (string, error) {
	var b strings.Builder
	for _, t := range turns {
		b.WriteString(t.Role + ":" + t.Content + ".")
	}
	return b.String(), nil
}

func (f *fake) ChatPrompt(turns []data.Turn) (string, error) {
	text, err := f.Chat(turns)
	return text + "assistant:", err
}

func (f *fake) Token(id int32) (string, bool) { return fmt.Sprintf("<%c>", id), true }

func (f *fake) Surround() (before, after []int32, err error) { return []int32{'^'}, nil, nil }

// NextToken gives label l the log-probability −l/100, and a text's first byte as a further one less for each.
func (f *fake) NextToken(_ context.Context, texts [][]int32, labels []int32, _ bool) ([][]float64, error) {
	if f.info.Mark == "" {
		return nil, served.ErrNoVocabulary
	}
	out := make([][]float64, len(texts))
	for i, ids := range texts {
		for _, l := range labels {
			out[i] = append(out[i], -float64(l)/100-float64(ids[0])*float64(l)/10000)
		}
	}
	return out, nil
}

func (f *fake) Score(_ context.Context, texts []Text) ([]Score, error) {
	var problems []string
	for _, t := range texts {
		problems = append(problems, fakeOf(t).problem)
	}
	f.mu.Lock()
	f.batches = append(f.batches, problems)
	f.mu.Unlock()
	f.begun <- struct{}{}
	if f.block != nil && (f.hold == nil || f.hold(problems[0])) {
		<-f.block
	}
	out := make([]Score, len(texts))
	for i, t := range texts {
		text := fakeOf(t)
		switch text.problem {
		case "panic":
			panic("a bug")
		case "broken":
			out[i].Err = errors.New("broken arithmetic")
			continue
		}
		out[i] = Score{Trajectory: data.Float(0.5), Line: json.RawMessage(fmt.Sprintf(`{"n":%d}`, len(text.steps)))}
		for _, s := range text.steps {
			v := float64(len(s)) / 100
			if f.info.Steps || f.info.Range != Unbounded {
				out[i].Steps = append(out[i].Steps, v)
			}
			if _, alone := t.(Uncached); alone && f.info.Range == Probability {
				out[i].Logits = append(out[i].Logits, []float64{-v, v})
			}
			out[i].Reward += v / float64(len(text.steps))
		}
		out[i].Reward += 0.5
		for k, s := range text.steps { // fake cuts at blank lines, and all is response
			end := len(s)
			if k > 0 {
				end += out[i].Shares[k-1].End + 2
			}
			out[i].Shares = append(out[i].Shares, StepShare{End: end, Weight: 1 / float64(len(text.steps))})
		}
		if text.problem == "no parts" {
			out[i].Reward = math.NaN()
		}
	}
	return out, nil
}

func (f *fake) seen() [][]string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([][]string{}, f.batches...)
}

// exact compares texts; a gold answer that begins with "code" cannot be compared.
type exact struct{}

func (exact) ID() string { return "exact" }
func (exact) Verify(gold, text string) (bool, string, error) {
	if strings.HasPrefix(gold, "code") {
		return false, "", errors.New("it is code")
	}
	return gold == text, "", nil
}

func start(t *testing.T, f *fake, opt Options) (*Server, string) {
	t.Helper()
	opt.Verifier = exact{}
	s, err := New(f, opt)
	require.NoError(t, err)
	h := httptest.NewServer(s)
	t.Cleanup(func() {
		f.unblock()
		require.NoError(t, s.Close())
		h.CloseClientConnections() // a request that a test gave up may wait for ever
		h.Close()
	})
	return s, h.URL
}

// ask posts a body and returns status, body and headers.
func ask(t *testing.T, url, body string) (int, string, http.Header) {
	t.Helper()
	r, err := (&http.Client{Timeout: 10 * time.Second}).Post(url, "application/json", strings.NewReader(body))
	require.NoError(t, err)
	defer func() { require.NoError(t, r.Body.Close()) }()
	text, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	return r.StatusCode, strings.TrimSpace(string(text)), r.Header
}
