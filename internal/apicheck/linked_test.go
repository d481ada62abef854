package apicheck

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A program links what it uses: figures are the command's alone, and who only scores or trains by nn has no server in it.
func TestWhatProgramsLink(t *testing.T) {
	figures := []string{"gonum.org/v1/plot", "golang.org/x/image", "github.com/golang/freetype", "git.sr.ht/~sbinet/gg",
		"github.com/goprm/goprm/internal/report/figures"}
	server := []string{"github.com/goprm/goprm/internal/serve", "github.com/prometheus/client_golang/prometheus"}
	command := []string{"github.com/alecthomas/kong", "github.com/schollz/progressbar/v3"}
	for path, without := range map[string][]string{
		"github.com/goprm/goprm/prm":  slices.Concat(figures, command[:1]),
		"github.com/goprm/goprm/nn":   slices.Concat(figures, command, server, []string{"go.etcd.io/bbolt"}),
		"github.com/goprm/goprm/data": slices.Concat(figures, command, server, []string{"gorgonia.org/gorgonia", "go.etcd.io/bbolt"}),
	} {
		out, err := exec.Command("go", "list", "-deps", path).Output()
		require.NoError(t, err)
		linked := strings.Fields(string(out))
		for _, other := range without {
			require.NotContains(t, linked, other, "%s", path)
		}
	}
}
