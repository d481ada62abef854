package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSite(t *testing.T) {
	docs, out := t.TempDir(), t.TempDir()
	for name, text := range map[string]string{
		"quickstart.md": "# Quick start\n\n[a](formats.md#score-files) [b](../examples/run.yaml) [c](https://go.dev/) " +
			"<script>x</script>\n\n|a|b|\n|-|-|\n|1|2|\n",
		"formats.md": "# Formats\n\n## `Score` files\n\n## Score files\n",
	} {
		if err := os.WriteFile(filepath.Join(docs, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := build(docs, out, "https://h/blob"); err != nil {
		t.Fatal(err)
	}
	for name, wants := range map[string][]string{
		"index.html": {`href="formats.html#score-files"`, `href="https://h/blob/examples/run.yaml"`, `href="https://go.dev/"`, "<td>1</td>",
			`<a href="quickstart.html" aria-current="page">Quick start</a>`, "raw HTML omitted"},
		"formats.html": {`id="score-files"`, `id="score-files-1"`, "<title>Formats – goprm</title>"},
	} {
		text, err := os.ReadFile(filepath.Join(out, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range wants {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s lacks %s:\n%s", name, want, text)
			}
		}
	}
}
