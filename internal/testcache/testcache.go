// Package testcache keeps tests out of the user's cache.
package testcache

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Main runs the tests with an empty cache of their own, which goes when they end; Go's build cache stays. It returns the exit status.
func Main(m *testing.M) int {
	dir, err := os.MkdirTemp("", "goprm-cache-")
	if err == nil {
		defer func() { _ = os.RemoveAll(dir) }()
		err = use(dir)
	}
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "a cache for tests:", err)
		return 1
	}
	return m.Run()
}

func use(dir string) error {
	if os.Getenv("GOCACHE") == "" {
		if built, err := exec.Command("go", "env", "GOCACHE").Output(); err == nil { // else no test builds anything
			if err := os.Setenv("GOCACHE", strings.TrimSpace(string(built))); err != nil {
				return err
			}
		}
	}
	return os.Setenv("XDG_CACHE_HOME", dir)
}
