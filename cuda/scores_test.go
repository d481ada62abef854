//go:build linux && (amd64 || arm64) && !nocuda && !gpuonly

package cuda

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goprm/goprm/cuda/internal/emulator"
	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/nn/bert"
	"github.com/goprm/goprm/prm"
	"github.com/stretchr/testify/require"
)

// Models of every kind score on the emulated GPU as on the CPU: RoPE scaling, layers with a window, log-probabilities of
// labels, texts in windows. The goldens of the same folders hold the CPU to PyTorch's numbers.
func TestEmulatedScores(t *testing.T) {
	if testing.Short() {
		t.Skip("short")
	}
	emulator.Use(t)
	require.NoError(t, emulator.Configure(emulator.Mode{Jobs: 2}))
	heads := filepath.Join("..", "internal", "parity", "testdata", "heads")
	text := &data.Trajectory{ID: "long", Problem: "A shelf holds 4 rows of 9 books; 5 are lent out. How many are left?"}
	for i := range 6 {
		text.Steps = append(text.Steps, fmt.Sprintf("Take %d away, then add %d", i, i*i)+strings.Repeat(" more", i%4)+".")
	}
	for _, c := range []struct {
		dir string
		opt prm.OpenOptions
	}{
		{"eurus", prm.OpenOptions{Format: "eurus", Reference: filepath.Join(heads, "eurus", "reference")}},
		{"yarn_window", prm.OpenOptions{Format: "token_classification"}},
		{"yarn_window", prm.OpenOptions{Format: "token_classification", MaxTokens: 128}},
	} {
		t.Run(fmt.Sprintf("%s/%d", c.dir, c.opt.MaxTokens), func(t *testing.T) {
			var scores []*prm.Score
			for _, at := range []struct {
				device, dtype string
			}{{"cpu", "f32"}, {"cuda:0", "f32"}, {"cuda:0", "bf16"}} {
				opt := c.opt
				opt.Device, opt.DType = at.device, at.dtype
				m, err := prm.Open(filepath.Join(heads, c.dir), opt)
				require.NoError(t, err)
				s, err := m.Score(context.Background(), text)
				require.NoError(t, err)
				require.NoError(t, m.Close())
				require.Len(t, s.Steps, len(text.Steps))
				require.Equal(t, c.opt.MaxTokens > 0, s.Steps[len(s.Steps)-1].Window > 0, "read in windows")
				scores = append(scores, s)
			}
			for i, want := range scores[0].Steps {
				require.InDelta(t, want.Score, scores[1].Steps[i].Score, 2e-5, "f32, step %d", i)
				require.InDelta(t, want.Score, scores[2].Steps[i].Score, 2e-2, "bf16, step %d", i)
			}
		})
	}
	_, err := prm.Open(filepath.Join(heads, "yarn_window"), prm.OpenOptions{Format: "token_classification", Device: "cuda:0", LowMemory: true})
	require.ErrorContains(t, err, "low memory: cuda:0/sm80 has a copy of all weights")
}

// Sentence encoders embed on the emulated GPU as on the CPU.
func TestEmulatedEncoders(t *testing.T) {
	if testing.Short() {
		t.Skip("short")
	}
	emulator.Use(t)
	require.NoError(t, emulator.Configure(emulator.Mode{Jobs: 2}))
	texts := []string{"Add 3 and 4.", "Then halve the sum, which gives three and a half.", ""}
	for _, folder := range []string{"mean", "cls", "dense"} {
		var embeddings [][][]float32
		for _, device := range []string{"cpu", "cuda:0"} {
			e, err := bert.Open(filepath.Join("..", "nn", "bert", "testdata", folder), bert.Options{Device: device})
			require.NoError(t, err)
			v, err := e.Encode(context.Background(), texts)
			require.NoError(t, err)
			require.NoError(t, e.Close())
			embeddings = append(embeddings, v)
		}
		for i, want := range embeddings[0] {
			require.InDeltaSlice(t, want, embeddings[1][i], 1e-5, "%s: text %d", folder, i)
		}
	}
}
