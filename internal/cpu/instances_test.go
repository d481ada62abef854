//go:build linux && amd64 && !noasm

package cpu

import (
	"testing"

	"github.com/goprm/goprm/internal/compliance"
)

// TestInstances holds every instance of the assembly that this machine runs to the compliance suite.
func TestInstances(t *testing.T) {
	for _, k := range instances() {
		t.Run(k.name, func(t *testing.T) {
			need(t, k.name)
			compliance.Run(t, openWith(t, k.name), compliance.Options{BF16: k.narrow != nil, Int8: true})
		})
	}
}

// need skips a test of kernels that this machine does not run.
func need(t testing.TB, names ...string) {
	for _, k := range instances() {
		for _, name := range names {
			if k.name == name && !k.runs() {
				t.Skipf("this processor does not run %s: it has not %s", name, k.needs)
			}
		}
	}
}
