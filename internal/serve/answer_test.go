package serve

import (
	"fmt"
	"testing"

	"github.com/goprm/goprm/data/grade"
	"github.com/stretchr/testify/require"
)

// The answer is told from the response, not from a guess in the thinking; a trajectory that never leaves its thinking is wrong.
func TestAnswerIsInTheResponse(t *testing.T) {
	s, err := New(newFake(), Options{Verifier: grade.Verifier{}})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	c := &call{Server: s}
	for text, want := range map[string]float64{
		`<think>It is \boxed{4}.</think>It is \boxed{5}.`: 1, `<think>It is \boxed{5}.</think>It is \boxed{4}.`: 0,
		`<think>It is \boxed{5}.</think>It is four.`: 0,
		`<think>It is \boxed{5}.`:                    0, `It is#\boxed{5}.#`: 1,
	} {
		got, err := c.grade(sample{trajectory: trajectory("p", text, "#"), label: "5"})
		require.NoError(t, err)
		require.Equal(t, want, *got, fmt.Sprint(text))
	}
}
