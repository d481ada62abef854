// Package mpitest finds the MPI launchers by which tests start ranks.
package mpitest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Env says which launchers tests use: installed, those that are here; required, likewise, but at least one; or the path of an mpirun. Tests
// are skipped without it.
const Env = "GOPRM_MPI_TESTS"

// Launchers are the command lines of mpirun programs, each by words that its library's version holds.
func Launchers(t testing.TB) map[string][]string {
	t.Helper()
	wanted := os.Getenv(Env)
	switch {
	case wanted == "":
		t.Skip("make mpi runs it")
	case filepath.IsAbs(wanted):
		return launchers(t, wanted)
	}
	found := Installed(t)
	if len(found) == 0 && wanted == "required" {
		t.Fatal("no mpirun: install openmpi-bin or mpich")
	}
	return found
}

// Installed are Debian's launchers, as far as they are here.
func Installed(t testing.TB) map[string][]string {
	t.Helper()
	return launchers(t, "mpirun.openmpi", "mpirun.mpich")
}

func launchers(t testing.TB, programs ...string) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			continue
		}
		version, err := exec.Command(program, "--version").CombinedOutput()
		switch text := string(version); {
		case err != nil:
			t.Fatalf("%s --version: %v: %s", program, err, version)
		case strings.Contains(text, "Open MPI"), strings.Contains(text, "OpenRTE"): // of version 4
			found["Open MPI"] = []string{program, "--oversubscribe", "--allow-run-as-root", "--bind-to", "none"}
		case strings.Contains(text, "Intel(R) MPI Library"):
			found["Intel(R) MPI Library"] = []string{program}
		case strings.Contains(text, "HYDRA"):
			found["MPICH"] = []string{program}
		default:
			t.Fatalf("%s --version: whose it is is not known: %s", program, version)
		}
	}
	return found
}
