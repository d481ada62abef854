//go:build linux && (amd64 || arm64) && !nocuda

package cuda

import (
	"errors"

	"github.com/goprm/goprm/cuda/internal/driver"
	"github.com/goprm/goprm/internal/engine"
)

// recording is a CUDA graph. Kernels read the live counts from memory, so one graph serves every batch of its capacity.
type recording struct {
	b       *backend
	graph   driver.Graph
	scratch driver.Ptr // where it lay
}

// Record implements engine.Recorder by capturing the stream.
func (b *backend) Record(launches func() error) (engine.Recording, error) {
	r := &recording{b: b, scratch: b.scratch}
	err := b.do(func() error { // on one thread, as the driver wants it
		if err := b.stream.BeginCapture(); err != nil {
			return err
		}
		failed := launches()
		graph, err := b.stream.EndCapture()
		if failed != nil && err == nil {
			return errors.Join(failed, graph.Destroy())
		}
		r.graph = graph
		return errors.Join(failed, err)
	})
	if err != nil {
		return nil, err
	}
	b.recorded[r.scratch]++
	return r, nil
}

func (r *recording) Replay() error {
	if err := r.b.enter(); err != nil {
		return err
	}
	defer r.b.context.Leave()
	return r.graph.Launch()
}

// Close frees the graph; with a closed backend it went already, and with a hung one it goes with the process.
func (r *recording) Close() error {
	if r.b.closed || r.b.hung {
		return nil
	}
	err := r.b.do(r.graph.Destroy)
	r.b.unrecord(r.scratch)
	return err
}
