package serve

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What vLLM 0.22 and later, and SGLang, answer: rows of protocols that clients of theirs rely on. Bodies are written out from vLLM's
// entrypoints/pooling/*/protocol.py, utils/serial_utils.py and entrypoints/generate/generative_scoring, and from SGLang's
// entrypoints/openai/protocol.py. Steps of 20 and 40 bytes score 0.2 and 0.4; the fake model's logits of v are [−v, v].
func TestVLLMRows(t *testing.T) {
	marked := strings.Repeat("a", 20) + "#" + strings.Repeat("b", 40) + "#"
	text := func(fields string) string { return `{"model":"fake","input":"` + marked + `"` + fields + `}` }
	usage := func(n int) string {
		return fmt.Sprintf(`"usage":{"prompt_tokens":%d,"total_tokens":%d,"completion_tokens":0,"prompt_tokens_details":null}`, n, n)
	}
	list := func(kind, data string, tokens int) string {
		return `{"created":0,"data":[` + data + `],"id":"` + kind + `-x","model":"fake","object":"list",` + usage(tokens) + `}`
	}
	pooled := func(data string) string { return list("pooling", `{"data":`+data+`,"index":0,"object":"pooling"}`, 60) }
	plain := pooled(`[[0.8,0.2],[0.6,0.4]]`)
	a, b := strings.Repeat("a", 20), strings.Repeat("b", 40)
	scores := list("score", `{"index":0,"object":"score","score":0.35},{"index":1,"object":"score","score":0.45}`, 62)
	for _, c := range []struct{ row, path, body, refused, want string }{
		{"1 another task", "/pooling", text(`,"task":"embed"`), `task: \"embed\" is not served here, token_classify is`, ""},
		{"1 no task", "/pooling", text(`,"task":"reward"`), `is none of embed, classify, token_embed, token_classify, plugin, ` +
			`embed\u0026token_classify; token_classify is served`, ""},
		{"1 a task of another endpoint", "/classify", text(`,"task":"token_classify"`),
			`task: \"token_classify\" is not served here, classify is`, ""},
		{"1 the task", "/pooling", text(`,"task":"token_classify"`), "", plain},
		{"2 encode", "/pooling", text(`,"task":"encode"`), `\"encode\" was removed, token_embed and token_classify`, ""},
		{"2 score", "/pooling", text(`,"task":"score"`), `\"score\" was removed, classify`, ""},
		{"3 normalize", "/pooling", text(`,"normalize":true`), "normalize: was removed, use_activation came", ""},
		{"3 normalize, even null", "/v1/embeddings", text(`,"normalize":null`), "normalize: was removed", ""},
		// 0.8, 0.2, 0.6, 0.4 are 3a66 3266 38cd 3666 as float16.
		{"4 float16", "/pooling", text(`,"encoding_format":"base64","embed_dtype":"float16","endianness":"little"`), "",
			pooled(`"ZjpmMs04ZjY="`)},
		{"4 another dtype", "/pooling", text(`,"encoding_format":"base64","embed_dtype":"int8"`),
			`embed_dtype: \"int8\" is none of float32, float16, bfloat16, fp8_e4m3, fp8_e5m2`, ""},
		{"4 of an answer without bytes", "/classify", text(`,"embed_dtype":"float16"`), "embed_dtype: the answer is JSON", ""},
		{"5 big-endian float16", "/pooling", text(`,"encoding_format":"base64","embed_dtype":"float16","endianness":"big"`), "",
			pooled(`"OmYyZjjNNmY="`)},
		{"5 another order", "/pooling", text(`,"encoding_format":"base64","endianness":"middle"`),
			`endianness: \"middle\" is none of native, big, little`, ""},
		{"6 logits", "/pooling", text(`,"use_activation":false`), "", pooled(`[[-0.2,0.2],[-0.4,0.4]]`)},
		{"6 two names that disagree", "/pooling", text(`,"use_activation":false,"softmax":true`),
			"use_activation and softmax contradict each other", ""},
		{"8 the model's length", "/pooling", text(`,"truncate_prompt_tokens":-1`), "", plain},
		{"8 the model's length, beyond it", "/pooling", `{"input":"` + strings.Repeat("c", 500) + `#","truncate_prompt_tokens":-1}`,
			"501 tokens, the model was trained for 400", ""},
		{"9 a cut", "/pooling", text(`,"truncate_prompt_tokens":7,"truncation_side":"left"`), "truncate_prompt_tokens: nothing is cut off here",
			""},
		{"9 a side", "/pooling", text(`,"truncation_side":"middle"`), "truncation_side: nothing is cut off here", ""},
		{"10 queries and items", "/score", `{"queries":"q","items":["` + a + `","` + b + `"]}`, "", scores},
		{"10 queries and documents",
			"/score", `{"queries":["q","q"],"documents":["` + a + `",{"content":[{"type":"text","text":"` + b + `"}]}]}`, "", scores},
		{"10 two pairs of names", "/score", `{"queries":"q","items":["a"],"text_2":["b"]}`, "one of queries and documents", ""},
		{"10 half a pair", "/score", `{"queries":"q"}`, "one of queries and documents", ""},
		{"11 SGLang", "/v1/score", `{"queries":"q","items":["` + a + `","` + b + `"]}`, "",
			`{"model":"fake","object":"scoring","scores":[[0.35],[0.45]],` + usage(62) + `}`},
		{"11 SGLang's own name", "/v1/score", `{"model":"fake","query":"q","items":"` + a + `"}`, "",
			`{"model":"fake","object":"scoring","scores":[[0.35]],` + usage(21) + `}`},
		{"11 vLLM's names", "/v1/score", `{"text_1":"q","text_2":["` + a + `","` + b + `"]}`, "", scores},
		{"11 both names", "/v1/score", `{"query":"q","queries":"q","items":["a"]}`, "query and queries", ""},
		{"13 chat_template_kwargs", "/pooling", text(`,"chat_template_kwargs":{"enable_thinking":false}`),
			"chat_template_kwargs: the model's template is rendered without any", ""},
		{"13 none of them", "/pooling", text(`,"chat_template_kwargs":{ }`), "", plain},
		{"14 messages", "/classify", `{"model":"fake","messages":[{"role":"user","content":"q"},{"role":"assistant","content":"` + a + `"}]}`, "",
			list("classify", `{"index":0,"label":"LABEL_0","num_classes":2,"probs":[0.65,0.35]}`, 21)},
		{"7 raw", "/classify", `{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"` + a + `"}],"use_activation":false}`,
			"",
			list("classify", `{"index":0,"label":"LABEL_0","num_classes":1,"probs":[0.7]}`, 21)},
		{"a cut of pairs", "/score", `{"queries":"q","items":["a"],"truncate_prompt_tokens":4}`,
			"truncate_prompt_tokens: nothing is cut off here", ""},
		{"a cut of documents", "/rerank", `{"query":"q","documents":["a"],"max_tokens_per_doc":4}`,
			"max_tokens_per_doc: nothing is cut off here", ""},
		{"no cut of documents", "/score", `{"queries":"q","items":["` + a + `","` + b + `"],"max_tokens_per_query":0,"max_tokens_per_doc":0}`,
			"", scores},
		{"documents left out", "/rerank", `{"query":"q","documents":[{"text":"` + a + `"},"` + b + `"],"return_documents":false}`, "",
			`{"id":"rerank-x","model":"fake","results":[{"index":1,"relevance_score":0.45},{"index":0,"relevance_score":0.35}],` +
				`"usage":{"prompt_tokens":62,"total_tokens":62}}`},
		{"documents as objects", "/v2/rerank", `{"query":"q","documents":[{"text":"` + a + `"}]}`, "",
			`{"id":"rerank-x","model":"fake","results":[{"index":0,"document":{"text":"` + a +
				`"},"relevance_score":0.35}],"usage":{"prompt_tokens":21,"total_tokens":21}}`},
		{"a document's other fields", "/rerank", `{"query":"q","documents":[{"text":"a","title":"b"}]}`, "", ""},
		{"an unknown field", "/score", `{"queries":"q","items":["a"],"threshold":1}`,
			"threshold: not a field of /score, which reads use_activation", ""},
		{"an unknown field of a trainer", "/get_reward", `{"query":[],"prompt":[]}`, "prompt: not a field of /get_reward", ""},
		{"an unknown field of a row", "/v1/steps", `{"problem":"q","response":"a","truncate_prompt_tokens":4}`,
			"truncate_prompt_tokens: nothing is cut off", ""},
		{"fields that change nothing", "/pooling", text(`,"user":"u","priority":0,"padding":"do_not_pad","add_generation_prompt":false,` +
			`"dimensions":null,"no_such":null,"cache_salt":"s"`), "", plain},
		{"a priority", "/pooling", text(`,"priority":1`), "", plain},
		{"no priority", "/pooling", text(`,"priority":"high"`), "priority: not a whole number", ""},
		{"padding", "/pooling", text(`,"padding":"max_length"`), "padding: nothing is padded here", ""},
		{"dimensions", "/v1/embeddings", text(`,"dimensions":1`), "dimensions: a score has no dimensions", ""},
		{"special tokens", "/pooling", text(`,"add_special_tokens":true`), "", pooled(`[[0.79,0.21],[0.6,0.4]]`)},
		{"pooler fields", "/pooling", text(`,"step_tag_id":7`), "step_tag_id: not a field of /pooling", ""},
		{"another model for a tokenizer", "/tokenize", `{"model":"gpt","prompt":"a"}`, "", ""},
	} {
		t.Run(c.row, func(t *testing.T) {
			_, url := start(t, newFake(), Options{})
			status, body, _ := ask(t, url+c.path, c.body)
			if c.want == "" {
				require.GreaterOrEqual(t, status, 400, body)
				require.Less(t, status, 500, body)
				require.Contains(t, body, c.refused)
				return
			}
			require.Equal(t, 200, status, body)
			// special tokens count
			want := c.want
			if c.row == "special tokens" {
				want = strings.ReplaceAll(want, "tokens\":60", "tokens\":61")
			}
			require.Equal(t, want, masked(t, body))
		})
	}
}

