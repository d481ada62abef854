package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Run is one process of one program.
type Run struct {
	Round    int               `json:"round"`
	Seconds  []float64         `json:"seconds"` // of each timed step
	First    first             `json:"first"`
	Peak     float64           `json:"peak_gflops,omitempty"` // of the machine, as prm bench measured it in this process
	RSS      float64           `json:"rss_mb"`                // at most
	Wall     float64           `json:"wall_s"`                // of the whole process
	Others   float64           `json:"others"`                // CPU seconds of other programs, and stolen ones, for each second of Wall
	Dropped  bool              `json:"dropped,omitempty"`     // others had more than the limit
	Versions map[string]string `json:"-"`
}

// step is the median second of a step.
func (r Run) step() float64 { return median(r.Seconds) }

// finished is how a process ended.
type finished struct {
	out          []byte
	rss          float64 // MB
	wall, others float64
}

// limits stop a process.
type limits struct {
	seconds float64
	left    uint64 // bytes of the machine's memory that must stay available
}

// execute runs a command in a group of its own, and measures it from outside: its largest resident set, and the CPU time of all others.
func execute(ctx context.Context, command, env []string, l limits) (finished, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.Env = &out, &errs, append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	busy, began := busySeconds(), time.Now()
	own := ownSeconds()
	go watch(ctx, cancel, l)
	err := cmd.Run()
	f := finished{out: out.Bytes(), wall: time.Since(began).Seconds()}
	if s := cmd.ProcessState; s != nil {
		spent := s.UserTime().Seconds() + s.SystemTime().Seconds() + ownSeconds() - own
		f.others = max(0, busySeconds()-busy-spent) / f.wall
		if u, ok := s.SysUsage().(*syscall.Rusage); ok {
			f.rss = float64(u.Maxrss) / 1024
		}
	}
	if why := context.Cause(ctx); why != nil {
		return f, fmt.Errorf("stopped: %w", why)
	}
	if err != nil {
		return f, fmt.Errorf("%w: %s", err, lastLine(errs.Bytes()))
	}
	return f, nil
}

// watch cancels a process that takes too long, or the machine's last memory.
func watch(ctx context.Context, cancel context.CancelCauseFunc, l limits) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	late := time.After(time.Duration(l.seconds * float64(time.Second)))
	for {
		select {
		case <-ctx.Done():
			return
		case <-late:
			cancel(fmt.Errorf("not done after %.0f s", l.seconds))
		case <-tick.C:
			if free, err := meminfo("MemAvailable"); err == nil && free < l.left {
				cancel(errors.New("it took the machine's last memory"))
			}
		}
	}
}

// busySeconds is the processor time of everything on the machine, and what the hypervisor gave to others.
func busySeconds() float64 {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	return parseBusy(string(text))
}

// parseBusy adds user, nice, system, irq, softirq and steal of the first line of /proc/stat, in ticks of 10 ms.
func parseBusy(stat string) (seconds float64) {
	line, _, _ := strings.Cut(stat, "\n")
	for i, f := range strings.Fields(line) {
		if v, err := strconv.ParseFloat(f, 64); err == nil && (i <= 3 || i >= 6 && i <= 8) {
			seconds += v / 100
		}
	}
	return seconds
}

func ownSeconds() float64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// meminfo is a field of /proc/meminfo, in bytes.
func meminfo(field string) (uint64, error) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	_, after, found := strings.Cut(string(text), field+":")
	if !found {
		return 0, fmt.Errorf("/proc/meminfo has no %s", field)
	}
	var kb uint64
	_, err = fmt.Sscan(after, &kb)
	return kb << 10, err
}

func lastLine(text []byte) []byte {
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return bytes.TrimSpace(lines[len(lines)-1])
}
