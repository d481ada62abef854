//go:build linux && (amd64 || arm64) && !nocuda

package cuda

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/goprm/goprm/cuda/internal/driver"
	"github.com/goprm/goprm/cuda/internal/nccl"
	"github.com/goprm/goprm/internal/dist"
	"github.com/goprm/goprm/internal/engine"
)

// peers exchanges tensors by NCCL, on a stream of its own. NCCL moves bytes; sums are a kernel of ours, so that their bits depend on
// neither its version nor the topology.
type peers struct {
	b           *backend
	comm        *nccl.Comm
	stream      driver.Stream
	fork, join  driver.Event
	rank, world int
	limit       time.Duration // of one exchange
	lost        func() error  // nil: nothing tells

	parts driver.Ptr // where those of other ranks come, one behind the other
	room  int        // bytes of each
	at    *uint64    // page-locked: the exchange that the stream has begun last, with exchanged when it is done
	calls []exchange // number 1 comes first
	ended error      // why there can be no further exchange
}

// exchanged marks the number of an exchange that is done: the same one may come again next.
const exchanged = 1 << 63

// exchange is what an error says of a call.
type exchange struct {
	what  string
	bytes int
}

// PeerID is part of engine.ReachesPeers.
func (b *backend) PeerID() ([]byte, error) {
	if err := nccl.Load(); err != nil {
		return nil, err
	}
	var id nccl.ID
	err := b.do(func() (err error) { id, err = nccl.NewID(); return err })
	return id[:], err
}

// JoinPeers is part of engine.ReachesPeers.
func (b *backend) JoinPeers(id []byte, rank, world int, limit time.Duration, lost func() error) (engine.Peers, error) {
	p := &peers{b: b, rank: rank, world: world, limit: limit, lost: lost, calls: []exchange{{"join", 0}}}
	if len(id) != len(nccl.ID{}) {
		return nil, fmt.Errorf("device %s: an id of %d bytes", b.name, len(id))
	}
	if b.peers != nil {
		return nil, fmt.Errorf("device %s: it has joined its peers already", b.name)
	}
	b.peers = p
	err := b.do(func() error {
		var err error
		if p.stream, err = driver.NewStream(); err != nil {
			return err
		}
		if p.fork, err = driver.NewEvent(); err != nil {
			return err
		}
		if p.join, err = driver.NewEvent(); err != nil {
			return err
		}
		page, err := driver.AllocHost(8)
		if err != nil {
			return err
		}
		p.at = (*uint64)(page)
		*p.at = 0
		b.lent[uintptr(page)] = 8
		if p.comm, err = nccl.Join(nccl.ID(id), world, rank); err != nil {
			return p.failed(0, err)
		}
		return p.settle(0)
	})
	if err != nil {
		return nil, errors.Join(err, p.Leave(err))
	}
	return p, nil
}

func (p *peers) Name() string { return "NCCL " + nccl.Version() }

// failed ends the communicator, which ends what hangs on the device, and says which call it was.
func (p *peers) failed(number int, err error) error {
	if p.ended != nil {
		return p.ended
	}
	call := p.calls[number]
	p.ended = &dist.CallError{Rank: p.rank, World: p.world, Call: call.what, Bytes: call.bytes, Err: err}
	if p.comm != nil {
		aborted := make(chan error, 1)
		go func() { aborted <- p.b.do(p.comm.Abort) }()
		select {
		case err := <-aborted:
			if err != nil {
				p.ended = errors.Join(p.ended, err)
			}
		case <-time.After(abortLimit):
			p.b.hung = true
		}
	}
	return p.ended
}

// abortLimit is how long NCCL may take to end a communicator.
const abortLimit = 20 * time.Second

// settle waits until the last call is no longer in progress: some of them connect ranks first.
func (p *peers) settle(number int) error {
	for begin := time.Now(); ; time.Sleep(min(time.Since(begin)/16, time.Millisecond)) {
		busy, err := p.comm.State()
		if err == nil && busy {
			err = p.overdue(begin)
		}
		if err != nil {
			return p.failed(number, err)
		}
		if !busy {
			return nil
		}
	}
}

// overdue is an error when an exchange that has gone on since a time can no longer succeed.
func (p *peers) overdue(since time.Time) error {
	if p.lost != nil {
		if err := p.lost(); err != nil {
			return err
		}
	}
	if time.Since(since) > p.limit {
		return fmt.Errorf("%w (%v)", dist.ErrTimeout, p.limit)
	}
	return nil
}