// masked hides what differs from call to call, and rounds what differs in the last places.
func masked(t *testing.T, body string) string {
	t.Helper()
	body = regexp.MustCompile(`"created":\d+`).ReplaceAllString(body, `"created":0`)
	body = regexp.MustCompile(`"id":"([\w-]+)-[a-z0-9]{26}"`).ReplaceAllString(body, `"id":"$1-x"`)
	return regexp.MustCompile(`-?\d\.\d{12,}`).ReplaceAllStringFunc(body, func(s string) string {
		var v float64
		require.NoError(t, json.Unmarshal([]byte(s), &v))
		b, err := json.Marshal(math.Round(v*1e9) / 1e9)
		require.NoError(t, err)
		return string(b)
	})
}

// vLLM's generative scoring: label l has the log-probability −l·(1/100 + first byte/10000).
func TestGenerativeScoring(t *testing.T) {
	_, url := start(t, newFake(), Options{})
	p := func(label int32, first byte) float64 {
		return math.Exp(-float64(label) * (0.01 + float64(first)/10000))
	}
	status, body, _ := ask(t, url+"/generative_scoring", `{"model":"fake","query":"q","items":["ab","c"],"label_token_ids":[10,20],`+
		`"item_first":true,"add_special_tokens":false}`)
	require.Equal(t, 200, status, body)
	var got struct {
		ID, Object string
		Data       []struct {
			Index  int
			Object string
			Score  float64
		}
		Usage usage
	}
	require.NoError(t, json.Unmarshal([]byte(body), &got))
	require.Regexp(t, `^generative-scoring-`, got.ID)
	require.Equal(t, "list", got.Object)
	require.Equal(t, usage{PromptTokens: 5, TotalTokens: 7, CompletionTokens: 2}, got.Usage)
	for i, first := range []byte{'a', 'c'} {
		require.Equal(t, "score", got.Data[i].Object)
		require.InDelta(t, p(10, first)/(p(10, first)+p(20, first)), got.Data[i].Score, 1e-15)
	}
	// The query begins with what the tokenizer adds.
	_, body, _ = ask(t, url+"/generative_scoring", `{"query":"q","items":["ab"],"label_token_ids":[10],"apply_softmax":false}`)
	require.NoError(t, json.Unmarshal([]byte(body), &got))
	require.InDelta(t, p(10, '^'), got.Data[0].Score, 1e-15)
	// SGLang's: every label's, without softmax where nothing is said.
	_, body, _ = ask(t, url+"/v1/score", `{"query":[97],"items":[[98],[99]],"label_token_ids":[10,20]}`)
	var scores struct {
		Object string
		Scores [][]float64
	}
	require.NoError(t, json.Unmarshal([]byte(body), &scores))
	require.Equal(t, "scoring", scores.Object)
	require.InDeltaSlice(t, []float64{p(10, 'a'), p(20, 'a')}, scores.Scores[1], 1e-15)

	for request, want := range map[string]string{
		`{"items":["a"],"label_token_ids":[1]}`: "query and items", `{"query":"q","items":[],"label_token_ids":[1]}`: "query and items",
		`{"query":"q","items":["a"]}`: "label_token_ids", `{"query":"q","items":[7],"label_token_ids":[1]}`: "neither a text nor token ids",
		`{"query":"q","items":["` + strings.Repeat("a", 400) + `"],"label_token_ids":[1]}`: "402 tokens, from 1 to 399",
	} {
		status, body, _ := ask(t, url+"/generative_scoring", request)
		require.Equal(t, 400, status, body)
		require.Contains(t, body, want)
	}
	f := newFake()
	f.info.Mark = ""
	_, url = start(t, f, Options{})
	status, body, _ = ask(t, url+"/generative_scoring", `{"query":"q","items":["a"],"label_token_ids":[1]}`)
	require.Equal(t, 404, status, body)
	require.Contains(t, body, "no language-model head")
}

