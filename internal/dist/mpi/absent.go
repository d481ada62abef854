//go:build !linux || !(amd64 || arm64) || nocuda

package mpi

import (
	"context"
	"fmt"

	"github.com/goprm/goprm/internal/dist"
)

func init() {
	dist.Register("MPI", func(context.Context, dist.Launch) (dist.Engine, error) {
		return nil, fmt.Errorf("%w: this program was built without MPI: it needs linux on amd64 or arm64, and no tag nocuda", dist.ErrNotHere)
	})
}

// Library says that there is no MPI library in this program.
func Library(dist.Launch) (string, error) {
	return "", fmt.Errorf("%w: this program was built without MPI", dist.ErrNotHere)
}
