//go:build linux && (amd64 || arm64) && !nocuda

package cuda

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// flagsOf reads how scripts/ptx.sh compiles a kernel file: the same line that the key in the PTX covers.
func flagsOf(t *testing.T, source string) string {
	script, err := os.ReadFile("../scripts/ptx.sh")
	require.NoError(t, err)
	flags := regexp.MustCompile(`(?m)^flags="(.*)"$`).FindSubmatch(script)
	require.NotNil(t, flags)
	arch, version := "sm_80", "70"
	if strings.HasSuffix(source, "_sm90.cu") {
		arch, version = "sm_90a", "80"
	}
	return fmt.Sprintf("%s %s %s\n", flags[1], arch, version)
}

// sourcesOf lists the kernels' files, and those that hold hardware to the emulator.
func sourcesOf(t *testing.T) []string {
	sources, err := filepath.Glob("kernels/*.cu")
	require.NoError(t, err)
	more, err := filepath.Glob("internal/conformance/*.cu")
	require.NoError(t, err)
	require.NotEmpty(t, more)
	return append(sources, more...)
}

// made reads the PTX of a source: its first line, and the rest.
func made(t *testing.T, source string) (key, text string) {
	path := strings.Replace(strings.TrimSuffix(source, ".cu")+".ptx", "kernels/", "ptx/", 1)
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	key, text, _ = strings.Cut(string(raw), "\n")
	return key, text
}

// The PTX must have been made from the sources as they are. This needs no compiler: its first line is their hash.
func TestPTXIsFresh(t *testing.T) {
	sources := sourcesOf(t)
	headers, err := filepath.Glob("kernels/*.h")
	require.NoError(t, err)
	files, err := ptx.ReadDir("ptx")
	require.NoError(t, err)
	require.Len(t, files, len(slices.DeleteFunc(slices.Clone(sources), func(s string) bool { return !strings.HasPrefix(s, "kernels/") })),
		"a PTX file for each kernel file")
	for _, source := range sources {
		key := sha256.New()
		_, _ = fmt.Fprint(key, flagsOf(t, source))
		for _, path := range append(headers[:len(headers):len(headers)], source) {
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			_, _ = fmt.Fprintf(key, "%s %d\n%s", filepath.Base(path), len(text), text)
		}
		line, _ := made(t, source)
		require.Equal(t, fmt.Sprintf("// key %x", key.Sum(nil)[:16]), line, "the PTX of %s is stale: run scripts/ptx.sh (make ptx)", source)
	}
}

// Where the compiler is, its output must be what is committed, byte for byte: nobody has edited it by hand.
func TestPTXIsWhatClangMakes(t *testing.T) {
	clang, err := exec.LookPath("clang-19")
	if err != nil {
		t.Skip("clang-19 is not installed")
	}
	sources := sourcesOf(t)
	if testing.Short() {
		sources = sources[:1]
	}
	for _, source := range sources {
		fields := strings.Fields(flagsOf(t, source))
		n := len(fields)
		command := exec.Command(clang, append(fields[:n-2:n-2], "--cuda-gpu-arch="+fields[n-2], "--cuda-feature=+ptx"+
			fields[n-1], "-I.", "-o", "-", strings.Replace("../"+source, "../kernels/", "", 1))...)
		command.Dir = "kernels"
		out, err := command.Output()
		require.NoError(t, err)
		_, committed := made(t, source)
		text := strings.ReplaceAll(string(out), "\n.maxclusterrank 2", "\n.explicitcluster\n.reqnctapercluster 2, 1, 1") // as scripts/ptx.sh does
		require.True(t, committed == text, "%s differs from what clang-19 makes", source)
	}
}

// entryParams are the sizes of each kernel's parameters and its threads, as the PTX declares them.
type entryParams struct {
	sizes   []int
	threads int
}

func readEntries(t *testing.T) map[string]entryParams {
	entries := map[string]entryParams{}
	files, err := ptx.ReadDir("ptx")
	require.NoError(t, err)
	entry := regexp.MustCompile(`(?s)\.visible \.entry (\w+)\((.*?)\)\s*\.maxntid (\d+)`)
	param := regexp.MustCompile(`\.param (?:\.align \d+ )?\.(\w+) \w+(?:\[(\d+)\])?`)
	width := map[string]int{"u64": 8, "b64": 8, "f64": 8, "u32": 4, "b32": 4, "f32": 4, "b8": 1}
	for _, f := range files {
		text, err := ptx.ReadFile("ptx/" + f.Name())
		require.NoError(t, err)
		for _, m := range entry.FindAllStringSubmatch(string(text), -1) {
			var e entryParams
			for _, p := range param.FindAllStringSubmatch(m[2], -1) {
				require.NotZero(t, width[p[1]], p[0])
				n := 1
				if p[2] != "" {
					n, err = strconv.Atoi(p[2])
					require.NoError(t, err)
				}
				e.sizes = append(e.sizes, n*width[p[1]])
			}
			e.threads, err = strconv.Atoi(m[3])
			require.NoError(t, err)
			entries[m[1]] = e
		}
	}
	return entries
}

// A wrong list of parameters would be read as other numbers. Every kernel that a call launches is compared with the PTX,
// and every kernel in the PTX must have been launched by some call.
func checkLaunches(t *testing.T, launched map[string]*kernel) {
	entries := readEntries(t)
	for name, k := range launched {
		e, ok := entries[name]
		require.True(t, ok, name)
		require.Equal(t, e.sizes, k.sizes, "%s: parameters", name)
		require.Equal(t, e.threads, k.threads, "%s: threads", name)
	}
	for name := range entries {
		require.Contains(t, launched, name, "no call launches it")
	}
}
