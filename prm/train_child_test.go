//go:build linux

package prm

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/goprm/goprm/internal/strictyaml"
	"github.com/goprm/goprm/internal/testcache"
	"github.com/stretchr/testify/require"
)

const (
	childEnvironment       = "GOPRM_TRAIN_CHILD"
	distributedEnvironment = "GOPRM_TRAIN_DISTRIBUTED"
)

// childReport is what a training process says at its end.
type childReport struct {
	Error string
}

// TestMain lets the test binary be a process that trains: the configuration is the file that the environment names.
func TestMain(m *testing.M) {
	path := os.Getenv(childEnvironment)
	if path == "" {
		os.Exit(testcache.Main(m))
	}
	var report childReport
	c, err := LoadTrainConfig(path, nil)
	if err == nil {
		_, statErr := os.Stat(filepath.Join(c.Out, recordName))
		c.Resume, c.Progress, c.Quiet = statErr == nil, os.Stderr, true
		c.Distributed = os.Getenv(distributedEnvironment) != ""
		_, err = Train(context.Background(), c)
	}
	if err != nil {
		report.Error = err.Error()
	}
	if err := json.NewEncoder(os.Stdout).Encode(report); err != nil || c.Distributed && report.Error != "" {
		os.Exit(1) // and the launcher ends the others
	}
	os.Exit(0)
}

// child is a process that will train as the configuration says.
func child(t testing.TB, c TrainConfig) *exec.Cmd {
	t.Helper()
	return childOf(t, c)
}

// childOf is such a process as a launcher, with arguments of its own, starts it.
func childOf(t testing.TB, c TrainConfig, launcher ...string) *exec.Cmd {
	t.Helper()
	path := filepath.Join(t.TempDir(), "run.yaml")
	text, err := strictyaml.Encode(c)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, text, 0o666))
	self, err := os.Executable()
	require.NoError(t, err)
	line := append(launcher[:len(launcher):len(launcher)], self)
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Env = append(os.Environ(), childEnvironment+"="+path)
	return cmd
}
