package serve

import (
	"encoding/json"
	"io"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goprm/goprm/data"
	"github.com/stretchr/testify/require"
)

// chat is a question with an answer as a policy's tokenizer decodes it.
func chat(answer string) string {
	return `<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n` + answer + `<|im_end|>`
}

// Each protocol's answer, word for word: steps of 20 and 40 bytes score 0.2 and 0.4, the whole 0.5, so r̂ is 0.8, and 0.4 of 1+α.
func TestProtocols(t *testing.T) {
	a, b := strings.Repeat("a", 20), strings.Repeat("b", 40)
	both, marked := a+`\n\n`+b, a+`#`+b+`#`
	long := strings.Repeat("c", 500)
	outcome := func(i *Info) { i.Steps, i.Range = false, Unbounded } // sequence classification
	for name, c := range map[string]struct {
		opt        Options
		info       func(*Info)
		path, body string
		status     int
		want       string
	}{
		"OpenRLHF": {path: "/get_reward", body: `{"query":["` + chat(both) + `"]}`,
			want: `{"extra_logs":{"graded":[0],"prm":[0.8],"prm_last":[0.4],"prm_min":[0.2],"prm_steps":[2],"prm_trajectory":[0.5]},` +
				`"rewards":[0.8],"scores":[0.4]}`},
		"OpenRLHF, labels": {path: "/get_reward", body: `{"query":["Q: ` + a + `","Q: ` + b + `"],"prompts":["Q: ","Q: "],"labels":["` + a +
			`",7]}`,
			want: `{"extra_logs":{"graded":[1,1],"outcome":[1,0],"prm":[0.7,0.9],"prm_last":[0.2,0.4],"prm_min":[0.2,0.4],"prm_steps":[1,1],` +
				`"prm_trajectory":[0.5,0.5]},"rewards":[0.775,0.675],"scores":[1,0]}`},
		"OpenRLHF, unit blend": {opt: Options{BlendScale: "unit", Beta: data.Float(0.5)}, path: "/get_reward",
			body: `{"query":"Q: ` + both + `","prompts":"Q: ","labels":"x"}`,
			want: `{"extra_logs":{"graded":[1],"outcome":[0],"prm":[0.8],"prm_last":[0.4],"prm_min":[0.2],"prm_steps":[2],` +
				`"prm_trajectory":[0.5]},"rewards":[0.2],"scores":[0]}`},
		"OpenRLHF, nothing": {path: "/get_reward", body: `{"query":[],"prompts":[],"labels":[]}`,
			want: `{"extra_logs":{},"rewards":[],"scores":[]}`},
		"OpenRLHF, labels all empty": {path: "/get_reward", body: `{"query":["Q` + a + `"],"prompts":["Q"],"labels":[""]}`,
			want: `{"extra_logs":{"graded":[0],"prm":[0.7],"prm_last":[0.2],"prm_min":[0.2],"prm_steps":[1],"prm_trajectory":[0.5]},` +
				`"rewards":[0.7],"scores":[0.35]}`},
		"OpenRLHF, one label empty": {path: "/get_reward", body: `{"query":["Qa","Qb"],"prompts":["Q","Q"],"labels":["a",null]}`, status: 422,
			want: "text 1: the outcome cannot be told: the label is empty"},
		"OpenRLHF, code": {path: "/get_reward", body: `{"query":["Qa"],"prompts":["Q"],"labels":["code"]}`, status: 422,
			want: "it is code"},
		"OpenRLHF, code let pass": {opt: Options{Ungraded: UngradedPRM}, path: "/get_reward",
			body: `{"query":["Q` + a + `"],"prompts":["Q"],"labels":["code"]}`,
			want: `{"extra_logs":{"graded":[0],"prm":[0.7],"prm_last":[0.2],"prm_min":[0.2],"prm_steps":[1],"prm_trajectory":[0.5]},` +
				`"rewards":[0.7],"scores":[0.35]}`},
		"OpenRLHF, lengths": {path: "/get_reward", body: `{"query":["Qa"],"prompts":["Q"],"labels":["a","b"]}`, status: 400,
			want: "1 texts, but 1 prompts and 2 labels"},
		"OpenRLHF, no query": {path: "/get_reward", body: `{"prompts":["Q"]}`, status: 400, want: "query: missing"},
		"OpenRLHF, no marks": {path: "/get_reward", body: `{"query":["hello"]}`, status: 422,
			want: "tell the problem from the response"},
		"OpenRLHF, empty response": {path: "/get_reward", body: `{"query":["Q"],"prompts":["Q"]}`, status: 422, want: "no steps"},
		"slime":                    {path: "/reward/remote_rm", body: `{"prompt":"q","response":"` + both + `","label":null}`, want: `0.8`},
		"slime, label": {path: "/reward/remote_rm",
			body: `{"prompt":[{"role":"system","content":"s"},{"role":"user","content":"q"}],"response":"` + a + `","label":"` + a +
				`","metadata":{"x":[1]}}`, want: `0.775`},
		"slime, a fork": {path: "/reward/remote_rm", body: `{"prompt":"q","generated_output":"` + a + `"}`, want: `0.7`},
		"slime, object": {path: "/reward/remote_rm?as=object", body: `{"prompt":"q","response":"` + a + `","label":"no"}`,
			want: `{"graded":1,"outcome":0,"prm":0.7,"prm_last":0.2,"prm_min":0.2,"prm_steps":1,"prm_trajectory":0.5,"reward":0.525,"score":0.525}`},
		"slime, no response": {path: "/reward/remote_rm", body: `{"prompt":"q"}`, status: 400, want: "prompt and response are needed"},
		"slime, two turns": {path: "/reward/remote_rm",
			body:   `{"prompt":[{"role":"user","content":"q"},{"role":"assistant","content":"r"},{"role":"user","content":"s"}],"response":"a"}`,
			status: 422, want: "one question and one answer"},
		"LLaMA-Factory": {path: "/reward/llamafactory",
			body: `{"model":"model","messages":["` + chat(both) + `","` + chat(a) + `"]}`, want: `{"scores":[0.8,0.7]}`},
		"vLLM pooling, marked": {path: "/pooling", body: `{"model":"fake","input":"` + marked + `"}`,
			want: `{"created":0,"data":[{"data":[[0.8,0.2],[0.6,0.4]],"index":0,"object":"pooling"}],"id":"pooling-x","model":"fake",` +
				`"object":"list","usage":{"prompt_tokens":60,"total_tokens":60,"completion_tokens":0,"prompt_tokens_details":null}}`},
		"vLLM pooling, ids": {path: "/pooling", body: `{"input":[97,97,97,97,97,97,97,97,97,97,35]}`,
			want: `{"created":0,"data":[{"data":[[0.9,0.1]],"index":0,"object":"pooling"}],"id":"pooling-x","model":"fake","object":"list",` +
				`"usage":{"prompt_tokens":10,"total_tokens":10,"completion_tokens":0,"prompt_tokens_details":null}}`},
		"vLLM pooling, lists of ids": {path: "/pooling", body: `{"input":[[97,35],[97,35]],"encoding_format":"base64"}`,
			want: `{"created":0,"data":[{"data":"pHB9PwrXIzw=","index":0,"object":"pooling"},{"data":"pHB9PwrXIzw=","index":1,` +
				`"object":"pooling"}],"id":"pooling-x","model":"fake","object":"list","usage":{"prompt_tokens":2,"total_tokens":2,` +
				`"completion_tokens":0,"prompt_tokens_details":null}}`},
		"vLLM pooling, messages": {path: "/pooling",
			body: `{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":[{"type":"text","text":"` + both + `"}]}]}`,
			want: `{"created":0,"data":[{"data":[[0.8,0.2],[0.6,0.4]],"index":0,"object":"pooling"}],"id":"pooling-x","model":"fake",` +
				`"object":"list","usage":{"prompt_tokens":61,"total_tokens":61,"completion_tokens":0,"prompt_tokens_details":null}}`},
		"vLLM pooling, chat marks": {path: "/pooling",
			body: `{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a#"}]}`,
			want: `{"created":0,"data":[{"data":[[0.82,0.18]],"index":0,"object":"pooling"}],"id":"pooling-x","model":"fake","object":"list",` +
				`"usage":{"prompt_tokens":18,"total_tokens":18,"completion_tokens":0,"prompt_tokens_details":null}}`},
		"vLLM pooling, unbounded": {info: func(i *Info) { i.Range = Unbounded }, path: "/pooling",
			body: `{"input":"` + marked + `","use_activation":false}`,
			want: `{"created":0,"data":[{"data":[[0.2],[0.4]],"index":0,"object":"pooling"}],"id":"pooling-x","model":"fake","object":"list",` +
				`"usage":{"prompt_tokens":60,"total_tokens":60,"completion_tokens":0,"prompt_tokens_details":null}}`},
		"vLLM pooling, one label": {info: outcome, path: "/pooling", body: `{"input":"` + chat(both) + `","task":"classify"}`,
			want: `{"created":0,"data":[{"data":[0.689974481],"index":0,"object":"pooling"}],"id":"pooling-x","model":"fake","object":"list",` +
				`"usage":{"prompt_tokens":61,"total_tokens":61,"completion_tokens":0,"prompt_tokens_details":null}}`},
		"vLLM pooling, its logit": {info: outcome, path: "/pooling", body: `{"input":"` + chat(both) + `","use_activation":false}`,
			want: `{"created":0,"data":[{"data":[0.8],"index":0,"object":"pooling"}],"id":"pooling-x","model":"fake","object":"list",` +
				`"usage":{"prompt_tokens":61,"total_tokens":61,"completion_tokens":0,"prompt_tokens_details":null}}`},
		"vLLM classify, one label": {info: outcome, path: "/classify", body: `{"input":"` + chat(both) + `"}`,
			want: `{"created":0,"data":[{"index":0,"label":"LABEL_0","num_classes":1,"probs":[0.689974481]}],"id":"classify-x","model":"fake",` +
				`"object":"list","usage":{"prompt_tokens":61,"total_tokens":61,"completion_tokens":0,"prompt_tokens_details":null}}`},
		"vLLM pooling, logits": {path: "/pooling", body: `{"input":"` + marked + `","use_activation":false}`,
			want: `{"created":0,"data":[{"data":[[-0.2,0.2],[-0.4,0.4]],"index":0,"object":"pooling"}],"id":"pooling-x","model":"fake",` +
				`"object":"list","usage":{"prompt_tokens":60,"total_tokens":60,"completion_tokens":0,"prompt_tokens_details":null}}`},
		"vLLM pooling, truncation": {path: "/pooling", body: `{"input":"` + marked + `","truncate_prompt_tokens":5}`, status: 400,
			want: "truncate_prompt_tokens"},
		"vLLM pooling, other model": {path: "/pooling", body: `{"model":"gpt","input":"a#"}`, status: 404,
			want: `model \"gpt\" is not served here, \"fake\" is`},
		"vLLM pooling, marked long": {path: "/pooling", body: `{"input":"` + long + `#"}`, status: 422,
			want: "501 tokens, the model was trained for 400"},
		"vLLM pooling, nothing": {path: "/pooling", body: `{"input":[]}`, status: 400, want: "one of input and messages"},
		"vLLM pooling, bad ids": {path: "/pooling", body: `{"input":[[97],[null]]}`, status: 400, want: "neither a text, nor token ids"},
		"vLLM pooling, an image": {path: "/pooling", body: `{"messages":[{"role":"user","content":[{"type":"image_url"}]}]}`, status: 400,
			want: "only text is read"},
		"vLLM classify": {path: "/classify", body: `{"model":"fake","input":["` + chat(both) + `"]}`,
			want: `{"created":0,"data":[{"index":0,"label":"LABEL_0","num_classes":2,"probs":[0.6,0.4]}],"id":"classify-x","model":"fake",` +
				`"object":"list","usage":{"prompt_tokens":61,"total_tokens":61,"completion_tokens":0,"prompt_tokens_details":null}}`},
		"verl's classify": {path: "/classify", body: `{"model":"fake","input":"` + chat(marked) + `","activation":false}`,
			want: `{"created":0,"data":[{"index":0,"label":"LABEL_0","num_classes":1,"probs":[0.8]}],"id":"classify-x","model":"fake",` +
				`"object":"list","usage":{"prompt_tokens":61,"total_tokens":61,"completion_tokens":0,"prompt_tokens_details":null}}`},
		"SGLang classify": {path: "/classify", body: `{"model":"fake","text":["` + chat(both) + `"]}`, want: `[{"embedding":[0.8]}]`},
		"vLLM score": {path: "/score", body: `{"model":"fake","text_1":"q","text_2":["` + both + `","` + a + `"]}`,
			want: `{"created":0,"data":[{"index":0,"object":"score","score":0.4},{"index":1,"object":"score","score":0.35}],"id":"score-x",` +
				`"model":"fake","object":"list","usage":{"prompt_tokens":82,"total_tokens":82,"completion_tokens":0,"prompt_tokens_details":null}}`},
		"vLLM score, newer": {path: "/v1/score", body: `{"queries":["q","r"],"documents":["` + both + `","` + a + `"]}`,
			want: `{"created":0,"data":[{"index":0,"object":"score","score":0.4},{"index":1,"object":"score","score":0.35}],"id":"score-x",` +
				`"model":"fake","object":"list","usage":{"prompt_tokens":82,"total_tokens":82,"completion_tokens":0,"prompt_tokens_details":null}}`},
		"vLLM score, lengths": {path: "/score", body: `{"text_1":["q","r"],"text_2":["a"]}`, status: 400,
			want: "text_1 and text_2: 2 with 1"},
		"vLLM rerank": {path: "/v1/rerank",
			body: `{"model":"fake","query":"q","documents":["` + a + `","` + both + `","` + a + `"],"top_n":2}`,
			want: `{"id":"rerank-x","model":"fake","results":[{"index":1,"document":{"text":"` + both +
				`"},"relevance_score":0.4},{"index":0,"document":{"text":"` + a + `"},"relevance_score":0.35}],"usage":{"prompt_tokens":103,` +
				`"total_tokens":103}}`},
		"vLLM rerank, nothing": {path: "/rerank", body: `{"query":"q"}`, status: 400, want: "0 documents"},
		"SGLang embeddings": {path: "/v1/embeddings", body: `{"model":"fake","input":["` + chat(both) + `"]}`,
			want: `{"created":0,"data":[{"embedding":[0.8],"index":0,"object":"embedding"}],"id":"embd-x","model":"fake","object":"list",` +
				`"usage":{"prompt_tokens":61,"total_tokens":61,"completion_tokens":0,"prompt_tokens_details":null}}`},
		"OpenAI's client, embeddings": {path: "/v1/embeddings", body: `{"model":"fake","input":"` + chat(both) + `","encoding_format":"base64"}`,
			want: `{"created":0,"data":[{"embedding":"zcxMPw==","index":0,"object":"embedding"}],"id":"embd-x","model":"fake","object":"list",` +
				`"usage":{"prompt_tokens":61,"total_tokens":61,"completion_tokens":0,"prompt_tokens_details":null}}`},
		"tokenize": {path: "/tokenize", body: `{"prompt":"ab"}`,
			want: `{"count":3,"max_model_len":400,"token_strs":null,"tokens":[94,97,98]}`},
		"tokenize, nothing added": {path: "/tokenize", body: `{"prompt":"ab","add_special_tokens":false,"return_token_strs":true}`,
			want: `{"count":2,"max_model_len":400,"token_strs":["<a>","<b>"],"tokens":[97,98]}`},
		"tokenize, nothing": {path: "/tokenize", body: `{"prompt":"","add_special_tokens":false}`,
			want: `{"count":0,"max_model_len":400,"token_strs":null,"tokens":[]}`},
		"tokenize a chat": {path: "/tokenize", body: `{"messages":[{"role":"r","content":"c"}]}`,
			want: `{"count":14,"max_model_len":400,"token_strs":null,"tokens":[114,58,99,46,97,115,115,105,115,116,97,110,116,58]}`},
		"tokenize a whole chat": {path: "/tokenize", body: `{"messages":[{"role":"r","content":"c"}],"add_generation_prompt":false,` +
			`"add_special_tokens":true}`, want: `{"count":5,"max_model_len":400,"token_strs":null,"tokens":[94,114,58,99,46]}`},
		"tokenize, no chat": {path: "/tokenize", body: `{"prompt":"ab","add_generation_prompt":true}`, status: 400,
			want: "add_generation_prompt: it is for messages"},
		"detokenize":           {path: "/detokenize", body: `{"tokens":[97,98]}`, want: `{"prompt":"ab"}`},
		"detokenize, no token": {path: "/detokenize", body: `{"tokens":[97,-1]}`, status: 400, want: "tokens: id -1 at 1"},
		"detokenize, nothing":  {path: "/detokenize", body: `{}`, status: 400, want: "tokens is missing"},
		"steps":                {path: "/v1/steps", body: `{"problem":"q","thinking":"a\n\nb","response":"c"}`, want: `{"n":3}`},
		"steps, wrong type":    {path: "/v1/steps", body: `{"problem":7}`, status: 400, want: "problem: number where a string is expected"},
		"long, in windows":     {path: "/reward/remote_rm", body: `{"prompt":"q","response":"` + long + `"}`, want: `5.5`},
		"long, refused": {opt: Options{TooLong: TooLongError}, path: "/reward/remote_rm",
			body: `{"prompt":"q","response":"` + long + `"}`, status: 422, want: "longer than the 400 tokens"},
		"too long for the server": {opt: Options{MaxTokens: 300}, path: "/reward/remote_rm", body: `{"prompt":"q","response":"` + long + `"}`,
			status: 413, want: "501 tokens, at most 300"},
		"not JSON":                {path: "/get_reward", body: `{"query":`, status: 400, want: "unexpected end of JSON"},
		"two values":              {path: "/get_reward", body: `{"query":[]} {}`, status: 400, want: "invalid character"},
		"null":                    {path: "/get_reward", body: `null`, status: 400, want: "query: missing"},
		"null among texts":        {path: "/get_reward", body: `{"query":["a",null]}`, status: 400, want: "text 1 is null"},
		"a label of another kind": {path: "/get_reward", body: `{"query":["a"],"labels":[{}]}`, status: 400, want: "label 0 is neither"},
		"not UTF-8":               {path: "/get_reward", body: "{\"query\":[\"\xff\"]}", status: 400, want: "byte 11: not valid UTF-8"},
		"half a character":        {path: "/v1/embeddings", body: `{"input":"\ud800"}`, status: 400, want: "half of a surrogate pair"},
		"a request too large": {opt: Options{MaxBody: 10}, path: "/get_reward", body: `{"query":["a"]}`, status: 413,
			want: "more than 10 bytes"},
		"too many texts": {opt: Options{Queue: 2}, path: "/score", body: `{"text_1":"q","text_2":["a","b","c"]}`, status: 413,
			want: "3 texts, at most 2"},
		"one of them panics": {path: "/reward/remote_rm", body: `{"prompt":"panic","response":"a"}`, status: 500, want: "internal error: a bug"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake()
			if c.info != nil {
				c.info(&f.info)
			}
			_, url := start(t, f, c.opt)
			status, body, header := ask(t, url+c.path, c.body)
			if c.status == 0 {
				c.status = 200
			}
			require.Equal(t, c.status, status, body)
			require.Equal(t, "application/json", header.Get("Content-Type"))
			if status != 200 {
				var e struct {
					Error struct {
						Message, Type string
						Code          int
					}
				}
				require.NoError(t, json.Unmarshal([]byte(body), &e))
				require.Equal(t, status, e.Error.Code)
				require.Contains(t, body, c.want)
				return
			}
			body = regexp.MustCompile(`"created":\d+`).ReplaceAllString(body, `"created":0`)
			body = regexp.MustCompile(`"id":"(\w+)-[a-z0-9]{26}"`).ReplaceAllString(body, `"id":"$1-x"`)
			// Sums of binary fractions: 0.30000000000000004 is 0.3 to the last place but one.
			body = regexp.MustCompile(`\d\.\d{15,}`).ReplaceAllStringFunc(body, func(s string) string {
				var v float64
				require.NoError(t, json.Unmarshal([]byte(s), &v))
				b, err := json.Marshal(float64(int64(v*1e9+0.5)) / 1e9)
				require.NoError(t, err)
				return string(b)
			})
			require.Equal(t, c.want, body)
		})
	}
}

