//go:build linux && (amd64 || arm64) && !nocuda

package cuda

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/goprm/goprm/cuda/internal/conformance"
	"github.com/goprm/goprm/cuda/internal/driver"
	"github.com/goprm/goprm/cuda/internal/emulator"
	"github.com/stretchr/testify/require"
)

// conform runs every case that the device can.
func conform(t *testing.T, hopper bool) map[string][]uint32 {
	require.NoError(t, driver.Load())
	device, err := driver.Device(0)
	require.NoError(t, err)
	context, err := driver.Retain(device)
	require.NoError(t, err)
	require.NoError(t, context.Enter())
	defer context.Leave()
	stream, err := driver.NewStream()
	require.NoError(t, err)
	defer func() { require.NoError(t, stream.Destroy()) }()
	results := map[string][]uint32{}
	for _, c := range conformance.Cases {
		if c.Hopper && !hopper {
			t.Logf("%s: left out, for compute capability 9.0", c.Name)
			continue
		}
		results[c.Name], err = conformance.Run(c, stream)
		require.NoError(t, err, c.Name)
	}
	return results
}

// differences compares with what is recorded.
func differences(t *testing.T, results map[string][]uint32) (found []string) {
	recorded, err := conformance.Recorded()
	require.NoError(t, err)
	for _, c := range conformance.Cases {
		if got, ok := results[c.Name]; ok {
			if d := c.Differs(got, recorded[c.Name]); d != "" {
				found = append(found, d)
			} else {
				t.Logf("%s: %d words as the emulator has them", c.Name, len(got))
			}
		}
	}
	return found
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
		results := conform(t, true)
		require.Len(t, results, len(conformance.Cases))
		if i == 0 && os.Getenv("GOPRM_RECORD") != "" {
			f, err := os.Create(filepath.Join("internal", "conformance", "recorded.gz"))
			require.NoError(t, err)
			require.NoError(t, conformance.Record(f, results))
			require.NoError(t, f.Close())
			t.Skip("recorded: build again")
		}
		require.Empty(t, differences(t, results))
	}
	wrong := conformance.Cases[0]
	require.NotEmpty(t, wrong.Differs([]uint32{1, 2}, []uint32{1, 3}))
	wrong.Near = 1e-6
	require.NotEmpty(t, wrong.Differs([]uint32{0x3f800000}, []uint32{0x3f800100}))
	require.Empty(t, wrong.Differs([]uint32{0x3f800000}, []uint32{0x3f800001}))
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
	for _, k := range conformance.Kernels() {
		require.True(t, regexp.MustCompile(`\b`+k+`\b`).MatchString(cases.String()), k)
	}
}

// The hardware does what the emulator does, instruction by instruction.
func TestGPUConformance(t *testing.T) {
	needGPU(t)
	d, err := describe(0)
	require.NoError(t, err)
	require.Empty(t, differences(t, conform(t, d.Kernels == "sm90a")))
}
