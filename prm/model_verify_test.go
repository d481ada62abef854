package prm_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/engine"
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

// firstKernel is a CPU backend that remembers when it launched for the first time.
type firstKernel struct {
	engine.Backend
	once *sync.Once
	at   *time.Time
}

func (firstKernel) SharesHostMemory() {}

func (f firstKernel) Compile(c engine.Call) (engine.Launch, error) {
	launch, err := f.Backend.Compile(c)
	return func() error {
		f.once.Do(func() { *f.at = time.Now() })
		return launch()
	}, err
}

// TestFirstKernel says how long a model takes from Open to its first kernel: GOPRM_FIRST_KERNEL names its folder.
func TestFirstKernel(t *testing.T) {
	folder := os.Getenv("GOPRM_FIRST_KERNEL")
	if folder == "" {
		t.Skip("GOPRM_FIRST_KERNEL is not set")
	}
	var once sync.Once
	var at time.Time
	engine.Register("firstkernel", func(int, engine.Options) (engine.Backend, error) {
		b, err := engine.Open("cpu", engine.Options{})
		return firstKernel{b, &once, &at}, err
	})
	text := &data.Trajectory{Problem: "p", Steps: []string{"One.", "Two."}}
	for _, later := range []bool{true, false} {
		began := time.Now()
		once = sync.Once{}
		m, err := prm.Open(folder, prm.OpenOptions{Device: "firstkernel", VerifyLater: later})
		require.NoError(t, err)
		_, err = m.Score(context.Background(), text)
		require.NoError(t, err)
		t.Logf("verified later: %v; first kernel after %.2f s, scores after %.2f s", later, at.Sub(began).Seconds(), time.Since(began).Seconds())
		require.NoError(t, m.Close())
	}
}
