package main

import (
	"context"
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
	require.Contains(t, problems, "is none of")
}

// programmable calls the function of a bash completion as the shell does.
func programmable(script string, words []string) string {
	quoted := "'" + strings.Join(words, "' '") + "'"
	return script + "\nCOMP_WORDS=(" + quoted + ")\nCOMP_CWORD=$((${#COMP_WORDS[@]}-1))\nCOMPREPLY=()\n_prm\necho \"${COMPREPLY[@]}\"\n"
}

// Other programs' spellings of help and version work, and errors name the command as it was written.
func TestSpellings(t *testing.T) {
	_, version, _ := prmCommand("version")
	for _, flag := range []string{"--version", "-V", "-v"} {
		code, out, _ := prmCommand(flag)
		require.Zero(t, code)
		require.Equal(t, version, out)
	}
	_, help, _ := prmCommand("train", "--help")
	code, out, _ := prmCommand("help", "train")
	require.Zero(t, code)
	require.Equal(t, help, out)
	code, out, _ = prmCommand("help")
	require.Zero(t, code)
	require.Contains(t, out, "Usage: prm <command>")
	for group, want := range map[string][]string{
		"select": {"--top=INT", "--shard", "Example:", "select merge"}, "eval": {"--bench=STRING", "--shard", "Example:", "eval merge"},
		"score": {"[<paths> ...]", "--shard", "Example:", "score merge"}, "label": {"--config=STRING", "--shard", "Example:", "label merge"},
	} {
		_, out, _ := prmCommand(group, "--help")
		for _, part := range want {
			require.Contains(t, out, part, "the help of prm %s is that of what it runs", group)
		}
	}
	for line, want := range map[string]string{
		"label --plan": "prm label: missing flags: --config, --in or --check; see prm label --help",
		"label status": "prm label status: the argument <dir> is missing; see", "label merge": "prm label merge: missing flags: --out; see",
		"score --model":        "prm score: --model: a value is missing; see",
		"score --model --in x": "prm score: --model: a value is missing before --in; see",
		"serve --port 99999":   `prm serve: --port: "99999" is no whole number from 0 to 65535; see`,
		"train --steps 1.5":    `prm train: --steps: "1.5" is no whole number; see`, "score --alpha x": `prm score: --alpha: "x" is no number; see`,
		"serve --timeout 5":    `prm serve: --timeout: "5" is no duration such as 30s; see`,
		"export --to x m":      "prm export: missing flags: --out; see",
		"bestofn --shard 0/2":  "prm bestofn: unknown flag --shard; see",
		"-x":                   "prm: unknown flag -x; see",
		"train --max_steps 5":  "prm train: unknown flag --max_steps: here it is optim.steps (in the configuration, or behind --set); see",
		"train --zero-stage 2": "prm train: unknown flag --zero-stage: here it is dist.zero (in the configuration, or behind --set); see",
	} {
		code, _, problems := prmCommand(strings.Fields(line)...)
		require.Equal(t, 2, code)
		require.True(t, strings.HasPrefix(problems, want), problems)
	}
}

// The reader of prm --help | head has seen enough.
func TestHelpIntoAClosedPipe(t *testing.T) {
	var problems strings.Builder
	require.Zero(t, run(context.Background(), []string{"train", "--help"}, strings.NewReader(""), closedPipe{}, &problems))
	require.Empty(t, problems.String())
}
