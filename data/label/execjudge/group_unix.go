//go:build unix

package execjudge

import (
	"os/exec"
	"syscall"
)

// ownGroup starts the program in a process group of its own, which has its number.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// killGroup kills the program and what it started. A group that is gone already is none to kill.
func killGroup(cmd *exec.Cmd) { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
