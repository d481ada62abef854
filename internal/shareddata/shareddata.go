// Package shareddata finds the development data that tests compare with and that the project itself does not hold.
package shareddata

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// Dir returns the folder of shared development data: $GOPRM_SHARED, or "shared" beside the repository.
// The test is skipped with one line when neither exists.
func Dir(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("GOPRM_SHARED")
	if dir == "" {
		_, here, _, _ := runtime.Caller(0)
		dir = filepath.Join(filepath.Dir(here), "..", "..", "..", "shared")
	}
	if _, err := os.Stat(filepath.Join(dir, "data")); err != nil {
		t.Skip("shared development data not found: set GOPRM_SHARED or put it at ../shared")
	}
	return dir
}