// The description names every endpoint, and no other.
func TestOpenAPI(t *testing.T) {
	s, url := start(t, newFake(), Options{})
	r, err := http.Get(url + "/openapi.json")
	require.NoError(t, err)
	text, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	require.NoError(t, r.Body.Close())
	var doc struct {
		Paths map[string]map[string]json.RawMessage
	}
	require.NoError(t, json.Unmarshal(text, &doc))
	served := map[string]bool{}
	for _, r := range s.table() {
		path := strings.TrimSuffix(r.path, "{$}")
		served[path] = true
		require.Contains(t, doc.Paths[path], strings.ToLower(r.method), path)
	}
	require.Len(t, doc.Paths, len(served))
}

// The description names every field that an endpoint reads, and no other but those that it decides by fieldRules.
func TestOpenAPIFields(t *testing.T) {
	var doc struct {
		Paths map[string]struct {
			Post struct {
				RequestBody struct {
					Content map[string]struct {
						Schema struct{ Properties map[string]json.RawMessage }
					}
				}
			}
		}
	}
	require.NoError(t, json.Unmarshal([]byte(openAPI), &doc))
	_, url := start(t, newFake(), Options{})
	for _, e := range endpoints {
		properties := doc.Paths[e.path].Post.RequestBody.Content["application/json"].Schema.Properties
		_, answer, _ := ask(t, url+e.path, `{"no_such_field":1}`)
		_, reads, found := strings.Cut(answer, "which reads ")
		require.True(t, found, answer)
		reads, _, _ = strings.Cut(reads, `"`)
		for name := range properties {
			_, ruled := fieldRules[name]
			_, labels := map[string]bool{"label_token_ids": true, "apply_softmax": true, "item_first": true, "query": true,
				"add_special_tokens": true}[name]
			require.True(t, ruled || slices.Contains(strings.Split(reads, ", "), name) || e.path == "/v1/score" && labels,
				e.path+" does not read "+name)
		}
		for name := range strings.SplitSeq(reads, ", ") {
			_, ruled := fieldRules[name]
			require.True(t, ruled || properties[name] != nil, e.path+": the description lacks "+name)
		}
	}
}

