package compliance

import (
	"slices"
	"testing"

	"github.com/goprm/goprm/internal/ops"
	"github.com/stretchr/testify/require"
)

func TestEveryOpHasOneTolerance(t *testing.T) {
	var listed []string
	for _, c := range tolerances {
		listed = append(listed, c.ops...)
	}
	slices.Sort(listed)
	require.Equal(t, ops.Ops(), listed)
}

func TestGradientsAreKnownByTheirNames(t *testing.T) {
	for op, want := range map[string]bool{"linear_dx": true, "attention_backward": true, "embedding_dtable": true, "bce_dz": true,
		"linear_dx_add": false, "embedding": false, "dropout": false, "add": false} {
		require.Equal(t, want, isGradient.MatchString(op), op)
	}
}

func TestRowsThatAreComputedAlone(t *testing.T) {
	require.Equal(t, []int{0, 1, 2}, Options{}.alone(3))
	require.Equal(t, []int{0, 1, 2}, Options{Rows: 8}.alone(3))
	require.Equal(t, []int{0, 43, 86, 129}, Options{Rows: 4}.alone(130))
	require.Equal(t, []int{0}, Options{Rows: 1}.alone(130))
	require.Empty(t, Options{Rows: 8}.alone(0))
}
