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