func TestUnitScale(t *testing.T) {
	for _, c := range []struct {
		info         Info
		reward, want float64
	}{
		{Info{Steps: true}, 0.25, 0.25},
		{Info{Steps: true, Trajectory: true, Alpha: 1.5}, 1.25, 0.5},
		{Info{Trajectory: true, Alpha: 2}, 1, 0.5},
		{Info{Steps: true, Trajectory: true, Alpha: -0.5}, -0.5, 0},
		{Info{Steps: true, Trajectory: true, Alpha: -0.5}, 1, 1},
		{Info{Steps: true, Range: Symmetric}, 0, 0.5},
		{Info{Steps: true, Range: Unbounded}, 0, 0.5},
	} {
		u, err := newUnitScale(c.info)
		require.NoError(t, err)
		require.InDelta(t, c.want, u.of(c.reward), 1e-15)
	}
	for _, c := range []struct {
		info Info
		most float64
	}{{Info{Steps: true, Alpha: 2}, 1}, {Info{Steps: true, Trajectory: true, Alpha: 2}, 3}, {Info{Trajectory: true, Alpha: 2}, 2},
		{Info{Steps: true, Range: Unbounded}, math.Inf(1)}} {
		require.Equal(t, c.most, c.info.Most())
	}
	_, err := newUnitScale(Info{Trajectory: true})
	require.ErrorContains(t, err, "alpha")
}

func TestOptions(t *testing.T) {
	for message, o := range map[string]Options{
		"beta: 1.5": {Beta: data.Float(1.5)}, "blend_scale": {BlendScale: "x"}, "ungraded": {Ungraded: "skip"}, "too_long": {TooLong: "drop"},
		`unscored: "zero"`: {Unscored: "zero"}, `unscored: "NaN"`: {Unscored: "NaN"},
		"queue: -1": {Queue: -1}, "timeout": {Timeout: -1},
	} {
		require.ErrorContains(t, o.Validate(), message)
	}
}
