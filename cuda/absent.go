//go:build !linux || !(amd64 || arm64) || nocuda

package cuda

import (
	"errors"

	"github.com/goprm/goprm/internal/engine"
)

var errAbsent = errors.New("this program was built without CUDA: it needs linux on amd64 or arm64, and no tag nocuda")

func init() {
	engine.Register("cuda", func(int, engine.Options) (engine.Backend, error) { return nil, errAbsent })
}

// Devices lists the GPUs of this machine.
func Devices() (Report, error) { return Report{}, errAbsent }
