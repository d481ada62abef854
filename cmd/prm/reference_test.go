package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"
)

const referenceHead = `# Commands and flags

Generated from the program's own description of itself; ` + "`prm COMMAND --help`" +
	` prints the same. Flags may stand anywhere, before the command
too. Results go to stdout or to ` + "`--out`" +
	`, progress and warnings to stderr. Exit status: 0 done, 1 failed with one line that says why, 2
wrong usage.
`

// docs/commands.md is current.
func TestCommandReference(t *testing.T) {
	var c commands
	parser, err := newParser(&c, nil, nil, nil)
	require.NoError(t, err)
	var b strings.Builder
	b.WriteString(referenceHead)
	b.WriteString("\n## Flags of every command\n\n")
	writeFlags(&b, parser.Model.Flags)
	for _, c := range completables(parser.Model)[1:] {
		fmt.Fprintf(&b, "\n## prm %s\n\n%s\n", strings.Join(c.path, " "), c.node.Help)
		if c.node.Detail != "" {
			b.WriteString("\n" + indentedToFenced(c.node.Detail) + "\n")
		}
		if len(c.node.Positional) > 0 {
			b.WriteString("\n| argument | |\n|---|---|\n")
			for _, a := range c.node.Positional {
				fmt.Fprintf(&b, "| `%s` | %s |\n", strings.ToUpper(a.Name), cell.Replace(a.Help))
			}
		}
		if len(c.node.Flags) > 0 {
			b.WriteString("\n")
			writeFlags(&b, c.node.Flags)
		}
	}
	path := filepath.Join("..", "..", "docs", "commands.md")
	if os.Getenv("GOPRM_UPDATE_DOCS") != "" {
		require.NoError(t, os.WriteFile(path, []byte(b.String()), 0o666))
	}
	have, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, b.String(), string(have), "docs/commands.md is not current: GOPRM_UPDATE_DOCS=1 go test ./internal/apicheck ./cmd/prm")
}

var cell = strings.NewReplacer("|", `\|`, "<", "&lt;", ">", "&gt;", "\n", " ")

func writeFlags(b *strings.Builder, flags []*kong.Flag) {
	b.WriteString("| flag | default | |\n|---|---|---|\n")
	for _, f := range flags {
		if f.Hidden {
			continue
		}
		value := ""
		if f.HasDefault && f.Default != "" {
			value = fmt.Sprintf("`%s`", strings.ReplaceAll(f.Default, "\n", `\n`))
		}
		fmt.Fprintf(b, "| `--%s` | %s | %s |\n", f.Name, value, cell.Replace(valueHelp(f.Value)))
	}
}

// indentedToFenced turns the examples of a help text, which are indented, into fenced blocks.
func indentedToFenced(text string) string {
	var b strings.Builder
	inside := false
	for line := range strings.Lines(text) {
		indented := strings.HasPrefix(line, "  ")
		if indented != inside {
			b.WriteString("```\n")
			inside = indented
		}
		b.WriteString(strings.TrimPrefix(line, "  "))
	}
	if inside {
		b.WriteString("\n```")
	}
	return b.String()
}
