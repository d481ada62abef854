package prm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/shareddata"
	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// serving opens a model twice: once for a server, once to compare with.
func serving(t *testing.T, dir string, open OpenOptions, opt ServerOptions) (*Model, string) {
	t.Helper()
	served, err := Open(dir, open)
	require.NoError(t, err)
	s, err := NewServer(served, opt)
	require.NoError(t, err)
	h := httptest.NewServer(s)
	alone, err := Open(dir, open)
	require.NoError(t, err)
	t.Cleanup(func() {
		h.Close()
		require.NoError(t, s.Close())
		require.NoError(t, served.Close())
		require.NoError(t, alone.Close())
	})
	return alone, h.URL
}

// post may be called by any goroutine.
func post(t *testing.T, client *http.Client, url string, body, into any) {
	t.Helper()
	text, err := json.Marshal(body)
	assert.NoError(t, err)
	r, err := client.Post(url, "application/json", bytes.NewReader(text))
	if !assert.NoError(t, err) {
		return
	}
	answer, err := io.ReadAll(r.Body)
	assert.NoError(t, errors.Join(err, r.Body.Close()))
	assert.Equal(t, 200, r.StatusCode, string(answer))
	assert.NoError(t, json.Unmarshal(answer, into), string(answer))
}

// 64 clients ask in different ways at once, and every answer has the bits of Score, whatever shared its batch; some of the texts are
// longer than what the model reads at once.
func TestServerEqualsScore(t *testing.T) {
	dir := train(t, config(t, tiny(t, tinymodel.Options{}))).Model
	// The texts bring the tiny batches of 300 tokens to different sizes.
	m, url := serving(t, dir, OpenOptions{Backend: "portable", MaxTokens: 100}, ServerOptions{BatchTokens: 300, Beta: data.Float(0.25)})
	list := sums(40, 9)
	want := make([]*Score, len(list))
	lines := make([]string, len(list))
	windows := 0
	for i, trajectory := range list {
		trajectory.Problem = strings.Repeat("Again. ", i%4) + trajectory.Problem
		if i%5 == 0 {
			trajectory.ResponseSteps = append(trajectory.ResponseSteps, trajectory.ResponseSteps...)
			trajectory.ResponseSteps = append(trajectory.ResponseSteps, trajectory.ResponseSteps...)
		}
		trajectory.Labels = data.Labels{}
		var err error
		want[i], err = m.Score(context.Background(), trajectory)
		require.NoError(t, err)
		line, err := json.Marshal(want[i])
		require.NoError(t, err)
		lines[i] = string(line)
		windows += want[i].Steps[len(want[i].Steps)-1].Window
	}
	require.Positive(t, windows)
	rounds := 30
	if testing.Short() {
		rounds = 5
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	defer client.CloseIdleConnections()
	var wait sync.WaitGroup
	for c := range 64 {
		wait.Go(func() {
			for k := range rounds {
				i := (c*7 + k*3) % len(list)
				trajectory, response := list[i], strings.Join(list[i].ResponseSteps, "\n\n")
				text := "<|im_start|>user\n" + trajectory.Problem + "<|im_end|>\n<|im_start|>assistant\n" + response + "<|im_end|>\n"
				unit := want[i].Reward / (1 + m.Info().Alpha)
				switch (c + k) % 4 {
				case 0:
					var line json.RawMessage
					post(t, client, url+"/v1/steps",
						map[string]any{"id": trajectory.ID, "problem": trajectory.Problem, "response_steps": trajectory.ResponseSteps}, &line)
					assert.Equal(t, lines[i], string(line))
				case 1:
					var got struct{ Rewards, Scores []float64 }
					post(t, client, url+"/get_reward", map[string]any{"query": []string{text, text}}, &got)
					assert.Equal(t, []float64{want[i].Reward, want[i].Reward}, got.Rewards)
					assert.Equal(t, []float64{unit, unit}, got.Scores)
				case 2:
					var got float64
					post(t, client, url+"/reward/remote_rm",
						map[string]any{"prompt": trajectory.Problem, "response": response + " \\boxed{7}", "label": 7}, &got)
					assert.Greater(t, got, 0.75)
				case 3:
					var got struct{ Data []struct{ Data [][]float64 } }
					post(t, client, url+"/pooling", map[string]any{"input": text}, &got)
					if !assert.Len(t, got.Data, 1) || !assert.Len(t, got.Data[0].Data, len(want[i].Steps)) {
						return
					}
					for j, s := range want[i].Steps {
						assert.Equal(t, []float64{1 - s.Score, s.Score}, got.Data[0].Data[j])
					}
				}
			}
		})
	}
	wait.Wait()
	_, err := NewServer(m, ServerOptions{Queue: -1, Parts: "some"})
	require.ErrorContains(t, err, "queue")
	require.ErrorContains(t, err, "parts")
}

// What vLLM's clients send, text or ids with the step marks in them, has the numbers that PyTorch gives for those ids.
func TestServerPooling(t *testing.T) {
	dir := filepath.Join(shareddata.Dir(t), "data", "goldens", "heads", "qwen_math_prm")
	m, url := serving(t, dir, OpenOptions{DType: "f64"}, ServerOptions{Name: "prm"})
	trajectory := &data.Trajectory{Problem: "A shelf holds 4 rows of 9 books; 5 are lent out. How many are left?", ResponseSteps: []string{
		"There are 4 * 9 = 36 books.", "Wait, some are lent out: 36 - 5 = 31.", "The shelf still holds \\boxed{31} books."}}
	list, err := m.render(trajectory)
	require.NoError(t, err)
	var golden struct {
		IDs []int32 `json:"input_ids"`
		F64 struct{ Scores []float64 }
	}
	readJSONFile(t, filepath.Join(dir, "expected.json"), &golden)
	require.Equal(t, golden.IDs, list[0].Tokens)
	tok, err := openTokenizer(m.folder)
	require.NoError(t, err)
	text, err := tok.Decode(golden.IDs)
	require.NoError(t, err)
	answer := strings.Join(trajectory.ResponseSteps, "<extra_0>") + "<extra_0>"
	for name, body := range map[string]any{
		"ids":  map[string]any{"model": "prm", "input": golden.IDs},
		"text": map[string]any{"model": "prm", "input": text},
		"messages": map[string]any{"messages": []map[string]string{{"role": "user", "content": trajectory.Problem},
			{"role": "assistant", "content": answer}}},
		"no marks": map[string]any{"messages": []map[string]string{{"role": "user", "content": trajectory.Problem},
			{"role": "assistant", "content": strings.Join(trajectory.ResponseSteps, "\n\n")}}},
	} {
		var got struct {
			Data  []struct{ Data [][]float64 }
			Usage struct {
				PromptTokens int `json:"prompt_tokens"`
			}
		}
		post(t, http.DefaultClient, url+"/pooling", body, &got)
		require.Len(t, got.Data[0].Data, 3, name)
		require.Equal(t, len(golden.IDs), got.Usage.PromptTokens, name)
		for i, row := range got.Data[0].Data {
			require.InEpsilon(t, golden.F64.Scores[i], row[1], 1e-9, name)
			require.InEpsilon(t, 1, row[0]+row[1], 1e-15)
		}
	}
}

// Models that score no steps, and those whose scores have no bounds.
func TestServerOutcomeModels(t *testing.T) {
	heads := filepath.Join(shareddata.Dir(t), "data", "goldens", "heads")
	for name, unit := range map[string]func(float64) float64{
		"sequence_classification": func(v float64) float64 { return 1 / (1 + math.Exp(-v)) },
		"reasonflux_1_5b":         func(v float64) float64 { return v },
	} {
		m, url := serving(t, filepath.Join(heads, name), OpenOptions{}, ServerOptions{})
		want, err := m.Score(context.Background(), &data.Trajectory{Problem: "1+1?", Response: "It is 2."})
		require.NoError(t, err)
		var got struct {
			Data []struct{ Embedding []float64 }
		}
		text := "<|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\nIt is 2.<|im_end|>"
		post(t, http.DefaultClient, url+"/v1/embeddings", map[string]any{"model": name, "input": text}, &got)
		require.Equal(t, []float64{want.Reward}, got.Data[0].Embedding)
		var rewards struct{ Rewards, Scores []float64 }
		post(t, http.DefaultClient, url+"/get_reward", map[string]any{"query": []string{text}}, &rewards)
		require.Equal(t, want.Reward, rewards.Rewards[0])
		require.InEpsilon(t, unit(want.Reward), rewards.Scores[0], 1e-12, fmt.Sprint(name))
	}
}

func readJSONFile(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, into))
}
