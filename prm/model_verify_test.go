package prm_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/prm"
	"github.com/stretchr/testify/require"
)

// A model whose base is verified later gives no score of a base that is another one, and says so from then on.
func TestVerifyLater(t *testing.T) {
	folder, ctx := ridgeModel(t), context.Background()
	text := &data.Trajectory{Problem: "p", Steps: []string{"One."}}
	m, err := prm.Open(folder, prm.OpenOptions{VerifyLater: true})
	require.NoError(t, err)
	_, err = m.Score(ctx, text)
	require.NoError(t, err)
	require.NoError(t, m.Close())

	weights := filepath.Join(folder, "..", "..", "base", "model.safetensors")
	raw, err := os.ReadFile(weights)
	require.NoError(t, err)
	other := bytes.Clone(raw)
	other[len(other)-1] ^= 1
	require.NoError(t, os.WriteFile(weights, other, 0o600))
	const message = "is not what this was trained on"
	_, err = prm.Open(folder, prm.OpenOptions{})
	require.ErrorContains(t, err, message)
	m, err = prm.Open(folder, prm.OpenOptions{VerifyLater: true})
	require.NoError(t, err)
	for range 2 {
		_, err = m.Score(ctx, text)
		require.ErrorContains(t, err, message)
	}
	require.ErrorContains(t, m.Err(), message)
	require.NoError(t, m.Close())
}