// The body's bytes, and where each text's are: vLLM's build_pooling_bytes_streaming_response.
func TestPoolingBytes(t *testing.T) {
	f := newFake()
	f.info.Name = "modèle 😀"
	_, url := start(t, f, Options{})
	for format, metadata := range map[string]bool{"bytes": true, "bytes_only": false} {
		r, err := http.Post(url+"/pooling", "application/json", strings.NewReader(`{"input":[[97,35],[97,97,35,97,35]],"request_id":"mine",`+
			`"encoding_format":"`+format+`","embed_dtype":"bfloat16","endianness":"big"}`))
		require.NoError(t, err)
		body, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		require.NoError(t, r.Body.Close())
		require.Equal(t, "application/octet-stream", r.Header.Get("Content-Type"))
		// 0.99 0.01, 0.98 0.02, 0.99 0.01 in bfloat16: 3f7d 3c24, 3f7b 3ca4, 3f7d 3c24.
		require.Equal(t, "3f7d3c243f7b3ca43f7d3c24", fmt.Sprintf("%x", body))
		head := r.Header.Get("metadata")
		if !metadata {
			require.Empty(t, head)
			continue
		}
		require.Contains(t, head, `mod\u00e8le \ud83d\ude00`)
		var got map[string]any
		require.NoError(t, json.Unmarshal([]byte(head), &got))
		require.IsType(t, 0.0, got["created"])
		delete(got, "created")
		place := func(i, start, end, rows int) any {
			return map[string]any{"index": float64(i), "embed_dtype": "bfloat16", "endianness": "big", "start": float64(start), "end": float64(end),
				"shape": []any{float64(rows), 2.0}}
		}
		require.Equal(t, map[string]any{
			"id": "pooling-mine", "model": f.info.Name, "data": []any{place(0, 0, 4, 1), place(1, 4, 12, 2)},
			"usage": map[string]any{"prompt_tokens": 4.0, "total_tokens": 4.0},
		}, got)
	}
}

