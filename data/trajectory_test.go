package data

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func parse(t *testing.T, line string) *Trajectory {
	t.Helper()
	tr := &Trajectory{}
	require.NoError(t, json.Unmarshal([]byte(line), tr))
	return tr
}

func TestTrajectoryJSON(t *testing.T) {
	tr := parse(t, `{"id":"t1","problem":"p <b>","thinking":"a","response":"b","labels":{"steps":[0.999,null,0],"trajectory":0.1,`+
		`"weights":[1,null,0.5],"trajectory_weight":0,"judge":{"v":1}},"source":"s","answer":"42","meta":{"k":1,"extra":2},"extra":[1.0],`+
		`"zz":"x"}`)
	require.Equal(t, "t1", tr.ID)
	require.Equal(t, []*float64{Float(0.999), nil, Float(0)}, tr.Labels.Steps)
	require.Equal(t, []*float64{Float(1), nil, Float(0.5)}, tr.Labels.Weights)
	require.Equal(t, Float(0.1), tr.Labels.Trajectory)
	require.Equal(t, Float(0), tr.Labels.TrajectoryWeight)
	out, err := tr.MarshalJSON()
	require.NoError(t, err)
	require.Equal(t, `{"id":"t1","problem":"p <b>","thinking":"a","response":"b","labels":{"judge":{"v":1},"steps":[0.999,null,0],`+
		`"trajectory":0.1,`+
		`"trajectory_weight":0,"weights":[1,null,0.5]},"source":"s","answer":"42","meta":{"extra":2,"extra_":[1.0],"k":1,"zz":"x"}}`, string(out))
	require.Equal(t, tr, parse(t, string(out)), "what is written reads back the same")
}

func TestMissingLabelIsNotZero(t *testing.T) {
	l := parse(t, `{"problem":"p","steps":["a","b","c"],"labels":{"steps":[0,null],"weights":[2]}}`).Labels
	for i, want := range []struct {
		target, weight float64
		ok             bool
	}{{0, 2, true}, {0, 1, false}, {0, 1, false}} {
		target, weight, ok := l.step(i)
		require.Equal(t, want.ok, ok, i)
		require.Equal(t, want.target, target, i)
		require.Equal(t, want.weight, weight, i)
	}
	_, _, ok := l.final()
	require.False(t, ok)
}

func TestTrajectoryErrors(t *testing.T) {
	for line, want := range map[string]string{
		`{"id":7,"problem":"p"}`:                 "id: number where a string is expected",
		`{"id":"x","problem":["p"]}`:             "problem: array where a string is expected",
		`{"id":"x","steps":["a",null]}`:          "steps[1]: null where a string is expected",
		`{"id":"x","steps":"a"}`:                 "steps: not a list of strings",
		`{"id":"x","labels":[1]}`:                "labels: array where an object is expected",
		`{"id":"x","labels":{"steps":[true]}}`:   "labels.steps: bool where a list of numbers is expected",
		`{"id":"x","labels":{"trajectory":"1"}}`: "labels.trajectory: string where a number is expected",
		`{"id":"x","labels":{"steps":[1e999]}}`:  "labels.steps: number 1e999 where a list of numbers is expected",
		`{"id":"x","meta":3}`:                    "meta: number where an object is expected",
		`{"id":"x","problem":"` + "\xff" + `"}`:  "byte 21: not valid UTF-8",
		`{"id":"x","problem":"\\\ud83d"}`:        `byte 23: \ud83d is half of a surrogate pair`,
		`{"problem":"\ud83d\ud83d\ude00"}`:       `byte 12: \ud83d is half of a surrogate pair`,
		`{"id":"x","problem":"\ude00\ud83d"}`:    `byte 21: \ude00 is half of a surrogate pair`,
		`[1]`:                                    "not a JSON object",
		`null`:                                   "null where an object is expected",
		`{"id":"x"`:                              "byte 9: not JSON",
	} {
		err := (&Trajectory{}).UnmarshalJSON([]byte(line))
		require.ErrorContains(t, err, want, line)
	}
	require.Equal(t, "😀\\ud83d", parse(t, `{"problem":"\ud83d\ude00\\ud83d"}`).Problem, "a pair and an escaped backslash are fine")
}

