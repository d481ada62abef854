package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// Answers of another text, of other steps, with another score or none are told apart from right ones.
func TestLoad(t *testing.T) {
	dir := t.TempDir()
	in, scores := filepath.Join(dir, "in"), filepath.Join(dir, "scores")
	require.NoError(t, os.WriteFile(in, []byte(`{"id":"a"}`+"\n"+`{"id":"b"}`+"\n"), 0o666))
	require.NoError(t, os.WriteFile(scores,
		[]byte(`{"id":"a","steps":[{"score":0.5}]}`+"\n"+`{"id":"b","steps":[{"score":0.25},{"score":1}]}`+"\n"), 0o666))
	right := map[string]string{`{"id":"a"}`: `{"id":"a","steps":[{"score":0.5}]}`,
		`{"id":"b"}`: `{"id":"b","steps":[{"score":0.25},{"score":1}]}`}
	for name, c := range map[string]struct {
		first         string // the first answer to b
		status        int
		wrong, failed int64
	}{
		"right":         {right[`{"id":"b"}`], 200, 0, 0},
		"within":        {`{"id":"b","steps":[{"score":0.26},{"score":1}]}`, 200, 0, 0},
		"another score": {`{"id":"b","steps":[{"score":0.27},{"score":1}]}`, 200, 1, 0},
		"another text":  {right[`{"id":"a"}`], 200, 1, 0},
		"fewer steps":   {`{"id":"b","steps":[{"score":0.25}]}`, 200, 1, 0},
		"no JSON":       {`oh`, 200, 0, 1},
		"a failure":     {right[`{"id":"b"}`], 503, 0, 1},
	} {
		var asked atomic.Int64
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			text, status := right[string(body)], 200
			if err != nil || strings.Contains(string(body), "b") && asked.Add(1) == 1 {
				text, status = c.first, c.status
			}
			w.WriteHeader(status)
			_, _ = fmt.Fprint(w, text)
		}))
		r, err := load(server.URL, in, scores, 20, 4, 0.0101)
		server.Close()
		require.NoError(t, err, name)
		require.Equal(t, []int64{20, c.wrong, c.failed}, []int64{int64(r.Requests), r.Wrong, r.Failed}, name)
	}
	_, err := load("http://127.0.0.1:1", in, filepath.Join(dir, "none"), 1, 1, 0)
	require.Error(t, err)
}