// reach waits for an event of the training stream, as the backend does without peers, and for an exchange that it waits for no longer than
// the peers' limit.
func (p *peers) reach(e driver.Event) error {
	const between = 100 * time.Millisecond // two looks at the exchange
	begun, since := uint64(0), time.Now()
	for begin := since; ; {
		err := e.Await(min(between, p.b.limit))
		if !errors.Is(err, driver.ErrHung) || p.ended != nil {
			return errors.Join(p.ended, err)
		}
		if p.comm == nil {
			return err
		}
		now := atomic.LoadUint64(p.at)
		if now != begun {
			begun, since = now, time.Now()
		}
		busy, call := now != 0 && now < exchanged, int(now&^exchanged)
		_, failed := p.comm.State()
		if failed == nil && busy {
			failed = p.overdue(since)
		}
		switch {
		case failed != nil:
			return p.failed(call, failed)
		case !busy && time.Since(begin) >= p.b.limit:
			return fmt.Errorf("after %v: %w", p.b.limit, driver.ErrHung)
		}
	}
}

// Reserve is part of engine.Peers.
func (p *peers) Reserve(bytes int) error {
	if bytes = (bytes + 255) &^ 255; bytes <= p.room {
		return nil
	}
	at, err := p.b.Alloc(bytes * (p.world - 1))
	if err != nil {
		return fmt.Errorf("%d bytes for the gradients of %d other ranks: %w", bytes*(p.world-1), p.world-1, err)
	}
	if p.parts != 0 {
		p.b.Free(pointer(p.parts))
	}
	p.parts, p.room = driver.Ptr(uintptr(at)), bytes
	return nil
}

// launch makes a launch of an exchange: calls queues it on the stream as one group, and after are kernels behind it.
func (p *peers) launch(what string, bytes int, calls func() error, after []*kernel) (engine.Launch, error) {
	number := len(p.calls)
	p.calls = append(p.calls, exchange{what, bytes})
	var marks [2]*kernel
	build := &builder{backend: p.b, on: p.stream}
	for i, at := range []uint64{uint64(number), uint64(number) | exchanged} {
		var err error
		if marks[i], err = build.kernel("reached", 1, 1, 32, 0, driver.Ptr(uintptr(unsafe.Pointer(p.at))), at); err != nil {
			return nil, err
		}
	}
	queue := func() error {
		if err := p.comm.GroupStart(); err != nil {
			return p.failed(number, err)
		}
		if err := errors.Join(calls(), p.comm.GroupEnd()); err != nil {
			return p.failed(number, err)
		}
		return p.settle(number)
	}
	return func() error {
		if p.ended != nil {
			return p.ended
		}
		return p.b.do(func() error {
			if err := errors.Join(p.fork.Record(p.b.stream), p.stream.WaitFor(p.fork), marks[0].launch()); err != nil {
				return err
			}
			if err := queue(); err != nil {
				return err
			}
			for _, k := range after {
				if err := k.launch(); err != nil {
					return err
				}
			}
			return marks[1].launch()
		})
	}, nil
}

// typeOf is NCCL's number for a dtype.
func typeOf(t *engine.Tensor) (nccl.Type, error) {
	switch t.Dtype() {
	case engine.F32:
		return nccl.F32, nil
	case engine.F64:
		return nccl.F64, nil
	}
	return 0, fmt.Errorf("%v is not exchanged", t)
}

