//go:build unix

package speed

import "syscall"

// processorSeconds is the processor time that this process has had; 0 where the system does not tell.
func processorSeconds() float64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
