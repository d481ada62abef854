package serve

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/goprm/goprm/data"
	"github.com/stretchr/testify/require"
)

// Two steps of 20 and 40 bytes score 0.2 and 0.4, the whole 0.5. Of r̂ = 0.8 each step gives half its score at the token that ends it,
// and the last token the rest. With a wrong outcome and β = 0.75 all of it is three quarters of that.
func TestTokenRewards(t *testing.T) {
	_, url := start(t, newFake(), Options{})
	a, b := strings.Repeat("é", 10), strings.Repeat("b", 40)
	response := a + "\n\n" + b
	// Tokens, in characters: "éééé", "éééééé\n", "\n", 39 b, b, and the end, which is no character.
	ends := []int{4, 11, 12, 51, 52, 52}
	var got struct {
		Reward       float64   `json:"reward"`
		TokenRewards []float64 `json:"token_rewards"`
	}
	body := func(label, response string, ends any) string {
		text, err := json.Marshal(map[string]any{"prompt": "q", "response": response, "label": label, "token_ends": ends})
		require.NoError(t, err)
		return string(text)
	}
	for label, want := range map[string][]float64{
		"":      {0, 0.1, 0, 0, 0.2, 0.5},
		"wrong": {0, 0.075, 0, 0, 0.15, 0.375},
		b:       nil,
	} {
		status, text, _ := ask(t, url+"/reward/remote_rm?as=object", body(label, response, ends))
		require.Equal(t, 200, status, text)
		require.NoError(t, json.Unmarshal([]byte(text), &got))
		sum := 0.0
		for _, v := range got.TokenRewards {
			sum += v
		}
		require.InDelta(t, got.Reward, sum, 1e-15)
		if want != nil {
			require.InDeltaSlice(t, want, got.TokenRewards, 1e-12)
		}
	}
	for name, c := range map[string]struct {
		path, body string
		status     int
		want       string
	}{
		"a number":     {"/reward/remote_rm", body("", response, ends), 400, "ask with ?as=object"},
		"none":         {"/reward/remote_rm?as=object", body("", response, []int{}), 400, "token_ends: empty"},
		"descending":   {"/reward/remote_rm?as=object", body("", response, []int{5, 4}), 400, "4 at token 1 is before the end"},
		"past the end": {"/reward/remote_rm?as=object", body("", response, []int{53}), 400, "past the text's 52 characters"},
		"too short":    {"/reward/remote_rm?as=object", body("", response, []int{12}), 400, "past the last token"},
		"lengths":      {"/get_reward", `{"query":["Qa"],"prompts":["Q"],"token_ends":[[1],[2]]}`, 400, "token_ends: 2 for 1 texts"},
	} {
		status, text, _ := ask(t, url+c.path, c.body)
		require.Equal(t, c.status, status, name+text)
		require.Contains(t, text, c.want, name)
	}

	// OpenRLHF: offsets count from the beginning of the query.
	query := "Q: " + response + "<|im_end|>"
	text, err := json.Marshal(map[string]any{"query": []string{query}, "prompts": []string{"Q: "},
		"token_ends": [][]int{{7, 14, 15, 54, 55, 65}}})
	require.NoError(t, err)
	status, answer, _ := ask(t, url+"/get_reward", string(text))
	require.Equal(t, 200, status, answer)
	var dense struct {
		TokenRewards [][]float64 `json:"token_rewards"`
	}
	require.NoError(t, json.Unmarshal([]byte(answer), &dense))
	require.InDeltaSlice(t, []float64{0, 0.1, 0, 0, 0.2, 0.5}, dense.TokenRewards[0], 1e-12)

	// A text without a reward has its policy's value at its last token.
	_, url = start(t, newFake(), Options{Unscored: "-1"})
	_, text2, _ := ask(t, url+"/reward/remote_rm?as=object", `{"prompt":"q","response":" ","token_ends":[1,1]}`)
	require.Contains(t, text2, `"token_rewards":[0,-1]`)
}

// Where the parts of an answer lie in it, whatever marks it has.
func TestPlaces(t *testing.T) {
	for _, answer := range []string{
		"<think>\nt\n</think>\n\nr", "<think>think</think>k<|im_end|>\n<|endoftext|>", "t\n</think>\n\n</th", "r<|user|>",
		"<think>\nnever closed",
		"<|begin_of_thought|>\n\nt\n\n<|end_of_thought|>\n\n<|begin_of_solution|>\n\nr\n\n<|end_of_solution|>",
		"<|im_start|>think\na\n<|im_start|>answer\nb<|im_end|>",
		"<|channel|>analysis<|message|>t<|end|><|start|>assistant<|channel|>final<|message|>s<|return|>",
		"s</s>", " \n",
	} {
		tr := trajectory("p", answer, "")
		text := "problem, and then " + answer
		thinking, response, err := places(text, tr)
		require.NoError(t, err, answer)
		require.Equal(t, tr.Thinking, text[thinking:][:len(tr.Thinking)], answer)
		require.Equal(t, tr.Response, text[response:][:len(tr.Response)], answer)
		require.True(t, tr.Thinking == "" || thinking >= 18 && (tr.Response == "" || thinking+len(tr.Thinking) <= response), answer)
		require.Contains(t, fmt.Sprint(text[response:]), tr.Response)
	}
	_, _, err := places("a b", &data.Trajectory{Response: "c"})
	require.ErrorIs(t, err, errNoPlaces)
}
