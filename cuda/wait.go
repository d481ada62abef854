//go:build linux && (amd64 || arm64) && !nocuda

package cuda

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/goprm/goprm/cuda/internal/driver"
)

// errHung: the device does not come back, and neither would anything else that is asked of it. Its context goes with the process.
var errHung = errors.New("the GPU does not answer: a kernel does not end; start a new process")

const (
	// hangLimit is how long one wait may take. What is launched between two waits is a micro-batch or an update, which is seconds of work,
	// minutes where a slow GPU computes in f64.
	hangLimit = 15 * time.Minute
	// busyWait is how long a wait asks without a pause: a pause takes the system some 50 µs.
	busyWait = 200 * time.Microsecond
)

// await asks until the device has come to the event. It does not call the driver's own waiting, which never gives up. Pauses are a
// sixteenth of the time that has gone by, 1 ms at most, so they add no more than that.
func await(e driver.Event, limit time.Duration) error {
	for begin := time.Now(); ; {
		if done, err := e.Done(); done || err != nil {
			return err
		}
		switch waited := time.Since(begin); {
		case waited >= limit:
			return fmt.Errorf("after %v: %w", limit, errHung)
		case waited < busyWait:
			runtime.Gosched()
		default:
			time.Sleep(min(waited/16, time.Millisecond))
		}
	}
}

// reach waits for an event of the stream; after a wait in vain nothing is asked of the driver any more.
func (b *backend) reach(e driver.Event) error {
	err := await(e, b.limit)
	b.hung = b.hung || errors.Is(err, errHung)
	return err
}

// idle waits for everything on the stream, in the current context.
func (b *backend) idle() error {
	if err := b.mark.Record(b.stream); err != nil {
		return err
	}
	return b.reach(b.mark)
}
