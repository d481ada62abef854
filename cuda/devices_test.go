//go:build linux && (amd64 || arm64) && !nocuda && !gpuonly

package cuda

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/goprm/goprm/cuda/internal/driver"
	"github.com/goprm/goprm/cuda/internal/emulator"
	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/prm"
	_ "github.com/goprm/goprm/prm/server"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// twoDevices makes the machine one of two emulated GPUs.
func twoDevices(t *testing.T) {
	t.Helper()
	emulator.Use(t)
	require.NoError(t, driver.Load())
	require.NoError(t, emulator.SetDevices(2))
	require.NoError(t, emulator.Configure(emulator.Mode{Jobs: 2}))
	t.Cleanup(func() {
		require.NoError(t, emulator.SetDevices(0))
	})
}

func openOn(device string) (*prm.Model, error) {
	dir := filepath.Join("..", "internal", "parity", "testdata", "heads", "pure_linear")
	return prm.Open(dir, prm.OpenOptions{Format: "pure", Device: device, DType: "f32"})
}

// shelves are trajectories of their own lengths.
func shelves(n int) []*data.Trajectory {
	list := make([]*data.Trajectory, n)
	for i := range list {
		list[i] = &data.Trajectory{ID: fmt.Sprint(i), Problem: fmt.Sprintf("A shelf holds %d rows of 9 books. How many?", i)}
		for j := range 1 + i%4 {
			list[i].ResponseSteps = append(list[i].ResponseSteps, fmt.Sprintf("Take %d rows of %d.", i+j, j))
		}
	}
	return list
}

// scoreLines are what one model says of the trajectories, as prm score writes it.
func scoreLines(t *testing.T, m *prm.Model, list []*data.Trajectory) []string {
	t.Helper()
	var lines []string
	for s, err := range m.ScoreAll(t.Context(), prm.Slice(list), prm.ScoreOptions{Tokens: 300}) {
		require.NoError(t, err)
		line, err := json.Marshal(s)
		require.NoError(t, err)
		lines = append(lines, string(line))
	}
	return lines
}

// asked is a server of two devices, asked for all trajectories at once, and what came back of each: its score or an error.
type asked struct {
	t    *testing.T
	url  string
	list []*data.Trajectory
	want []string
}

func (a asked) all() (refused []string) {
	a.t.Helper()
	var mu sync.Mutex
	var wait sync.WaitGroup
	for i, trajectory := range a.list {
		wait.Go(func() {
			body, err := json.Marshal(map[string]any{"id": trajectory.ID, "problem": trajectory.Problem, "response_steps": trajectory.ResponseSteps})
			assert.NoError(a.t, err)
			r, err := http.Post(a.url+"/v1/steps", "application/json", bytes.NewReader(body))
			if !assert.NoError(a.t, err) {
				return
			}
			text, err := io.ReadAll(r.Body)
			assert.NoError(a.t, err)
			assert.NoError(a.t, r.Body.Close())
			if r.StatusCode == http.StatusOK {
				assert.JSONEq(a.t, a.want[i], string(text), "a single device's score")
				return
			}
			assert.Equal(a.t, http.StatusServiceUnavailable, r.StatusCode, string(text))
			mu.Lock()
			defer mu.Unlock()
			refused = append(refused, string(text))
		})
	}
	wait.Wait()
	return refused
}

func (a asked) get(path string) (int, string) {
	a.t.Helper()
	r, err := http.Get(a.url + path)
	require.NoError(a.t, err)
	text, err := io.ReadAll(r.Body)
	require.NoError(a.t, err)
	require.NoError(a.t, r.Body.Close())
	return r.StatusCode, string(text)
}

