package runlog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// MLflow sends a run's numbers to an MLflow tracking server (mlflow.org/docs/latest/rest-api.html). Numbers are sent in the background:
// training never waits for the network, and a server that fails costs a warning, not the run.
type MLflow struct {
	base   string // …/api/2.0/mlflow
	run    string
	client *http.Client

	mu      sync.Mutex
	pending []mlflowMetric
	failed  error // the first failure; nothing is sent after it
	wake    chan struct{}
	done    chan struct{}
}

type mlflowMetric struct {
	Key       string  `json:"key"`
	Value     float64 `json:"value"`
	Timestamp int64   `json:"timestamp"`
	Step      int     `json:"step"`
}

// MLflowRun says where and as what a run is tracked.
type MLflowRun struct {
	URI        string // mlflow://host:port/experiment, or mlflows:// for https; the experiment is goprm by default
	Name       string
	ID         string // of the run to go on with; "": a new one
	Parameters map[string]string
}

// The limits of one log-batch request.
const (
	mlflowMetrics, mlflowParameters = 1000, 100
	mlflowText                      = 6000 // bytes of a parameter
)

// ParseMLflow checks a tracking URI and takes it apart.
func ParseMLflow(uri string) (base, experiment string, err error) {
	u, err := url.Parse(uri)
	if err != nil || u.Host == "" || u.Scheme != "mlflow" && u.Scheme != "mlflows" {
		return "", "", fmt.Errorf("%q is not of the form mlflow://host:port/experiment", uri)
	}
	scheme := map[string]string{"mlflow": "http", "mlflows": "https"}[u.Scheme]
	experiment = strings.Trim(u.Path, "/")
	if experiment == "" {
		experiment = "goprm"
	}
	return (&url.URL{Scheme: scheme, Host: u.Host}).String() + "/api/2.0/mlflow", experiment, nil
}

// OpenMLflow begins a run, or goes on with one. MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and _PASSWORD, are sent if set.
func OpenMLflow(ctx context.Context, run MLflowRun) (*MLflow, error) {
	base, experiment, err := ParseMLflow(run.URI)
	if err != nil {
		return nil, err
	}
	m := &MLflow{
		base: base, run: run.ID, client: &http.Client{Timeout: 20 * time.Second}, wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
	if m.run == "" {
		if err := m.begin(ctx, experiment, run); err != nil {
			return nil, err
		}
	} else if err := m.call(ctx, http.MethodPost, "/runs/update", map[string]any{"run_id": m.run, "status": "RUNNING"}, nil); err != nil {
		return nil, err
	}
	go m.send()
	return m, nil
}

func (m *MLflow) begin(ctx context.Context, experiment string, run MLflowRun) error {
	var found struct {
		Experiment struct {
			ID string `json:"experiment_id"`
		} `json:"experiment"`
	}
	err := m.call(ctx, http.MethodGet, "/experiments/get-by-name?experiment_name="+url.QueryEscape(experiment), nil, &found)
	id := found.Experiment.ID
	if missing := new(mlflowError); errors.As(err, &missing) && missing.Code == "RESOURCE_DOES_NOT_EXIST" {
		var made struct {
			ID string `json:"experiment_id"`
		}
		err = m.call(ctx, http.MethodPost, "/experiments/create", map[string]any{"name": experiment}, &made)
		id = made.ID
	}
	if err != nil {
		return err
	}
	var begun struct {
		Run struct {
			Info struct {
				ID string `json:"run_id"`
			} `json:"info"`
		} `json:"run"`
	}
	err = m.call(ctx, http.MethodPost, "/runs/create",
		map[string]any{"experiment_id": id, "run_name": run.Name, "start_time": time.Now().UnixMilli()}, &begun)
	if err != nil {
		return err
	}
	if m.run = begun.Run.Info.ID; m.run == "" {
		return fmt.Errorf("%s/runs/create: the answer has no run_id; is it an MLflow server?", m.base)
	}
	type parameter struct {
		Key   string `json:"key"`
		Value string `json:"value"`
	}
	var list []parameter
	for _, key := range slices.Sorted(maps.Keys(run.Parameters)) {
		list = append(list, parameter{key, strings.ToValidUTF8(cut(run.Parameters[key], mlflowText), "")})
	}
	for part := range slices.Chunk(list, mlflowParameters) {
		if err := m.call(ctx, http.MethodPost, "/runs/log-batch", map[string]any{"run_id": m.run, "params": part}, nil); err != nil {
			return err
		}
	}
	return nil
}

func cut(s string, most int) string { return s[:min(len(s), most)] }

// ID is the run's, under which it can be gone on with.
func (m *MLflow) ID() string { return m.run }

// Scalars queues the values of a step; those that are not finite are left out, since JSON has no word for them.
func (m *MLflow) Scalars(step int, values map[string]float64) {
	now := time.Now().UnixMilli()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failed != nil {
		return
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if v := values[key]; !math.IsNaN(v) && !math.IsInf(v, 0) {
			m.pending = append(m.pending, mlflowMetric{key, v, now, step})
		}
	}
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// send sends what is pending until the queue is closed and empty.
func (m *MLflow) send() {
	defer close(m.done)
	for range m.wake {
		m.flush()
	}
	m.flush()
}

func (m *MLflow) flush() {
	m.mu.Lock()
	batch := m.pending
	m.pending = nil
	m.mu.Unlock()
	for part := range slices.Chunk(batch, mlflowMetrics) {
		if err := m.again(map[string]any{"run_id": m.run, "metrics": part}); err != nil {
			m.mu.Lock()
			m.failed = err
			m.mu.Unlock()
			return
		}
	}
}

// again tries a batch three times.
func (m *MLflow) again(batch any) (err error) {
	for wait := time.Second; ; wait *= 2 {
		err = m.call(context.Background(), http.MethodPost, "/runs/log-batch", batch, nil)
		if err == nil || wait > 2*time.Second {
			return err
		}
		time.Sleep(wait)
	}
}

// Close sends what is left and ends the run with a status: FINISHED, FAILED or KILLED. Its error says what did not reach the server.
func (m *MLflow) Close(status string) error {
	close(m.wake)
	<-m.done
	if m.failed != nil {
		return m.failed
	}
	return m.call(context.Background(), http.MethodPost, "/runs/update",
		map[string]any{"run_id": m.run, "status": status, "end_time": time.Now().UnixMilli()}, nil)
}

// mlflowError is what the server says.
type mlflowError struct {
	Code    string `json:"error_code"`
	Message string `json:"message"`
	where   string
	status  int
}

func (e *mlflowError) Error() string {
	return fmt.Sprintf("%s: status %d: %s %s", e.where, e.status, e.Code, e.Message)
}

func (m *MLflow) call(ctx context.Context, method, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, method, m.base+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	if token := os.Getenv("MLFLOW_TRACKING_TOKEN"); token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	} else if user := os.Getenv("MLFLOW_TRACKING_USERNAME"); user != "" {
		request.SetBasicAuth(user, os.Getenv("MLFLOW_TRACKING_PASSWORD"))
	}
	response, err := m.client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		said := &mlflowError{where: m.base + path, status: response.StatusCode}
		if json.Unmarshal(text, said) != nil || said.Code == "" {
			said.Message = cut(strings.TrimSpace(string(text)), 200)
		}
		return said
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("%s%s: the answer is no JSON: %w", m.base, path, err)
	}
	return nil
}
