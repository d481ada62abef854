package metrics

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/goprm/goprm/internal/shareddata"
)

func TestBestOfNByHand(t *testing.T) {
	problems := [][]Sample{
		{ // best right, majority wrong, weighted right (0.9 against 0.3), shortest wrong, 1 of 3
			{Answer: "7", Score: 0.2, Length: 5, Steps: 3}, {Answer: "7", Score: 0.1, Length: 9, Steps: 2},
			{Answer: "8", Correct: true, Score: 0.9, Length: 6, Steps: 1},
		},
		{ // every tie goes to the earliest, which is right
			{Answer: "1", Correct: true, Score: 0.5, Length: 4, Steps: 1}, {Answer: "2", Score: 0.5, Length: 4, Steps: 1},
		},
		{ // no answer found twice is no vote; the NaN score is never picked
			{Answer: "", Score: nan, Length: 1, Steps: 1}, {Answer: "", Score: 0.9, Length: 2, Steps: 2},
			{Answer: "3", Correct: true, Score: 0.1, Length: 3, Steps: 3},
		},
		{},
	}
	r := BestOfN(problems)
	require.Equal(t, 4, r.Problems)
	require.Equal(t, Float(0.5), r.Best)
	require.Equal(t, Float(0.75), r.Weighted)
	require.Equal(t, Float(0.5), r.Majority)
	require.Equal(t, Float(0.25), r.Shortest)
	require.Equal(t, Float(0.5), r.FewestSteps)
	require.InDelta(t, (1.0/3+1.0/2+1.0/3)/4, float64(r.Random), 1e-15)
	require.Equal(t, Float(0.75), r.Oracle)
	require.Equal(t, -1, Best(nil))
	require.Equal(t, -1, Vote(problems[2][:2], func(Sample) float64 { return 1 }))
	require.False(t, BestOfN(nil).Best.Defined())
}

// The reward model's own repository reports these two numbers for its example file.
func TestBestOfEightAsPublished(t *testing.T) {
	f, err := os.Open(filepath.Join(shareddata.Dir(t), "data", "bench", "bon8_math100_qwen_orm.jsonl"))
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	var problems [][]Sample
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var row struct {
			Pred      []string
			Score     []bool
			PredScore [][]float64 `json:"pred_score"`
		}
		require.NoError(t, json.Unmarshal(lines.Bytes(), &row))
		samples := make([]Sample, len(row.Pred))
		for i := range samples {
			samples[i] = Sample{Answer: row.Pred[i], Correct: row.Score[i], Score: row.PredScore[i][0]}
		}
		problems = append(problems, samples)
	}
	require.NoError(t, lines.Err())
	r := BestOfN(problems)
	require.Equal(t, 100, r.Problems)
	require.Equal(t, Float(0.94), r.Best)
	require.Equal(t, Float(0.93), r.Majority)
}
