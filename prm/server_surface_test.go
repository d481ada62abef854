package prm

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/stretchr/testify/require"
)

// surfaceRequests has a request for every route, and for what they refuse.
var surfaceRequests = [][3]string{
	{"GET", "/health"}, {"GET", "/healthz"}, {"GET", "/readyz"}, {"GET", "/v1/models"}, {"GET", "/openapi.json"}, {"GET", "/"},
	{"POST", "/v1/steps", `{"problem":"1+1?","thinking":"Add.","response":"2"}`},
	{"POST", "/page/trace", `{"problem":"1+1?","answer":"<think>Add.</think>2","number":1}`},
	{"POST", "/get_reward", `{"query":["1+1? 2"],"prompts":["1+1? "],"labels":["2"]}`},
	{"POST", "/reward/remote_rm", `{"prompt":"1+1?","response":"2","label":"2"}`},
	{"POST", "/reward/remote_rm?as=object", `{"prompt":"1+1?","response":"2"}`},
	{"POST", "/reward/llamafactory", `{"model":"m","messages":["<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n2<|im_end|>"]}`},
	{"POST", "/pooling", `{"messages":[{"role":"user","content":"1+1?"},{"role":"assistant","content":"2"}]}`},
	{"POST", "/classify", `{"messages":[{"role":"user","content":"1+1?"},{"role":"assistant","content":"2"}]}`},
	{"POST", "/score", `{"text_1":"1+1?","text_2":["2","3"]}`},
	{"POST", "/v1/score", `{"queries":"1+1?","items":["2","3"]}`},
	{"POST", "/rerank", `{"query":"1+1?","documents":["2","3"]}`},
	{"POST", "/v1/rerank", `{"query":"1+1?","documents":["2","3"]}`},
	{"POST", "/v2/rerank", `{"query":"1+1?","documents":["2","3"]}`},
	{"POST", "/v1/embeddings", `{"input":"<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n2<|im_end|>","encoding_format":"float"}`},
	{"POST", "/generative_scoring", `{"query":"1+1?","items":["2"],"label_token_ids":[5,6]}`},
	{"POST", "/tokenize", `{"prompt":"1+1?","return_token_strs":true}`},
	{"POST", "/detokenize", `{"tokens":[5,6]}`},
	{"POST", "/v1/steps", `{"problem":7}`}, {"POST", "/get_reward", `{"query":[7]}`}, {"POST", "/pooling", `{"input":"no mark"}`},
	{"POST", "/v1/steps", `{"problem":"1+1?","response":"2","more":1}`}, {"POST", "/nowhere", `{}`}, {"GET", "/v1/steps"},
}

// Statuses, the shapes of all answers, their headers, and names and labels of the metrics are what clients are written against.
func TestServerSurface(t *testing.T) {
	dir := train(t, config(t, tiny(t, tinymodel.Options{}))).Model
	_, url := serving(t, dir, OpenOptions{Backend: "portable"}, ServerOptions{Name: "m"})
	var out strings.Builder
	for _, request := range surfaceRequests {
		r, body := surfaceAsk(t, request[0], url+request[1], request[2])
		fmt.Fprintf(&out, "%s %s %s\n\t%d %s\n", request[0], request[1], request[2], r.StatusCode, r.Header.Get("Content-Type"))
		var own []string
		for name := range r.Header {
			if strings.HasPrefix(name, "X-Goprm") {
				own = append(own, name)
			}
		}
		if slices.Sort(own); len(own) > 0 {
			fmt.Fprintf(&out, "\t%s\n", strings.Join(own, ", "))
		}
		var value any
		if request[1] != "/openapi.json" && json.Unmarshal([]byte(body), &value) == nil {
			shape(&out, "", value)
		}
	}
	_, described := surfaceAsk(t, "GET", url+"/openapi.json", "")
	var api struct{ Paths map[string]any }
	require.NoError(t, json.Unmarshal([]byte(described), &api))
	for path := range api.Paths {
		require.True(t, slices.ContainsFunc(surfaceRequests, func(r [3]string) bool { return r[1] == path || path == "/metrics" }), path)
	}
	_, metrics := surfaceAsk(t, "GET", url+"/metrics", "")
	names := map[string]bool{}
	for line := range strings.Lines(metrics) {
		if m := regexp.MustCompile(`^(goprm_\w+?)(?:_bucket|_sum|_count)?(?:\{(.*)\})? `).FindStringSubmatch(line); m != nil {
			labels := regexp.MustCompile(`(\w+)="[^"]*"`).ReplaceAllString(m[2], "$1")
			names[m[1]+"{"+strings.TrimSuffix(strings.TrimSuffix(labels, "le"), ",")+"}"] = true
		}
	}
	out.WriteString("metrics\n")
	for _, name := range slices.Sorted(maps.Keys(names)) {
		out.WriteString("\t" + name + "\n")
	}
	const golden = "testdata/server.txt"
	if os.Getenv("GOPRM_UPDATE_API") != "" {
		require.NoError(t, os.WriteFile(golden, []byte(out.String()), 0o666))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), out.String(), "clients see this; if it is meant: GOPRM_UPDATE_API=1 go test -run TestServerSurface ./prm")
}

func surfaceAsk(t *testing.T, method, url, body string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	require.NoError(t, err)
	answer, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	text, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	return answer, string(text)
}

// shape writes the path and kind of every value; of a list, those of its first.
func shape(out *strings.Builder, path string, value any) {
	switch v := value.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			shape(out, path+"."+name, v[name])
		}
	case []any:
		if len(v) == 0 {
			fmt.Fprintf(out, "\t%s[] empty\n", path)
			return
		}
		shape(out, path+"[]", v[0])
	default:
		fmt.Fprintf(out, "\t%s %T\n", path, value)
	}
}
