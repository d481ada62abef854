//go:build linux && (amd64 || arm64) && !nocuda && !gpuonly

package cuda

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/goprm/goprm/cuda/internal/conformance"
	"github.com/goprm/goprm/cuda/internal/emulator"
	"github.com/stretchr/testify/require"
)

// firstContact runs scripts/first_contact.sh check on the stand-in driver, with something planted, and returns its lines and its report.
// This program is the one with the tests.
func firstContact(t *testing.T, steps string, planted ...string) (lines, report string) {
	for _, tool := range []string{"bash", "timeout", "awk"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("scripts/first_contact.sh needs %s, which is not installed", tool)
		}
	}
	emulator.Use(t)
	library, err := emulator.Library()
	require.NoError(t, err)
	out := t.TempDir()
	command := exec.Command("bash", filepath.Join("..", "scripts", "first_contact.sh"), "check")
	command.Env = append(os.Environ(), append(planted, "GPU="+os.Args[0], "OUT="+out, "STEPS="+steps, "GOPRM_GPU=stand-in",
		"GOPRM_CUDA_DRIVER="+library, "GOPRM_EMU_CAPABILITY=90")...)
	text, err := command.CombinedOutput()
	var status *exec.ExitError
	require.ErrorAs(t, err, &status, string(text))
	require.Equal(t, 1, status.ExitCode(), string(text))
	files, err := filepath.Glob(filepath.Join(out, "*-emulated-sm-90.md"))
	require.NoError(t, err)
	require.Len(t, files, 1, string(text))
	table, err := os.ReadFile(files[0])
	require.NoError(t, err)
	return string(text), string(table)
}

// The script has a step for each primitive and each PTX file.
func TestFirstContactIsWhole(t *testing.T) {
	script, err := os.ReadFile(filepath.Join("..", "scripts", "first_contact.sh"))
	require.NoError(t, err)
	var steps, want []string
	for _, list := range regexp.MustCompile(`for name in ([a-z0-9_ ]+); do`).FindAllStringSubmatch(string(script), -1) {
		steps = append(steps, strings.Fields(list[1])...)
	}
	for _, c := range conformance.Cases {
		want = append(want, strings.TrimPrefix(c.Name, "conform_"))
	}
	files, err := ptx.ReadDir("ptx")
	require.NoError(t, err)
	for _, f := range files {
		want = append(want, strings.TrimSuffix(f.Name(), ".ptx"))
	}
	require.ElementsMatch(t, want, steps)
	var patterns []string
	for _, p := range regexp.MustCompile(`'\^TestGPUShapes\$/(.*)\$'`).FindAllStringSubmatch(string(script), -1) {
		patterns = append(patterns, strings.ReplaceAll(p[1], "$/^", "/")+"(/|$)")
	}
	for _, s := range shapes {
		require.Regexp(t, strings.Join(patterns, "|"), s.name)
	}
	for _, l := range layerShapes {
		require.Regexp(t, strings.Join(patterns, "|"), l.name)
	}
}

// A kernel that hangs, and Hopper's blocks that take a wrong second tile, cost their own steps and are named; the device has as many
// multiprocessors as an H100, so that no block of a small product would have a second tile by itself.
func TestEmulatedFirstContact(t *testing.T) {
	lines, report := firstContact(t, `^primitive/(convert|copy|mma)$|^ptx/(rows|gemm_sm90)$|^trial$|^op/sm80/gradients$`,
		"GOPRM_EMU_HANG=conform_copy", "GOPRM_EMU_FIRST_TILE=1", "GOPRM_EMU_SMS=132")
	for _, want := range []string{`ok +\d+s  device`, `ok +\d+s  primitive/convert +0 `, `HANG +\d+s  primitive/copy .*after 3s: the GPU does not answer`,
		`ok +\d+s  primitive/mma `, `ok +\d+s  ptx/rows`, `ok +\d+s  ptx/gemm_sm90`, `FAIL +\d+s  trial .*linear_add > \(150, 264\): element \d+ is`,
		`ok +\d+s  op/sm80/gradients`} {
		require.Regexp(t, `(?m)^`+want, lines)
	}
	require.Regexp(t, `^# emulated sm_90: compute capability 9.0, 132 multiprocessors, .*\n\n## first_contact.sh check\n`, report)
	require.Regexp(t, `(?m)^\| primitive/copy \| HANG \| \d+ \|  \| .*the GPU does not answer`, report)
	require.Regexp(t, `(?m)^\| op/sm80/gradients \| ok \|`, report)
}

// A PTX file that the driver refuses costs what needs it, and is named with what the driver's assembler said.
func TestEmulatedFirstContactRefused(t *testing.T) {
	if testing.Short() {
		t.Skip("short: seconds of the emulator")
	}
	lines, _ := firstContact(t, `^ptx/(rows|gemm_sm90)$|^trial$|^op/sm80/gradients$`, "GOPRM_EMU_REFUSE=gemm_nt_hopper_256")
	for _, want := range []string{`ok +\d+s  ptx/rows`, `FAIL +\d+s  ptx/gemm_sm90 .*INVALID_PTX \(218\): ptxas application ptx input, line 77; .*'planted'`,
		`SKIP +0s  all of sm90a +ptx/gemm_sm90 was refused`, `ok +\d+s  op/sm80/gradients`} {
		require.Regexp(t, `(?m)^`+want, lines)
	}
	require.NotContains(t, lines, "trial")
}
