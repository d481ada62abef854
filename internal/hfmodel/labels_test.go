package hfmodel

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestGoodClass(t *testing.T) {
	for _, pair := range [][2]string{ // bad, good
		{"LABEL_0", "LABEL_1"}, {"0", "1"}, {"incorrect", "correct"}, {"-", "+"}, {"bad", "good"}, {"wrong", "right"}, {"negative", "positive"},
		{"NEG", "POS"}, {"False", "True"}, {"no", "yes"}, {"invalid", "valid"}, {"error", "correct"}, {"not correct", "correct"},
		{"is_incorrect", "is_correct"}, {"isWrong", "isCorrect"}, {"Wrong Step", "Right Step"}, {"rejected", "chosen"}, {"has error", "no error"},
		{"fail", "pass"}, {"LABEL_BAD", "LABEL_GOOD"}, {"non-valid", "valid"}, {"unsound", "sound"}, {"−", "+"},
	} {
		good, err := Labels{pair[0], pair[1]}.Good()
		require.NoError(t, err, pair)
		require.Equal(t, 1, good, pair)
		if pair[0] == "LABEL_0" || pair[0] == "0" {
			continue // the other way round they would be no numbers of their classes
		}
		good, err = Labels{pair[1], pair[0]}.Good()
		require.NoError(t, err, pair)
		require.Equal(t, 0, good, pair)
	}
	for _, pair := range [][2]string{{"cat", "dog"}, {"correct", "right"}, {"correct", "neutral"}, {"LABEL_1", "LABEL_0"}, {"wrong", "bad"},
		{"", "good"}, {"good bad", "bad"}} {
		_, err := Labels{pair[0], pair[1]}.Good()
		require.ErrorContains(t, err, "id2label", pair)
	}
	good, err := Labels(nil).Good()
	require.NoError(t, err)
	require.Equal(t, 1, good)
}

func TestLabelsThatContradict(t *testing.T) {
	for _, c := range []struct {
		edits   map[string]string
		message string
	}{
		{map[string]string{"num_labels": "2", "id2label": `{"0":"a"}`}, "num_labels is 2, but id2label names 1 classes"},
		{map[string]string{"id2label": `{"0":"a","2":"b"}`}, `id2label: "2" is not one of the classes 0 to 1`},
		{map[string]string{"id2label": `{"0":"good","1":"bad"}`, "label2id": `{"bad":0,"good":1}`}, "label2id calls class"},
		{map[string]string{"label2id": `{"bad":0,"good":0}`}, "label2id gives two names to one class"},
	} {
		_, err := ParseConfig(tinyConfig(t, c.edits))
		require.ErrorContains(t, err, c.message)
	}
	for _, edits := range []map[string]string{
		{"id2label": `{"0":"good","1":"bad"}`, "label2id": `{"LABEL_0":0,"LABEL_1":1}`}, // the default beside names
		{"id2label": `{"0":"LABEL_0","1":"LABEL_1"}`, "label2id": `{"good":0,"bad":1}`},
		{"label2id": `{"good":0,"bad":1}`},
		{"id2label": `{"0":"good","1":"bad"}`},
	} {
		config, err := ParseConfig(tinyConfig(t, edits))
		require.NoError(t, err)
		require.Equal(t, Labels{"good", "bad"}, config.Labels)
	}
}