// Encodings of numbers, written out by PyTorch (tensor.to(dtype).view(uint8 or int16), little-endian).
func TestNumbers(t *testing.T) {
	values := [][]float64{{0, 1, -1, 0.3, 1.0 / 3}, {448, 464, 465, 1e-3, 2e-9}, {57344, 61440, 61441, 70000, -0.0078125}}
	for dtype, want := range map[string]string{
		"float32": numbersFloat32, "float16": numbersFloat16, "bfloat16": numbersBFloat16, "fp8_e4m3": numbersE4M3, "fp8_e5m2": numbersE5M2,
	} {
		e := encoding{DType: dtype, Endianness: "little"}
		require.NoError(t, e.fill())
		require.Equal(t, want, fmt.Sprintf("%x", e.bytes(values)), dtype)
	}
	require.Equal(t, []byte{0x38, 0x3A}, []byte{toFP8(1.0625, 3, 7, 0x7E), toFP8(1.1875, 3, 7, 0x7E)}, "ties go to even")
	require.Equal(t, []byte{0x7E, 0xFE, 0x7C, 0xFC, 0x7F}, []byte{
		toFP8(float32(math.Inf(1)), 3, 7, 0x7E), toFP8(float32(math.Inf(-1)), 3, 7, 0x7E), toFP8(float32(math.Inf(1)), 2, 15, 0x7C),
		toFP8(float32(math.Inf(-1)), 2, 15, 0x7C), toFP8(float32(math.NaN()), 2, 15, 0x7C)})
}

const (
	numbersFloat32 = "000000000000803f000080bf9a99993eabaaaa3e0000e0430000e8430080e8436f12833a5f700931000" +
		"06047000070470001704700b88847000000bc"
	numbersFloat16  = "0000003c00bccd345535005f405f445f19140000007b807b807b007c00a0"
	numbersBFloat16 = "0000803f80bf9a3eab3ee043e843e843833a0931604770477047894700bc"
	numbersE4M3     = "0038b82a2b7e7e7e01007e7e7e7e84"
	numbersE5M2     = "003cbc35355f5f5f14007b7c7c7ca0"
)
