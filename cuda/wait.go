//go:build linux && (amd64 || arm64) && !nocuda

package cuda

import (
	"errors"
	"time"

	"github.com/goprm/goprm/cuda/internal/driver"
)

// hangLimit is how long one wait may take. What is launched between two waits is a micro-batch or an update, which is seconds of work,
// minutes where a slow GPU computes in f64.
const hangLimit = 15 * time.Minute

// reach waits for an event of the stream; after a wait in vain nothing is asked of the driver any more.
func (b *backend) reach(e driver.Event) error {
	await := func(e driver.Event) error { return e.Await(b.limit) }
	if b.peers != nil {
		await = b.peers.reach
	}
	err := await(e)
	b.hung = b.hung || errors.Is(err, driver.ErrHung)
	return err
}

// idle waits for everything on the stream, in the current context.
func (b *backend) idle() error {
	if err := b.mark.Record(b.stream); err != nil {
		return err
	}
	return b.reach(b.mark)
}
