package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What a shell offers for a command line, word by word, the last one unfinished.
var completionCases = []struct {
	words []string
	want  string // all of it from bash; zsh and fish choose from what they are given
}{
	{[]string{"prm", "s"}, "score serve select"},
	{[]string{"prm", "train", "--r"}, "--resume"},
	{[]string{"prm", "--quiet", "label", "st"}, "status"},
	{[]string{"prm", "label", "status", "--js"}, "--json"},
	{[]string{"prm", "label", "--plan", "--on-bad", "e"}, "error"},
	{[]string{"prm", "completion", "--th"}, "--threads"},
}

// Each shell sources its script and completes commands, sub-commands, flags and values. Shells that are missing are skipped.
func TestCompletion(t *testing.T) {
	const zsh = "autoload -Uz compinit && compinit -u\n" // as a shell of a user's has it
	for shell, try := range map[string]func(script string, words []string) string{
		"bash": programmable,
		"zsh": func(script string, words []string) string {
			return programmable(zsh+script+"\nemulate sh; setopt nounset", words)
		},
		"fish": func(script string, words []string) string {
			return script + "\ncomplete -C '" + strings.Join(words, " ") + "' | string split -f1 \\t\n"
		},
	} {
		t.Run(shell, func(t *testing.T) {
			path, err := exec.LookPath(shell)
			if err != nil {
				t.Skipf("%s is not installed", shell)
			}
			code, script, problems := prmCommand("completion", shell)
			require.Zero(t, code, problems)
			for _, c := range completionCases {
				file := filepath.Join(t.TempDir(), "try")
				require.NoError(t, os.WriteFile(file, []byte(try(script, c.words)), 0o644))
				command := exec.Command(path, file)
				command.Env = append(os.Environ(), "HOME="+t.TempDir())
				out, err := command.CombinedOutput()
				require.NoError(t, err, string(out))
				got := strings.Fields(string(out))
				require.Subset(t, got, strings.Fields(c.want), "%v", c.words)
				if shell == "bash" {
					require.Equal(t, c.want, strings.Join(got, " "), "%v", c.words)
				}
			}
		})
	}
	code, _, problems := prmCommand("completion", "csh")
	require.Equal(t, 2, code)
	require.Contains(t, problems, "must be one of")
}

// programmable calls the function of a bash completion as the shell does.
func programmable(script string, words []string) string {
	quoted := "'" + strings.Join(words, "' '") + "'"
	return script + "\nCOMP_WORDS=(" + quoted + ")\nCOMP_CWORD=$((${#COMP_WORDS[@]}-1))\nCOMPREPLY=()\n_prm\necho \"${COMPREPLY[@]}\"\n"
}

// Other programs' spellings of help and version work, and errors name the command as it was written.
func TestSpellings(t *testing.T) {
	_, version, _ := prmCommand("version")
	code, out, _ := prmCommand("--version")
	require.Zero(t, code)
	require.Equal(t, version, out)
	_, help, _ := prmCommand("train", "--help")
	code, out, _ = prmCommand("help", "train")
	require.Zero(t, code)
	require.Equal(t, help, out)
	code, out, _ = prmCommand("help")
	require.Zero(t, code)
	require.Contains(t, out, "Usage: prm <command>")
	for line, want := range map[string]string{
		"label --plan": "prm label: missing flags: --config", "label status": "prm label status: expected", "label merge": "prm label merge: ",
	} {
		code, _, problems := prmCommand(strings.Fields(line)...)
		require.Equal(t, 2, code)
		require.True(t, strings.HasPrefix(problems, want), problems)
	}
}
