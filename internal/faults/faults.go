//go:build faults

// Package faults makes file operations fail, or kills the process at one, in programs that are built with the tag "faults" for the
// crash tests. In all others its only function does nothing.
//
// GOPRM_FAULT is "kill:N" or "fail:N": what the N-th operation of the process meets, from 1; "fail:N+" is that and all later ones. With
// "@NAME" behind it, operations of that name alone are counted, such as "kill:1@rename". GOPRM_FAULT_LOG names a file that lists them.
package faults

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// On tells that the program can be made to fail.
const On = true

var plan = read(os.Getenv("GOPRM_FAULT"))

type fault struct {
	sync.Mutex
	kill, onward bool
	at, seen     int
	name         string
	log          *os.File
}

func read(text string) *fault {
	f := &fault{}
	if path := os.Getenv("GOPRM_FAULT_LOG"); path != "" {
		f.log, _ = os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	}
	text, f.name, _ = strings.Cut(text, "@")
	kind, number, _ := strings.Cut(text, ":")
	f.kill = kind == "kill"
	number, f.onward = strings.CutSuffix(number, "+")
	f.at, _ = strconv.Atoi(number)
	return f
}

// Point is called ahead of an operation on a file; its error is the operation's.
func Point(name, path string) error {
	plan.Lock()
	defer plan.Unlock()
	if plan.name != "" && plan.name != name {
		return nil
	}
	plan.seen++
	if plan.log != nil {
		_, _ = fmt.Fprintln(plan.log, name, path)
	}
	switch {
	case plan.at == 0 || plan.seen < plan.at || plan.seen > plan.at && !plan.onward:
		return nil
	case plan.kill:
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
	return fmt.Errorf("%s: %w", path, syscall.ENOSPC)
}
