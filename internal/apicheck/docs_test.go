package apicheck

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// document reads one of the repository's Markdown files.
func document(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(module.Dir, name))
	require.NoError(t, err)
	return string(text)
}

// packageRow is a row of a table whose first cell is a package.
var packageRow = regexp.MustCompile("(?m)^\\| `([a-z0-9_./-]+)` \\| ")

func TestArchitectureHasARowForEveryPackage(t *testing.T) {
	dependOnSources(t)
	list := exec.Command("go", "list", "./...")
	list.Dir = module.Dir
	out, err := list.Output()
	require.NoError(t, err)
	var packages, rows []string
	for _, path := range strings.Fields(string(out)) {
		packages = append(packages, strings.TrimPrefix(path, module.Path+"/"))
	}
	for _, row := range packageRow.FindAllStringSubmatch(document(t, "ARCHITECTURE.md"), -1) {
		rows = append(rows, row[1])
	}
	slices.Sort(rows)
	require.Equal(t, packages, rows)
}

var (
	inBackticks = regexp.MustCompile("`([^`\n]+)`")
	fileName    = regexp.MustCompile(`^([A-Za-z0-9_.-]+/)*[A-Za-z0-9_.-]+\.(go|cu|h|s|md|sh|py|json|tsv|txt|yaml)$|^(cmd|` +
		`cuda|data|docs|examples|internal|loss|nn|prm|scripts)(/[A-Za-z0-9_.-]+)+$`)
	testName   = regexp.MustCompile(`^(Test|Fuzz|Benchmark)[A-Z]\w*$`)
	makeTarget = regexp.MustCompile(`^make ([a-z0-9.-]+)`)
)

// goSources are the repository's Go files, its tests or all others, in one text.
func goSources(t *testing.T, tests bool) string {
	var text strings.Builder
	require.NoError(t, filepath.WalkDir(module.Dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".go") && strings.HasSuffix(path, "_test.go") == tests {
			var source []byte
			source, err = os.ReadFile(path)
			text.Write(source)
		}
		return err
	}))
	return text.String()
}

// Files, folders, tests and make targets in the documents exist. A file's name without a folder is not checked: it is a file of a user's,
// or of any folder.
func TestDocumentsNameWhatExists(t *testing.T) {
	makefile, tests := document(t, "Makefile"), goSources(t, true)
	pages, err := filepath.Glob(filepath.Join(module.Dir, "docs", "*.md"))
	require.NoError(t, err)
	require.NotEmpty(t, pages)
	names := []string{"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"}
	for _, page := range pages {
		names = append(names, filepath.Join("docs", filepath.Base(page)))
	}
	for _, name := range names {
		text := document(t, name)
		for _, m := range inBackticks.FindAllStringSubmatch(text, -1) {
			if path := m[1]; fileName.MatchString(path) && strings.Contains(path, "/") && !strings.HasPrefix(path, "../") {
				requireExists(t, name, filepath.Join(module.Dir, path))
			}
			if testName.MatchString(m[1]) && !strings.Contains(tests, "func "+m[1]+"(") {
				t.Errorf("%s names %s, which does not exist", name, m[1])
			}
			if target := makeTarget.FindStringSubmatch(m[1]); target != nil && !strings.Contains(makefile, "\n"+target[1]+":") {
				t.Errorf("%s names make %s, which does not exist", name, target[1])
			}
		}
	}
}

func requireExists(t *testing.T, document, path string) {
	t.Helper()
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s names %s, which does not exist", document, path)
	} else {
		require.NoError(t, err)
	}
}
