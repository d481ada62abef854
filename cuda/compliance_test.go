//go:build linux && (amd64 || arm64) && !nocuda

package cuda

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/goprm/goprm/cuda/internal/emulator"
	"github.com/goprm/goprm/internal/compliance"
	"github.com/goprm/goprm/internal/engine"
	"github.com/stretchr/testify/require"
)

func openEmulated(t testing.TB) engine.Backend {
	t.Helper()
	emulator.Use(t)
	b, err := engine.Open("cuda:0", engine.Options{})
	require.NoError(t, err)
	return b
}

// Every op in f32, f64 and bf16, with the threads of a block in a random order and its copies as late as may be. The whole
// suite takes minutes of the emulator, so it waits for GOPRM_EMULATED=all.
func TestEmulatedSM80Compliance(t *testing.T) {
	b := openEmulated(t)
	require.NoError(t, b.Close())
	require.NoError(t, emulator.Configure(emulator.Mode{Late: true, Seed: 1, Jobs: 2}))
	opt := compliance.Options{BF16: true, Elements: 6000}
	if os.Getenv("GOPRM_EMULATED") == "all" {
		opt.Elements = 0
	}
	launched := map[string]*kernel{}
	compliance.Run(t, func(int) engine.Backend {
		b := openEmulated(t)
		b.(*backend).launched = launched
		return b
	}, opt)
	if !testing.Short() && !t.Failed() && !strings.Contains(flag.Lookup("test.run").Value.String(), "/") {
		checkLaunches(t, launched)
	}
}
