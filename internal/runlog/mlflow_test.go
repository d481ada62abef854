package runlog

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// fakeMLflow answers as MLflow's server does, by its REST API's reference.
type fakeMLflow struct {
	mu          sync.Mutex
	experiments map[string]string
	metrics     []mlflowMetric
	params      map[string]string
	statuses    []string
	batches     []int
	failures    int // of the next log-batch calls
}

func (f *fakeMLflow) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var body struct {
		Name    string              `json:"name"`
		RunName string              `json:"run_name"`
		RunID   string              `json:"run_id"`
		Status  string              `json:"status"`
		Metrics []mlflowMetric      `json:"metrics"`
		Params  []map[string]string `json:"params"`
		ID      string              `json:"experiment_id"`
	}
	_ = json.NewDecoder(r.Body).Decode(&body)
	refuse := func(status int, code string) {
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"error_code": %q, "message": "said so"}`, code)
	}
	if r.Header.Get("Authorization") != "Bearer secret" {
		refuse(401, "UNAUTHENTICATED")
		return
	}
	switch path := strings.TrimPrefix(r.URL.Path, "/api/2.0/mlflow"); path {
	case "/experiments/get-by-name":
		id, ok := f.experiments[r.URL.Query().Get("experiment_name")]
		if !ok {
			refuse(404, "RESOURCE_DOES_NOT_EXIST")
			return
		}
		_, _ = fmt.Fprintf(w, `{"experiment": {"experiment_id": %q}}`, id)
	case "/experiments/create":
		f.experiments[body.Name] = "7"
		_, _ = fmt.Fprint(w, `{"experiment_id": "7"}`)
	case "/runs/create":
		_, _ = fmt.Fprintf(w, `{"run": {"info": {"run_id": "run-%s-of-%s"}}}`, body.RunName, body.ID)
	case "/runs/log-batch":
		if f.failures > 0 {
			f.failures--
			refuse(500, "INTERNAL_ERROR")
			return
		}
		f.batches = append(f.batches, len(body.Metrics))
		f.metrics = append(f.metrics, body.Metrics...)
		for _, p := range body.Params {
			f.params[p["key"]] = p["value"]
		}
		_, _ = fmt.Fprint(w, `{}`)
	case "/runs/update":
		f.statuses = append(f.statuses, body.Status)
		_, _ = fmt.Fprint(w, `{}`)
	default:
		refuse(404, "ENDPOINT_NOT_FOUND")
	}
}

func TestMLflow(t *testing.T) {
	fake := &fakeMLflow{experiments: map[string]string{}, params: map[string]string{}}
	server := httptest.NewServer(fake)
	defer server.Close()
	uri := strings.Replace(server.URL, "http://", "mlflow://", 1)
	t.Setenv("MLFLOW_TRACKING_TOKEN", "secret")
	parameters := map[string]string{"long": strings.Repeat("x", 7000)}
	for i := range 150 {
		parameters[fmt.Sprint("p", i)] = fmt.Sprint(i)
	}
	m, err := OpenMLflow(context.Background(), MLflowRun{URI: uri + "/prms", Name: "one", Parameters: parameters})
	require.NoError(t, err)
	require.Equal(t, "run-one-of-7", m.ID())
	for step := range 1500 {
		m.Scalars(step, map[string]float64{"train/loss": float64(step) / 2, "eval/auroc": math.NaN()})
	}
	require.NoError(t, m.Close("FINISHED"))
	require.Len(t, fake.metrics, 1500, "NaN is left out")
	for step, metric := range fake.metrics {
		require.Equal(t, []any{"train/loss", float64(step) / 2, step}, []any{metric.Key, metric.Value, metric.Step})
	}
	for _, n := range fake.batches {
		require.LessOrEqual(t, n, mlflowMetrics)
	}
	require.Len(t, fake.params, 151)
	require.Len(t, fake.params["long"], mlflowText)
	require.Equal(t, map[string]string{"prms": "7"}, fake.experiments)

	again, err := OpenMLflow(context.Background(), MLflowRun{URI: uri, ID: m.ID()})
	require.NoError(t, err)
	fake.failures = 1 // a failure that passes costs nothing
	again.Scalars(1500, map[string]float64{"train/loss": 1})
	require.NoError(t, again.Close("KILLED"))
	require.Equal(t, []string{"FINISHED", "RUNNING", "KILLED"}, fake.statuses)
	require.Len(t, fake.metrics, 1501)

	t.Setenv("MLFLOW_TRACKING_TOKEN", "wrong")
	_, err = OpenMLflow(context.Background(), MLflowRun{URI: uri})
	require.ErrorContains(t, err, "status 401: UNAUTHENTICATED said so")
	for _, bad := range []string{"http://h/x", "mlflow://", "wandb", "mlflow:x", ":"} {
		_, _, err := ParseMLflow(bad)
		require.ErrorContains(t, err, "mlflow://host:port/experiment", bad)
	}
	base, experiment, err := ParseMLflow("mlflows://h:5000")
	require.NoError(t, err)
	require.Equal(t, []string{"https://h:5000/api/2.0/mlflow", "goprm"}, []string{base, experiment})
}
