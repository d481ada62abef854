//go:build linux && (amd64 || arm64) && !nocuda

package cuda

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/goprm/goprm/cuda/internal/conformance"
	"github.com/goprm/goprm/cuda/internal/driver"
	"github.com/goprm/goprm/cuda/internal/emulator"
	"github.com/stretchr/testify/require"
)

// caseLimit is how long a case may take: it is microseconds of work, some milliseconds of the emulator's.
const caseLimit = 3 * time.Second

// conform runs one case on a device that opens for it.
func conform(t *testing.T, c conformance.Case) []uint32 {
	device, err := driver.Device(0)
	require.NoError(t, err)
	context, err := driver.Retain(device)
	require.NoError(t, err)
	require.NoError(t, context.Enter())
	defer context.Leave()
	stream, err := driver.NewStream()
	require.NoError(t, err)
	got, err := conformance.Run(c, stream, caseLimit)
	require.NoError(t, err)
	require.NoError(t, stream.Destroy())
	return got
}

// What is recorded of the emulator is what it does, in every mode and without a race; with GOPRM_RECORD=1 it is written anew.
func TestEmulatedConformance(t *testing.T) {
	emulator.Use(t)
	require.NoError(t, driver.Load())
	require.NoError(t, emulator.SetCapability(90))
	t.Cleanup(func() { require.NoError(t, emulator.SetCapability(0)) })
	for i, mode := range []emulator.Mode{{}, {Late: true, Seed: 5, Races: true}} {
		mode.Jobs = 2
		require.NoError(t, emulator.Configure(mode))
		results := map[string][]uint32{}
		for _, c := range conformance.Cases {
			results[c.Name] = conform(t, c)
		}
		if i == 0 && os.Getenv("GOPRM_RECORD") != "" {
			f, err := os.Create(filepath.Join("internal", "conformance", "recorded.gz"))
			require.NoError(t, err)
			require.NoError(t, conformance.Record(f, results))
			require.NoError(t, f.Close())
			t.Skip("recorded: build again")
		}
		recorded, err := conformance.Recorded()
		require.NoError(t, err)
		for _, c := range conformance.Cases {
			require.Empty(t, c.Differs(results[c.Name], recorded[c.Name]), c.Name)
		}
		for i, word := range results["conform_gated"][:64] {
			require.Zero(t, word, "thread %d: gated numbers by groups and one by one", i)
		}
	}
	wrong := conformance.Cases[0]
	require.NotEmpty(t, wrong.Differs([]uint32{1, 2}, []uint32{1, 3}))
	wrong.Near = 1e-6
	require.NotEmpty(t, wrong.Differs([]uint32{0x3f800000}, []uint32{0x3f800100}))
	require.Empty(t, wrong.Differs([]uint32{0x3f800000}, []uint32{0x3f800001}))
	// Any NaN is as good as another, of either width; nothing else is.
	numbers := conformance.Case{Group: 3, Singles: 1}
	require.Empty(t, numbers.Differs([]uint32{0x7fffffff, 5, 0xfff80000}, []uint32{0xffc12345, 0, 0x7ff80001}))
	for _, got := range [][]uint32{{0x7f800000, 5, 0xfff80000}, {0x7fffffff, 0, 0x7ff00000}, {0x7fffffff, 5, 0x3ff00000}} {
		require.NotEmpty(t, numbers.Differs(got, []uint32{0xffc12345, 0, 0x7ff80001}), "%x", got)
	}
	require.NotEmpty(t, conformance.Case{}.Differs([]uint32{0x7fffffff}, []uint32{0xffc12345}), "where bits are what is asked for")
}

// Nothing of gpu.h is left out: what has an instruction of its own is used by some case.
func TestConformanceHasEveryPrimitive(t *testing.T) {
	header, err := os.ReadFile(filepath.Join("kernels", "gpu.h"))
	require.NoError(t, err)
	var cases strings.Builder
	for _, name := range []string{"conform.cu", "conform_sm90.cu", "../../kernels/tiles.h"} {
		text, err := os.ReadFile(filepath.Join("internal", "conformance", name))
		require.NoError(t, err)
		cases.Write(text)
	}
	of := 0
	function := regexp.MustCompile(`(?m)^(?:template <[^>]*> )?DEVFN [\w ]+?[ *](\w+)\([^)]*\) \{`)
	for _, m := range function.FindAllStringSubmatch(string(header), -1) {
		of++
		if m[1] == "bits_as" || m[1] == "fail" || m[1] == "live_of" || m[1] == "rows_of" || m[1] == "faulty" || m[1] == "each" { // of others
			continue
		}
		name := strings.TrimSuffix(m[1], "_bits")
		require.True(t, strings.Contains(cases.String(), name), "no case runs %s", m[1])
	}
	require.Greater(t, of, 30)
	script, err := os.ReadFile(filepath.Join("..", "scripts", "first_contact.sh"))
	require.NoError(t, err)
	for _, c := range conformance.Cases {
		require.Regexp(t, `in [^\n]*\b`+strings.TrimPrefix(c.Name, "conform_")+`[ ;]`, string(script), "no step of a GPU's first minutes")
	}
	for _, k := range conformance.Kernels() {
		require.True(t, regexp.MustCompile(`\b`+k+`\b`).MatchString(cases.String()), k)
	}
}

// The hardware does what the emulator does, instruction by instruction. A case can run in a process of its own, as one that hangs or
// fails loses the context.
func TestGPUConformance(t *testing.T) {
	needGPU(t)
	d, err := describe(0)
	require.NoError(t, err)
	recorded, err := conformance.Recorded()
	require.NoError(t, err)
	for _, c := range conformance.Cases {
		t.Run(c.Name, func(t *testing.T) {
			if c.Hopper && d.Kernels != "sm90a" {
				t.Skip("for compute capability 9.0")
			}
			got := conform(t, c)
			require.Empty(t, c.Differs(got, recorded[c.Name]))
			(&seen{worst: c.Worst(got, recorded[c.Name])}).tell(t)
		})
	}
}
