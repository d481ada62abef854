package serve

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Of texts without a reward, each trainer is told what the policy says, and those beside them have their own rewards.
func TestUnscored(t *testing.T) {
	good, long := strings.Repeat("a", 25), strings.Repeat("b", 200)
	query, err := json.Marshal(map[string]any{
		"query":   []string{"Q" + good, "Q", "no marks", "Q" + long, "Qx", "no parts" + good, "Q" + good},
		"prompts": []string{"Q", "Q", "Q", "Q", "Q", "no parts", "Q"},
		"labels":  []string{good, "1", "1", "1", "code", "1", "1"},
	})
	require.NoError(t, err)
	for policy, want := range map[string]struct{ reward, unit string }{"null": {"null", "null"}, "-1.5": {"-1.5", "0"},
		"0.25": {"0.25", "0.25"}, "7": {"7", "1"}} {
		_, url := start(t, newFake(), Options{Unscored: policy, MaxTokens: 100})
		status, body, _ := ask(t, url+"/get_reward", string(query))
		require.Equal(t, 200, status, body)
		list := func(first, none, last string) string {
			return fmt.Sprintf("[%s,%s%s]", first, strings.Repeat(none+",", 5), last)
		}
		require.Equal(t, fmt.Sprintf(`{"extra_logs":{"graded":[1,0,0,0,0,0,1],"unscored":[0,1,1,1,1,1,0]},"rewards":%s,"scores":%s}`,
			list("0.8125", want.reward, "0.5625"), list("1", want.unit, "0")), body)

		_, body, _ = ask(t, url+"/reward/remote_rm", `{"prompt":"q","response":" "}`)
		require.Equal(t, want.reward, body)
		_, body, _ = ask(t, url+"/reward/remote_rm?as=object",
			`{"prompt":[{"role":"user","content":"q"},{"role":"user","content":"r"}],"response":"a"}`)
		require.Equal(t, fmt.Sprintf(`{"graded":0,"reward":%s,"score":%s,"unscored":1}`, want.reward, want.reward), body)
		_, body, _ = ask(t, url+"/reward/llamafactory", `{"messages":["`+chat("")+`","`+chat(good)+`"]}`)
		require.Equal(t, fmt.Sprintf(`{"scores":[%s,0.75]}`, want.reward), body)

		// A request that cannot be read is an error, and so are the engines' protocols, whose clients know no such answer.
		for path, request := range map[string]string{
			"/get_reward": `{"query":[7]}`, "/reward/remote_rm": `{"prompt":"q"}`, "/v1/embeddings": `{"input":"no marks"}`,
			"/score": `{"text_1":"q","text_2":""}`, "/v1/steps": `{"problem":"q"}`,
		} {
			status, body, _ := ask(t, url+path, request)
			require.GreaterOrEqual(t, status, 400, body)
		}
		r, err := http.Get(url + "/metrics")
		require.NoError(t, err)
		text, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		require.NoError(t, r.Body.Close())
		for reason, n := range map[string]int{"text": 5, "too_long": 1, "outcome": 1, "parts": 1} {
			require.Contains(t, string(text), fmt.Sprintf("goprm_unscored_total{reason=%q} %d\n", reason, n))
		}
	}
}
