package serve

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzBodies: whatever a client sends to whatever protocol, the answer is JSON with a status that blames the client, or 200.
func FuzzBodies(f *testing.F) {
	for path, bodies := range map[string][]string{
		"/get_reward": {`{"query":["Q: a","Q: b"],"prompts":["Q: ","Q: "],"labels":["a",7]}`, `{"query":"Q: a","prompts":"Q: ","labels":"x"}`},
		"/reward/remote_rm": {`{"prompt":"q","response":"<think>a\n\nb</think>c","label":null}`,
			`{"prompt":[{"role":"system","content":"s"},{"role":"user","content":"q"}],"response":"a","label":"1","metadata":{"x":[1]}}`},
		"/reward/llamafactory": {`{"model":"model","messages":["<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\na<|im_end|>\n"]}`},
		"/pooling": {`{"model":"fake","input":"aa#bb#"}`, `{"input":[[97,35],[97,35]],"encoding_format":"base64"}`,
			`{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":[{"type":"text","text":"a#"}]}],"use_activation":false}`},
		"/classify":           {`{"input":["a#","b#"],"truncate_prompt_tokens":4}`},
		"/score":              {`{"text_1":"q","text_2":["a","b"]}`, `{"queries":["q"],"documents":["a"]}`},
		"/rerank":             {`{"query":"q","documents":["a",{"text":"b"}],"top_n":1}`},
		"/generative_scoring": {`{"query":"q","items":["a"],"label_token_ids":[1,2]}`},
		"/v1/embeddings":      {`{"input":"a#","dimensions":2}`},
		"/tokenize":           {`{"prompt":"a b","return_token_strs":true}`},
		"/detokenize":         {`{"tokens":[97,98]}`},
		"/v1/steps":           {`{"problem":"q","steps":["a","b"],"parts":["thinking","response"]}`},
		"/page/trace":         {`{"problem":"q","text":"a\n\nb"}`},
	} {
		for i := range endpoints {
			if endpoints[i].path == path {
				for _, body := range bodies {
					f.Add(i, body)
				}
			}
		}
	}
	s, err := New(newFake(), Options{Verifier: exact{}})
	require.NoError(f, err)
	f.Cleanup(func() { require.NoError(f, s.Close()) })
	f.Fuzz(func(t *testing.T, route int, body string) {
		if route < 0 || route >= len(endpoints) {
			return
		}
		request := httptest.NewRequest(http.MethodPost, "http://localhost"+endpoints[route].path, strings.NewReader(body))
		request.Header.Set("Content-Type", "application/json")
		answer := httptest.NewRecorder()
		s.ServeHTTP(answer, request)
		require.Contains(t, []int{200, 400, 404, 413, 422}, answer.Code, answer.Body.String())
		require.True(t, json.Valid(answer.Body.Bytes()), answer.Body.String())
	})
}
