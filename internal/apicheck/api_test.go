package apicheck

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var module = Tree{Dir: "../..", Path: "github.com/goprm/goprm"}

// folders are those whose packages are public.
var folders = []string{"prm", "nn", "loss", "data", "cuda"}

// No exported name of a public package reaches a type that is declared under internal/, and what they export is what
// api.txt says. After a change that is meant: GOPRM_UPDATE_API=1 go test ./internal/apicheck
func TestAPI(t *testing.T) {
	dependOnSources(t)
	var patterns []string
	for _, f := range folders {
		patterns = append(patterns, "./"+f+"/...")
	}
	packages, err := module.Load(patterns...)
	require.NoError(t, err)
	require.Greater(t, len(packages), 10)
	api := module.Describe(packages)
	now := strings.Join(api.Lines, "\n") + "\n"
	if os.Getenv("GOPRM_UPDATE_API") != "" {
		require.NoError(t, os.WriteFile("api.txt", []byte(now), 0o666))
	}
	golden, err := os.ReadFile("api.txt")
	require.NoError(t, err)
	for _, d := range differences(string(golden), now) {
		t.Errorf("api.txt: %s", d)
	}
	for _, leak := range api.Leaks {
		t.Errorf("no program outside the module can name it: %s", leak)
	}
}

// dependOnSources makes the go command run the test again when a source file of a public package has changed: it
// remembers which files a test looked at, but not those that a command which the test started did.
func dependOnSources(t *testing.T) {
	t.Helper()
	for _, folder := range append([]string{"internal"}, folders...) {
		require.NoError(t, filepath.WalkDir(filepath.Join(module.Dir, folder), func(path string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() && filepath.Ext(path) == ".go" {
				_, err = os.Stat(path)
			}
			return err
		}))
	}
}

// differences lists the lines that only one of two sorted texts has.
func differences(before, after string) []string {
	count := map[string]int{}
	for line := range strings.Lines(before) {
		count[line]--
	}
	for line := range strings.Lines(after) {
		count[line]++
	}
	var list []string
	for text, marker := range map[string]string{before: "gone: ", after: "new: "} {
		for line := range strings.Lines(text) {
			if count[line] != 0 {
				list = append(list, marker+strings.TrimSuffix(line, "\n"))
			}
		}
	}
	return list
}

// The walk finds a leak of each kind, names nothing that does not leak, and describes what it finds.
func TestDescribe(t *testing.T) {
	leaky := Tree{Dir: "testdata/leaky", Path: module.Path + "/internal/apicheck/testdata/leaky"}
	packages, err := leaky.Load(".", "./internal/...")
	require.NoError(t, err)
	require.Len(t, packages, 1, "the internal package is not described")
	api := leaky.Describe(packages)
	want, err := os.ReadFile("testdata/leaky/api.txt")
	require.NoError(t, err)
	require.Equal(t, string(want), strings.Join(api.Lines, "\n")+"\n\n"+strings.Join(api.Leaks, "\n")+"\n")
}
