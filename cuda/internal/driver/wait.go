//go:build linux && (amd64 || arm64) && !nocuda

package driver

import (
	"fmt"
	"runtime"
	"time"
)

// ErrHung: the device does not come back, and neither would anything else that is asked of it. Its context goes with the process.
var ErrHung error = hungError{}

type hungError struct{}

func (hungError) Error() string {
	return "the GPU does not answer: a kernel does not end; start a new process"
}
func (hungError) DeviceLost() bool { return true }

// busyWait is how long a wait asks without a pause: a pause takes the system some 50 µs.
const busyWait = time.Millisecond

// Await asks until the stream has come to where the event was recorded last, for no longer than the limit, where Synchronise would
// never give up. Its pauses are a sixteenth of the time that has gone by, 1 ms at most, so they add no more than that.
func (e Event) Await(limit time.Duration) error {
	for begin := time.Now(); ; {
		if done, err := e.Done(); done || err != nil {
			return err
		}
		switch waited := time.Since(begin); {
		case waited >= limit:
			return fmt.Errorf("after %v: %w", limit, ErrHung)
		case waited < busyWait:
			runtime.Gosched()
		default:
			time.Sleep(min(waited/16, time.Millisecond))
		}
	}
}
