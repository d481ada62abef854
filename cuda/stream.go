//go:build linux && (amd64 || arm64) && !nocuda

package cuda

import (
	"errors"
	"fmt"

	"github.com/goprm/goprm/cuda/internal/driver"
	"github.com/goprm/goprm/internal/engine"
)

// weightStream brings groups of weights by a stream of its own, so that the copy engine works beside the kernels: while those of a group
// compute, the next one is read from its files into page-locked memory and sent to the other place.
type weightStream struct {
	b       *backend
	copies  driver.Stream
	staging *staging
	places  [2]driver.Ptr
	room    int             // of a place, bytes
	left    [2]driver.Event // behind the launches of the group before, by the place of the group that was brought then
	brought [2]driver.Event // behind the copies into a place
	count   int             // groups so far
}

// StreamWeights is part of engine.StreamsWeights.
func (b *backend) StreamWeights(bytes int) (engine.WeightStream, error) {
	w := &weightStream{b: b, room: bytes}
	if err := b.do(w.prepare); err != nil {
		return nil, errors.Join(fmt.Errorf("two places for %d bytes of streamed weights: %w", bytes, err), w.Close())
	}
	return w, nil
}

func (w *weightStream) prepare() (err error) {
	if w.copies, err = driver.NewStream(); err != nil {
		return err
	}
	if w.staging, err = newStaging(w.copies, w.b.reach); err != nil {
		return err
	}
	for i := range w.places {
		if w.places[i], err = w.b.take(max(1, w.room)); err != nil {
			return err
		}
		if w.left[i], err = driver.NewEvent(); err != nil {
			return err
		}
		if w.brought[i], err = driver.NewEvent(); err != nil {
			return err
		}
	}
	return nil
}

// Bring is part of engine.WeightStream.
func (w *weightStream) Bring(slots, from []*engine.Tensor) error {
	return w.b.do(func() error {
		at := w.count % 2
		if err := w.left[at].Record(w.b.stream); err != nil {
			return err
		}
		if w.count > 0 { // when the last group was brought, the one before it had been launched, which lies where this one goes
			if err := w.copies.WaitFor(w.left[1-at]); err != nil {
				return err
			}
		}
		w.count++
		offset := 0
		for i, t := range slots {
			size := int(from[i].MemSize())
			if offset+size > w.room {
				return fmt.Errorf("device %s: streamed weights of more than %d bytes", w.b.name, w.room)
			}
			to := w.places[at] + driver.Ptr(offset)
			if err := w.staging.upload(to, from[i].Bytes()); err != nil {
				return err
			}
			t.Ptr = pointer(to)
			offset += engine.GroupBytes(size)
		}
		if err := w.brought[at].Record(w.copies); err != nil {
			return err
		}
		return w.b.stream.WaitFor(w.brought[at])
	})
}

// Close gives the memory back; with a closed or a hung backend it goes with that.
func (w *weightStream) Close() error {
	if w.b.closed || w.b.hung {
		return nil
	}
	for _, p := range w.places {
		w.b.Free(pointer(p)) // once what was launched is done
	}
	return w.b.do(func() error {
		var failed []error
		if w.staging != nil {
			failed = append(failed, w.copies.Synchronise(), w.staging.close())
		}
		for _, e := range []driver.Event{w.left[0], w.left[1], w.brought[0], w.brought[1]} {
			if e != 0 {
				failed = append(failed, e.Destroy())
			}
		}
		if w.copies != 0 {
			failed = append(failed, w.copies.Destroy())
		}
		return errors.Join(failed...)
	})
}
