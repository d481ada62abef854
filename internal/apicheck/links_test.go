package apicheck

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	anyLink     = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading     = regexp.MustCompile(`(?m)^#{1,6} +(.+?) *$`)
	fenced      = regexp.MustCompile("(?ms)^(```|~~~).*?^(```|~~~) *$")
	inlineCode  = regexp.MustCompile("`[^`\n]*`")
	linkText    = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
	punctuation = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
)

// markdownFiles lists the repository's pages.
func markdownFiles(t *testing.T) []string {
	var list []string
	require.NoError(t, filepath.WalkDir(module.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := d.Name(); d.IsDir() && path != module.Dir && (name == "runs" || name == "bin" || name == "testdata" || name == ".git") {
			return fs.SkipDir
		}
		if strings.HasSuffix(path, ".md") {
			list = append(list, path)
		}
		return nil
	}))
	return list
}

// anchors are the ids that GitHub gives a page's headings.
func anchors(text string) map[string]bool {
	ids := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
		title := linkText.ReplaceAllString(m[1], "$1")
		id := strings.ReplaceAll(punctuation.ReplaceAllString(strings.ToLower(title), ""), " ", "-")
		for n := 1; ids[id]; n++ {
			id = strings.TrimSuffix(id, "-"+strconv.Itoa(n-1)) + "-" + strconv.Itoa(n)
		}
		ids[id] = true
	}
	return ids
}

// brokenLinks are the relative links of a page that lead nowhere.
func brokenLinks(page string) ([]string, error) {
	source, err := os.ReadFile(page)
	if err != nil {
		return nil, err
	}
	var broken []string
	text := inlineCode.ReplaceAllString(fenced.ReplaceAllString(string(source), ""), "")
	for _, m := range anyLink.FindAllStringSubmatch(text, -1) {
		if strings.Contains(m[1], ":") {
			continue // the web
		}
		file, anchor, _ := strings.Cut(m[1], "#")
		to := page
		if file != "" {
			to = filepath.Join(filepath.Dir(page), file)
		}
		if _, err := os.Stat(to); err != nil {
			broken = append(broken, m[1])
			continue
		}
		if anchor == "" {
			continue
		}
		target, err := os.ReadFile(to)
		if err != nil || !anchors(string(target))[anchor] {
			broken = append(broken, m[1])
		}
	}
	return broken, nil
}

func TestLinksLeadSomewhere(t *testing.T) {
	pages := markdownFiles(t)
	require.Greater(t, len(pages), 15)
	for _, page := range pages {
		broken, err := brokenLinks(page)
		require.NoError(t, err)
		require.Empty(t, broken, page)
	}
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o666))
		return path
	}
	write("b.md", "# One `two`: three\n## Same\n## Same\n```\n# not a heading\n```\n")
	page := write("a.md", "[a](b.md#one-two-three) [b](b.md#same-1) [c](#here) [d](https://x/y)\n# Here\n`[code](nowhere.md)`\n"+
		"[e](b.md#not-a-heading) [f](nowhere.md) [g](#there)\n")
	broken, err := brokenLinks(page)
	require.NoError(t, err)
	require.Equal(t, []string{"b.md#not-a-heading", "nowhere.md", "#there"}, broken)
}

// A message that docs/troubleshooting.md explains is one that the program can print.
func TestTroubleshootingQuotesMessages(t *testing.T) {
	sources := strings.NewReplacer(`\"`, "", `"`, "").Replace(goSources(t, false))
	row := regexp.MustCompile("(?m)^\\| (`.*?`) \\| ")
	varying := regexp.MustCompile(`…|\d+(\.\d+)?|\bcuda:0\b|learning_rate|optim\.lr`)
	rows := row.FindAllStringSubmatch(document(t, "docs/troubleshooting.md"), -1)
	require.Greater(t, len(rows), 15)
	for _, m := range rows {
		for _, message := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(m[1], -1) {
			found := false
			for _, part := range varying.Split(message[1], -1) {
				part = strings.Trim(strings.ReplaceAll(part, `"`, ""), " ,:;[]()–")
				if len(part) < 8 {
					continue
				}
				found = true
				if !strings.Contains(sources, part) {
					t.Errorf("docs/troubleshooting.md: no message holds %q, of %q", part, message[1])
				}
			}
			require.True(t, found, message[1])
		}
	}
}