// Reduce is part of engine.Peers. Every rank sends its parts straight from their gradients; the owner receives them behind each other.
func (p *peers) Reduce(what string, parts []engine.Part) (engine.Launch, error) {
	if err := p.b.enter(); err != nil {
		return nil, err
	}
	defer p.b.context.Leave()
	var sums []*kernel
	var received []int // where each part of this rank's lies in what comes from another rank
	bytes, own := 0, 0
	for _, part := range parts {
		received = append(received, own)
		bytes += int(part.MemSize())
		if part.Owner != p.rank {
			continue
		}
		build := &builder{backend: p.b, on: p.stream}
		k, err := build.kernel("sum_ranks"+suffix(part.Dtype()), ceilDiv(part.Size(), each), 1, eachThreads, 0, part.Tensor, p.from(own, 0),
			uint64(part.Size()), uint64(p.room/int(part.Dtype().Size())), p.world, p.rank)
		if err != nil {
			return nil, err
		}
		sums = append(sums, k)
		own += (int(part.MemSize()) + 15) &^ 15
	}
	if own > p.room {
		return nil, fmt.Errorf("%s: %d bytes for room of %d", what, own, p.room)
	}
	return p.launch(what, bytes, func() error {
		var failed error
		for i, part := range parts {
			t, err := typeOf(part.Tensor)
			failed = errors.Join(failed, err)
			if part.Owner != p.rank {
				failed = errors.Join(failed, p.comm.Send(uintptr(part.Ptr), part.Size(), t, part.Owner, uintptr(p.stream)))
				continue
			}
			for rank, at := 0, 0; rank < p.world; rank++ {
				if rank == p.rank {
					continue
				}
				to := uintptr(p.from(received[i], at))
				failed = errors.Join(failed, p.comm.Receive(to, part.Size(), t, rank, uintptr(p.stream)))
				at++
			}
		}
		return failed
	}, sums)
}

// from is where a part of the i-th other rank comes.
func (p *peers) from(offset, i int) driver.Ptr { return p.parts + driver.Ptr(i*p.room+offset) }

// Move is part of engine.Peers.
func (p *peers) Move(what string, moves []engine.Move) (engine.Launch, error) {
	bytes := 0
	for _, m := range moves {
		bytes += int(m.MemSize())
	}
	if err := p.b.enter(); err != nil {
		return nil, err
	}
	defer p.b.context.Leave()
	return p.launch(what, bytes, func() error {
		var failed error
		for _, m := range moves {
			t, err := typeOf(m.Tensor)
			switch failed = errors.Join(failed, err); p.rank {
			case m.From:
				failed = errors.Join(failed, p.comm.Send(uintptr(m.Ptr), m.Size(), t, m.To, uintptr(p.stream)))
			case m.To:
				failed = errors.Join(failed, p.comm.Receive(uintptr(m.Ptr), m.Size(), t, m.From, uintptr(p.stream)))
			}
		}
		return failed
	}, nil)
}

// Spread is part of engine.Peers.
func (p *peers) Spread(what string, parts []engine.Part) (engine.Launch, error) {
	bytes := 0
	for _, part := range parts {
		bytes += int(part.MemSize())
	}
	if err := p.b.enter(); err != nil {
		return nil, err
	}
	defer p.b.context.Leave()
	return p.launch(what, bytes, func() error {
		var failed error
		for _, part := range parts {
			t, err := typeOf(part.Tensor)
			failed = errors.Join(failed, err, p.comm.Broadcast(uintptr(part.Ptr), part.Size(), t, part.Owner, uintptr(p.stream)))
		}
		return failed
	}, nil)
}

// Wait is part of engine.Peers.
func (p *peers) Wait() error {
	return p.b.do(func() error { return errors.Join(p.join.Record(p.stream), p.b.stream.WaitFor(p.join)) })
}

// Zero is part of engine.Peers.
func (p *peers) Zero(t *engine.Tensor) error {
	return p.b.do(func() error { return driver.Fill(addressOf(t), 0, int(t.MemSize()), p.b.stream) })
}

// Leave is part of engine.Peers.
func (p *peers) Leave(reason error) error {
	if p.b.peers != p { // it has left
		return nil
	}
	p.b.peers = nil
	if reason != nil {
		_ = p.failed(0, reason) // which is known
	}
	if p.b.hung {
		return nil
	}
	return p.b.do(p.close)
}

// close leaves, in good order where nothing has failed: then all ranks do.
func (p *peers) close() error {
	var failed []error
	if p.comm != nil && p.ended == nil {
		p.calls = append(p.calls, exchange{"leave", 0})
		p.limit = min(p.limit, abortLimit)
		err := p.comm.Finalize()
		if err == nil {
			err = p.settle(len(p.calls) - 1)
		}
		if err == nil {
			err = p.comm.Destroy()
		}
		failed = append(failed, err)
	}
	for _, e := range []driver.Event{p.fork, p.join} {
		if e != 0 {
			failed = append(failed, e.Destroy())
		}
	}
	if p.stream != 0 {
		failed = append(failed, p.stream.Destroy())
	}
	return errors.Join(failed...)
}
