package apicheck

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/goprm/goprm/internal/tinymodel"
	_ "github.com/goprm/goprm/prm" // what README's program is built of: a change of it runs the test again
	"github.com/stretchr/testify/require"
)

var goBlock = regexp.MustCompile("(?ms)^```go\n(.*?)^```$")

// fragmentsBegin is what stands before README's fragments, which are built, not run.
const fragmentsBegin = `package main

import (
	"context"
	"fmt"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/nn"
	"github.com/goprm/goprm/prm"
)

// What the fragments take as given.
var (
	head    func(e *nn.Expr) error
	batches []nn.Batch
)
`

// README's program is built in a module of its own, as a reader would, and run on a tiny model under the name that it gives.
func TestREADME(t *testing.T) {
	dependOnSources(t)
	readme, err := os.ReadFile(filepath.Join(module.Dir, "README.md"))
	require.NoError(t, err)
	program, fragments := "", fragmentsBegin
	for i, block := range goBlock.FindAllStringSubmatch(string(readme), -1) {
		if code := block[1]; strings.HasPrefix(code, "package main\n") {
			require.Empty(t, program, "README has another program, which nobody runs")
			program = code
		} else {
			fragments += fmt.Sprintf("\nfunc fragment%d(ctx context.Context) {\n%s}\n", i, code)
		}
	}
	dir, err := filepath.Abs(module.Dir)
	require.NoError(t, err)
	home := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(home, name), []byte(text), 0o666))
	}
	write("main.go", program)
	write("fragments.go", fragments)
	gomod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	require.NoError(t, err)
	// What go mod tidy would find is what the module itself requires, so that nothing is looked for on the network.
	requires := strings.Replace(string(gomod), "module "+module.Path, "module example", 1)
	requires = regexp.MustCompile(`(?ms)^tool \(.*?^\)$`).ReplaceAllString(requires, "")
	write("go.mod", requires+"\nrequire "+module.Path+" v0.0.0\n\nreplace "+module.Path+" => "+dir+"\n")
	sums, err := os.ReadFile(filepath.Join(dir, "go.sum"))
	require.NoError(t, err)
	write("go.sum", string(sums))
	require.NoError(t, tinymodel.Write(filepath.Join(home, "Qwen2.5-1.5B-Instruct"), tinymodel.Options{}))

	run := func(name string, arguments ...string) string {
		command := exec.Command(name, arguments...)
		command.Dir, command.Env = home, append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "GOWORK=off")
		var complaints strings.Builder
		command.Stderr = &complaints
		out, err := command.Output()
		require.NoError(t, err, complaints.String())
		return string(out)
	}
	run("go", "build", "-o", "program", ".")
	out := run(filepath.Join(home, "program"))
	require.Regexp(t, `^response 0\.\d{3}\nresponse 0\.\d{3}\nreward   \d\.\d{3}\n$`, out)
	require.FileExists(t, filepath.Join(home, "runs", "one", "model", "goprm.json"))
}
