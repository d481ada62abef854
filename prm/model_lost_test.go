//go:build linux

package prm

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// lostFolder is a copy of a model, whose weights are mapped as they are.
func lostFolder(t *testing.T) (dir, weights string) {
	dir = filepath.Join(t.TempDir(), "model")
	require.NoError(t, os.CopyFS(dir, os.DirFS(filepath.Join("..", "internal", "parity", "testdata", "heads", "yarn_window"))))
	return dir, filepath.Join(dir, "model.safetensors")
}

// ways are what happens to a weight file that is in use.
var ways = map[string]struct {
	do   func(t *testing.T, path string)
	says string // "": nothing is wrong
}{
	"cut short":  {func(t *testing.T, path string) { require.NoError(t, os.Truncate(path, 4096)) }, "cut short"},
	"cut by one": {func(t *testing.T, path string) { require.NoError(t, os.Truncate(path, sizeOf(t, path)-1)) }, "bytes and has"},
	"written to, times set back": {func(t *testing.T, path string) {
		info, err := os.Stat(path)
		require.NoError(t, err)
		flip(t, path, sizeOf(t, path)-100)
		require.NoError(t, os.Chtimes(path, info.ModTime(), info.ModTime()))
	}, "was written to"},
	"replaced by a rename": {func(t *testing.T, path string) {
		require.NoError(t, os.WriteFile(path+".new", []byte("other"), 0o600))
		require.NoError(t, os.Rename(path+".new", path))
	}, ""},
	"removed": {func(t *testing.T, path string) { require.NoError(t, os.Remove(path)) }, ""},
	"made read-only": {func(t *testing.T, path string) {
		require.NoError(t, os.Chmod(path, 0o400))
		require.NoError(t, os.Link(path, path+".second"))
	}, ""},
}

func sizeOf(t *testing.T, path string) int64 {
	info, err := os.Stat(path)
	require.NoError(t, err)
	return info.Size()
}

func flip(t *testing.T, path string, at int64) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	var one [1]byte
	_, err = f.ReadAt(one[:], at)
	require.NoError(t, err)
	one[0] ^= 1
	_, err = f.WriteAt(one[:], at)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

func TestLostWeightsEndTheModelAlone(t *testing.T) {
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			for _, o := range []OpenOptions{{Threads: 1}, {Threads: 3}, {Threads: 2, LowMemory: true}, {Threads: 2, Backend: "portable"}} {
				dir, weights := lostFolder(t)
				o.Format = "token_classification"
				model, err := Open(dir, o)
				require.NoError(t, err)
				other, err := Open(filepath.Join("..", "internal", "parity", "testdata", "heads", "yarn_window"), o)
				require.NoError(t, err)
				want, err := model.Score(context.Background(), long())
				require.NoError(t, err)
				time.Sleep(2 * time.Millisecond) // the clock that times of files are taken from ticks so often
				way.do(t, weights)
				for range 2 {
					got, err := model.Score(context.Background(), long())
					if way.says == "" {
						require.NoError(t, err)
						require.Equal(t, lines(t, want), lines(t, got))
						continue
					}
					var lost *LostError
					require.ErrorAs(t, err, &lost)
					require.ErrorContains(t, err, weights)
					require.ErrorContains(t, err, way.says)
					require.Equal(t, lost, model.Err())
					_, err = model.Session("1+1?")
					require.ErrorIs(t, err, lost)
				}
				got, err := other.Score(context.Background(), long())
				require.NoError(t, err)
				require.Equal(t, lines(t, want), lines(t, got))
				require.NoError(t, other.Close())
				require.NoError(t, model.Close())
			}
		})
	}
}

func TestServerWithLostWeights(t *testing.T) {
	dir, weights := lostFolder(t)
	model, err := Open(dir, OpenOptions{Format: "token_classification"})
	require.NoError(t, err)
	defer func() { require.NoError(t, model.Close()) }()
	server, err := NewServer(model, ServerOptions{Name: "m", CacheTokens: new(0)})
	require.NoError(t, err)
	defer func() { require.NoError(t, server.Close()) }()
	web := httptest.NewServer(server)
	defer web.Close()
	ask := func(method, path string) (int, string) {
		body, err := json.Marshal(map[string]any{"problem": "1+1?", "steps": []string{"1+1=2", "So 2."}, "response": "2"})
		require.NoError(t, err)
		request, err := http.NewRequest(method, web.URL+path, strings.NewReader(string(body)))
		require.NoError(t, err)
		reply, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		text, err := io.ReadAll(reply.Body)
		require.NoError(t, err)
		require.NoError(t, reply.Body.Close())
		return reply.StatusCode, string(text)
	}
	status, text := ask("POST", "/v1/steps")
	require.Equal(t, 200, status, text)
	status, _ = ask("GET", "/readyz")
	require.Equal(t, 200, status)
	require.NoError(t, os.Truncate(weights, 4096))
	for range 2 {
		status, text = ask("POST", "/v1/steps")
		require.Equal(t, 503, status, text)
		require.Contains(t, text, "model.safetensors")
		status, text = ask("GET", "/readyz")
		require.Equal(t, 503, status)
		require.Contains(t, text, "model.safetensors")
		status, _ = ask("GET", "/healthz")
		require.Equal(t, 200, status, "the process is well: restarting it would not bring the file back")
	}
}