func TestTrajectoryValidate(t *testing.T) {
	two := []string{"a", "b"}
	for want, tr := range map[string]Trajectory{
		"labels.steps[1]: NaN is not a finite number": {Steps: two,
			Labels: Labels{Steps: []*float64{nil, Float(math.NaN())}}},
		"labels.trajectory: +Inf is not a finite number":                     {Steps: two, Labels: Labels{Trajectory: Float(math.Inf(1))}},
		"labels.weights[0]: -1 is not a finite number of at least 0":         {Steps: two, Labels: Labels{Weights: []*float64{Float(-1)}}},
		"labels.trajectory_weight: NaN is not a finite number of at least 0": {Steps: two, Labels: Labels{TrajectoryWeight: Float(math.NaN())}},
		"labels.steps: 3 labels for 2 steps": {Steps: two[:1], ResponseSteps: two[:1],
			Labels: Labels{Steps: make([]*float64, 3)}},
		"labels.weights: 3 weights for 2 steps": {Steps: two, Labels: Labels{Weights: make([]*float64, 3)}},
		"response_steps[1]: not valid UTF-8":    {ResponseSteps: []string{"a", "\xc3"}},
		"thinking: not valid UTF-8":             {Thinking: "\xff"},
	} {
		require.EqualError(t, tr.Validate(), want)
		_, err := tr.MarshalJSON()
		require.EqualError(t, err, want)
	}
	require.NoError(t, (&Trajectory{Thinking: "x", Labels: Labels{Steps: make([]*float64, 9)}}).Validate(), "text is cut later")
}

func TestProblemKey(t *testing.T) {
	require.Equal(t, KeyOf("a b c"), KeyOf("\n a\t b \u00a0c "))
	require.NotEqual(t, KeyOf("a b c"), KeyOf("a bc"))
	require.NotEqual(t, KeyOf("a"), KeyOf("A"))
}

func TestSplitKnown(t *testing.T) {
	text := "é1\n\n\n\n二b\n\n \t\n\n😀\n\n"
	require.Equal(t, []Span{{0, 3, 0, 2}, {7, 11, 6, 8}, {17, 21, 14, 15}}, Split(text, "\n\n"))
	require.Equal(t, []Span{{0, 1, 0, 1}, {3, 5, 3, 5}}, Split("a\n\n\nb", "\n\n"),
		"separators are found from the left; the third newline begins the next piece")
	require.Equal(t, []Span{{0, 3, 0, 3}}, Split("a b", ""))
	require.Empty(t, Split("", "\n\n"))
	require.Empty(t, Split(" \n\n\t", "\n\n"))
	require.Equal(t, []Span{{0, 1, 0, 1}}, Split("a", "\n\n"))
}

// checkSplit compares Split with the piece list of strings.Split and with offsets counted rune by rune.
func checkSplit(t *testing.T, text, sep string) {
	t.Helper()
	spans := Split(text, sep)
	pieces := []string{text}
	if sep != "" {
		pieces = strings.Split(text, sep)
	}
	at, n := 0, 0
	for _, piece := range pieces {
		if strings.TrimSpace(piece) != "" {
			require.Less(t, n, len(spans))
			s := spans[n]
			require.Equal(t, at, s.Start)
			require.Equal(t, piece, text[s.Start:s.End])
			require.Equal(t, len([]rune(text[:s.Start])), s.CharStart)
			require.Equal(t, len([]rune(text[:s.End])), s.CharEnd)
			n++
		}
		at += len(piece) + len(sep)
	}
	require.Len(t, spans, n)
}

func FuzzSplit(f *testing.F) {
	for _, s := range []string{"", "a\n\nb", "\n\n\n", "é\n\n😀\n \n\n二", "aaaa"} {
		f.Add(s, "\n\n")
		f.Add(s, "a")
		f.Add(s, "")
	}
	f.Fuzz(func(t *testing.T, text, sep string) {
		text, sep = strings.ToValidUTF8(text, "?"), strings.ToValidUTF8(sep, "?")
		checkSplit(t, text, sep)
	})
}

func TestCut(t *testing.T) {
	tr := &Trajectory{Thinking: "é one\n\ntwo", Response: "x", Steps: []string{"one", "two"}, ResponseSteps: []string{"é", "x"}}
	thinking, response := tr.Cut("\n\n")
	require.Equal(t, Cut{tr.Thinking, Given, tr.Steps, []Span{{3, 6, 2, 5}, {8, 11, 7, 10}}}, thinking)
	require.Equal(t, Cut{"é\n\nx", Joined, tr.ResponseSteps, []Span{{0, 2, 0, 1}, {4, 5, 3, 4}}}, response, "é is not in the response")
	thinking, response = (&Trajectory{Thinking: "a\n\n\n\nb"}).Cut("\n\n")
	require.Equal(t, Cut{"a\n\n\n\nb", Given, []string{"a", "b"}, []Span{{0, 1, 0, 1}, {5, 6, 5, 6}}}, thinking)
	require.Empty(t, response.Steps)
}

func TestFloats(t *testing.T) {
	require.Equal(t, []*float64{Float(1), nil, Float(0)}, Floats(1, math.NaN(), 0))
	require.Nil(t, Floats())
}
