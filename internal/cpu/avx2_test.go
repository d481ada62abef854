//go:build linux && amd64 && !noasm

package cpu

import (
	"testing"

	"github.com/goprm/goprm/internal/compliance"
)

func TestAVX2Compliance(t *testing.T) {
	needAVX2(t)
	compliance.Run(t, openWith(t, "avx2"), compliance.Options{})
}
