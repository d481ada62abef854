package apicheck

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A program links what it uses: figures are the command's alone, and who trains and scores has no server, no parquet and no S3 client in
// it.
func TestWhatProgramsLink(t *testing.T) {
	figures := []string{"gonum.org/v1/plot", "golang.org/x/image/font", "github.com/golang/freetype/raster", "git.sr.ht/~sbinet/gg",
		"github.com/goprm/goprm/internal/report/figures"}
	server := []string{"github.com/goprm/goprm/internal/serve", "github.com/prometheus/client_golang/prometheus"}
	parquet := []string{"github.com/goprm/goprm/internal/parquetfile", "github.com/parquet-go/parquet-go", "github.com/andybalholm/brotli"}
	s3 := []string{"github.com/goprm/goprm/internal/s3store", "github.com/minio/minio-go/v7"}
	command := []string{"github.com/alecthomas/kong", "github.com/schollz/progressbar/v3"}
	for path, without := range map[string][]string{
		"github.com/goprm/goprm/prm": slices.Concat(figures, server, parquet, s3, command[:1]),
		"github.com/goprm/goprm/nn":  slices.Concat(figures, command, server, parquet, s3, []string{"go.etcd.io/bbolt"}),
		"github.com/goprm/goprm/data": slices.Concat(figures, command, server, parquet, s3, []string{"gorgonia.org/gorgonia",
			"go.etcd.io/bbolt"}),
	} {
		linked := dependencies(t, path)
		for _, other := range without {
			require.False(t, slices.Contains(linked, other), "%s links %s", path, other)
		}
	}
	for path, with := range map[string][]string{ // else the names above are no longer those of what is looked for
		"github.com/goprm/goprm/cmd/prm":      slices.Concat(figures, server, parquet, s3, command),
		"github.com/goprm/goprm/prm/server":   server,
		"github.com/goprm/goprm/data/parquet": parquet,
		"github.com/goprm/goprm/data/s3":      s3,
	} {
		linked := dependencies(t, path)
		for _, name := range with {
			require.True(t, slices.Contains(linked, name), "%s does not link %s", path, name)
		}
	}
}

func dependencies(t *testing.T, path string) []string {
	t.Helper()
	out, err := exec.Command("go", "list", "-deps", path).Output()
	require.NoError(t, err)
	return strings.Fields(string(out))
}
