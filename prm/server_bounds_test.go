package prm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/goprm/goprm/internal/served"
	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/stretchr/testify/require"
)

// What is too much is refused by its steps or tokens, soon and before it is scored; what is not is answered, long or short.
func TestServerRefusesTooMuch(t *testing.T) {
	dir := train(t, config(t, tiny(t, tinymodel.Options{}))).Model
	_, url := serving(t, dir, OpenOptions{Backend: "portable"}, ServerOptions{MaxSteps: 1000, MaxTokens: 5000})
	ask := func(steps int, step string) (int, string) {
		body, err := json.Marshal(map[string]any{"problem": "p", "response": strings.Repeat(step+"\n\n", steps)})
		require.NoError(t, err)
		begin := time.Now()
		r, err := http.Post(url+"/v1/steps", "application/json", bytes.NewReader(body))
		require.NoError(t, err)
		text, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		require.NoError(t, r.Body.Close())
		if r.StatusCode == 413 {
			require.Less(t, time.Since(begin), 2*time.Second)
		}
		return r.StatusCode, string(text)
	}
	for _, steps := range []int{1001, 10_000} {
		status, text := ask(steps, "a")
		require.Equal(t, 413, status, text)
		require.Contains(t, text, fmt.Sprint(steps, " steps, at most 1000 are taken"))
	}
	status, text := ask(900, strings.Repeat("word ", 8))
	require.Equal(t, 413, status, text)
	require.Contains(t, text, "at most 5000 are taken")
	status, text = ask(400, "a")
	require.Equal(t, 200, status, text)
}

// The two branches of a lost model's error meet here.
func TestLostModelIsToldToTheServer(t *testing.T) {
	s := &servedModel{model: &Model{}}
	err := s.lost(&LostError{errors.New("model.safetensors: cut at 12 bytes")})
	require.ErrorIs(t, err, served.ErrLost)
	require.ErrorAs(t, err, new(*LostError))
	require.ErrorContains(t, err, "model.safetensors: cut at 12 bytes")
	require.NotErrorIs(t, s.lost(ErrClosed), served.ErrLost)
	require.NoError(t, s.lost(nil))
	gone := &DeviceLostError{"cuda:1", errors.New("a kernel failed")}
	err = s.lost(gone)
	require.ErrorContains(t, err, "device cuda:1 is lost, for this process: a kernel failed")
	require.NotErrorIs(t, err, served.ErrLost, "another device goes on")
	require.Equal(t, 503, err.(*served.RequestError).Status)
	s.model.queue.lose(gone)
	require.ErrorIs(t, s.lost(gone), served.ErrLost, "none does")
}