// Two devices behind one listener give a single device's scores and share the requests. When one is lost, its requests fail by its name and
// the other goes on; when both are, nothing is served any more.
func TestEmulatedTwoDevices(t *testing.T) {
	if testing.Short() {
		t.Skip("short: seconds of the emulator")
	}
	twoDevices(t)
	list := shelves(24)
	one, err := openOn("cuda:1")
	require.NoError(t, err)
	want := scoreLines(t, one, list)
	require.NoError(t, one.Close())
	m, err := openOn("cuda:0,cuda:1")
	require.NoError(t, err)
	require.Equal(t, "cuda:0,cuda:1/sm80", m.Info().Backend)
	require.Equal(t, want, scoreLines(t, m, list))

	s, err := prm.NewServer(m, prm.ServerOptions{BatchTokens: 200})
	require.NoError(t, err)
	h := httptest.NewServer(s)
	defer h.Close()
	a := asked{t, h.URL, list, want}
	require.Empty(t, a.all())
	_, metrics := a.get("/metrics")
	for _, device := range []string{"cuda:0", "cuda:1"} {
		require.Regexp(t, fmt.Sprintf(`goprm_device_texts_total\{device="%s"\} ([5-9]|1[0-9])\n`, device), metrics, "a fair share")
		require.Contains(t, metrics, fmt.Sprintf(`goprm_device_up{device="%s"} 1`, device))
	}

	session, err := m.Session(list[0].Problem)
	require.NoError(t, err)
	_, err = session.AppendResponse(t.Context(), "Nine.")
	require.NoError(t, err)
	require.NoError(t, emulator.FailOn(1, 40))
	refused := a.all()
	require.NotEmpty(t, refused)
	require.Less(t, len(refused), len(list)-4, "the other goes on")
	for _, text := range refused {
		require.Contains(t, text, "device cuda:1 is lost, for this process: ")
		require.Contains(t, text, "CUDA_ERROR_LAUNCH_FAILED")
	}
	require.NoError(t, m.Err())
	require.Empty(t, a.all(), "nothing goes to the lost one")
	status, _ := a.get("/readyz")
	require.Equal(t, http.StatusOK, status)
	_, metrics = a.get("/metrics")
	require.Contains(t, metrics, `goprm_device_up{device="cuda:0"} 1`)
	require.Contains(t, metrics, `goprm_device_up{device="cuda:1"} 0`)
	require.Equal(t, want, scoreLines(t, m, list))

	require.NoError(t, emulator.FailOn(0, 40))
	refused = a.all()
	require.Contains(t, strings.Join(refused, "\n"), "device cuda:0 is lost")
	var lost *prm.DeviceLostError
	require.ErrorAs(t, m.Err(), &lost)
	status, _ = a.get("/readyz")
	require.Equal(t, http.StatusServiceUnavailable, status)
	_, err = session.AppendResponse(t.Context(), "Or ten.")
	require.ErrorAs(t, err, &lost)
	require.NoError(t, s.Close())
	_, err = emulator.Revive()
	require.NoError(t, err)
	require.NoError(t, m.Close())
}

// A session whose device is lost goes on on another one, to the same bits.
func TestEmulatedSessionMoves(t *testing.T) {
	if testing.Short() {
		t.Skip("short: seconds of the emulator")
	}
	twoDevices(t)
	m, err := openOn("cuda:0,cuda:1")
	require.NoError(t, err)
	one, err := openOn("cuda:1")
	require.NoError(t, err)
	s, err := m.Session("How many?")
	require.NoError(t, err)
	_, err = s.AppendResponse(t.Context(), "First.")
	require.NoError(t, err)
	require.NoError(t, emulator.FailOn(0, 3))
	_, err = s.AppendResponse(t.Context(), "Second.")
	require.ErrorContains(t, err, "device cuda:0 is lost")
	got, err := s.AppendResponse(t.Context(), "Second.")
	require.NoError(t, err)
	require.NoError(t, same(t, one, s.Trajectory(), got, 0))
	require.Len(t, got.Steps, 2)
	require.NoError(t, one.Close())
	_, err = emulator.Revive()
	require.NoError(t, err)
	require.NoError(t, m.Close())
}

func TestEmulatedDeviceLists(t *testing.T) {
	twoDevices(t)
	for device, want := range map[string]string{
		"cuda:0,cuda:0": "cuda:0 stands twice", "cuda:0,auto": "of several devices each has its name", "cuda:0,": "each has its name",
		"cuda:0,cuda:2": "this machine has 2 NVIDIA GPUs", "cuda:0,cpu": "whose scores have other bits",
	} {
		_, err := openOn(device)
		require.ErrorContains(t, err, want, device)
	}
}
