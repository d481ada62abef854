package apicheck

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// The quick starts run as they are printed. Nothing is looked up on the network: -mod=mod takes the place of go mod tidy.
func TestFirstHour(t *testing.T) {
	dependOnSources(t)
	for _, tool := range []string{"bash", "curl", "awk", "sed"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed: the quick starts are not run", tool)
		}
	}
	command := exec.Command("bash", filepath.Join("scripts", "first_hour.sh"), ".")
	command.Dir = module.Dir
	command.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "GOWORK=off", "TIDY=true")
	out, err := command.CombinedOutput()
	require.NoError(t, err, string(out))
	require.Regexp(t, `docs/quickstart.md: \d+ lines ran\ndocs/quickstart-go.md: best: 9 \+ 7 = 1\d\. `, string(out))
	// The script fails where a block does.
	broken := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(broken, "quickstart.md"), []byte("```sh\nprm inspect /nowhere\n```\n"), 0o666))
	command = exec.Command("bash", filepath.Join("scripts", "first_hour.sh"), ".")
	command.Dir, command.Env = module.Dir, append(os.Environ(), "DOCS="+broken)
	out, err = command.CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "/nowhere: no such file or folder")
}
