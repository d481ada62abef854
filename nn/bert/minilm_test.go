//go:build unix

package bert

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func minilm(t *testing.T) string {
	dir := os.Getenv("GOPRM_MINILM")
	if dir == "" {
		t.Skip("GOPRM_MINILM is not set: scripts/minilm.sh does")
	}
	return dir
}

// TestRealMiniLM: all-MiniLM-L6-v2 gives what sentence-transformers gives (scripts/minilm.py), on reasoning steps, a text
// beyond its length and the tokenizer's test texts.
func TestRealMiniLM(t *testing.T) {
	g := readGolden(t, minilm(t))
	for _, c := range []struct {
		backend, dtype string
		bound          float64
	}{{"auto", "f32", 1e-5}, {"portable", "f32", 1e-5}, {"auto", "f64", 1e-9}} {
		e := open(t, g.dir, Options{Backend: c.backend, DType: c.dtype})
		got, err := e.encode(context.Background(), g.texts)
		require.NoError(t, err)
		exact, single := largest(t, g.f64, got), largest(t, g.f32, got)
		t.Logf("%s %s: largest difference to float64 %.2g, to float32 %.2g; float32's own to float64 %.2g", c.backend, c.dtype, exact, single,
			largest(t, g.f64, g.f32))
		require.LessOrEqual(t, exact, c.bound)
		require.LessOrEqual(t, single, 1e-5)
		require.Equal(t, g.truncated, e.Truncated())
	}
}

// TestRealMiniLMSpeed measures; scripts/minilm.py --time does the same with PyTorch.
func TestRealMiniLMSpeed(t *testing.T) {
	g := readGolden(t, minilm(t))
	e := open(t, g.dir, Options{Threads: 2})
	texts, tokens := make([]string, 512), 0
	for i := range texts {
		texts[i] = g.texts[i%8]
		ids, _, err := e.tokenizer.Encode(texts[i], e.limit)
		require.NoError(t, err)
		tokens += len(ids)
	}
	for range 3 {
		start, processor := time.Now(), processorSeconds(t)
		_, err := e.Encode(context.Background(), texts)
		require.NoError(t, err)
		wall := time.Since(start).Seconds()
		t.Logf("%s: %.1f texts/s, %.0f tokens/s, %.0f tokens in a processor's second", e.backend.Name(), float64(len(texts))/wall,
			float64(tokens)/wall, float64(tokens)/(processorSeconds(t)-processor))
	}
}

// processorSeconds is what this process has used, which tells more than the clock where others use the machine.
func processorSeconds(t *testing.T) float64 {
	var u unix.Rusage
	require.NoError(t, unix.Getrusage(unix.RUSAGE_SELF, &u))
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
