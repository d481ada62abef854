//go:build linux && (amd64 || arm64) && !nocuda

package cuda

import (
	"fmt"

	"github.com/goprm/goprm/cuda/internal/driver"
	"github.com/goprm/goprm/internal/engine"
)

func (b *builder) tensorProduct(l layout, bias any) ([]step, error) {
	return nil, fmt.Errorf("bf16")
}
func (a *attentionCall) tensorForward() ([]step, error) { return nil, fmt.Errorf("bf16") }
func (a *attentionCall) tensorBackward(packed, dout *engine.Tensor, dk, dv part, delta driver.Ptr) ([]step, error) {
	return nil, fmt.Errorf("bf16")
}
