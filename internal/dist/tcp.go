package dist

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// tcp is the engine of ranks that a launcher started with MASTER_ADDR and MASTER_PORT alone, as torchrun and Kubernetes jobs do: every two
// ranks hold a connection. Who ends, however it ends, closes his connections, which all others notice at once.
type tcp struct {
	rank, world int
	peers       []net.Conn // by rank; nil for this one
}

func (t *tcp) Name() string { return "TCP" }
func (t *tcp) Rank() int    { return t.rank }
func (t *tcp) World() int   { return t.world }

// tcpCall heads every message, so that ranks that make different calls find out.
type tcpCall byte

const (
	tcpExchange tcpCall = iota + 1
	tcpAllGather
	tcpBroadcast
	tcpBarrier
	tcpClose
)

// all sends to and receives from every other rank at the same time.
func (t *tcp) all(call tcpCall, send, recv func(rank int) []byte) error {
	var work sync.WaitGroup
	var once sync.Once
	var first error
	fail := func(rank int, err error) {
		if err != nil {
			once.Do(func() {
				first = fmt.Errorf("rank %d: %w", rank, err)
				t.Abort() // no other rank can complete the call either
			})
		}
	}
	for r, peer := range t.peers {
		if peer == nil {
			continue
		}
		work.Go(func() { fail(r, sendTo(peer, call, send(r))) })
		work.Go(func() { fail(r, receiveFrom(peer, call, recv(r))) })
	}
	work.Wait()
	return first
}

func sendTo(peer net.Conn, call tcpCall, b []byte) error {
	head := binary.LittleEndian.AppendUint64([]byte{byte(call)}, uint64(len(b)))
	_, err := (&net.Buffers{head, b}).WriteTo(peer)
	return err
}

func receiveFrom(peer net.Conn, call tcpCall, b []byte) error {
	var head [9]byte
	if _, err := io.ReadFull(peer, head[:]); err != nil {
		return gone(err)
	}
	if n := binary.LittleEndian.Uint64(head[1:]); tcpCall(head[0]) != call || n != uint64(len(b)) {
		return fmt.Errorf("%d bytes of call %d came, %d of call %d were due: the ranks are not at the same place", n, head[0], len(b), call)
	}
	_, err := io.ReadFull(peer, b)
	return gone(err)
}

func gone(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("it has ended")
	}
	return err
}

// cut is the r-th part of b.
func cut(b []byte, counts []int, r int) []byte {
	from := 0
	for _, n := range counts[:r] {
		from += n
	}
	return b[from : from+counts[r]]
}

func (t *tcp) Exchange(send []byte, sendCounts []int, recv []byte, recvCounts []int) error {
	copy(cut(recv, recvCounts, t.rank), cut(send, sendCounts, t.rank))
	return t.all(tcpExchange, func(r int) []byte { return cut(send, sendCounts, r) }, func(r int) []byte { return cut(recv, recvCounts, r) })
}

func (t *tcp) AllGather(mine, all []byte, counts []int) error {
	copy(cut(all, counts, t.rank), mine)
	return t.all(tcpAllGather, func(int) []byte { return mine }, func(r int) []byte { return cut(all, counts, r) })
}

func (t *tcp) Broadcast(b []byte, root int) error {
	return t.all(tcpBroadcast,
		func(int) []byte {
			if t.rank == root {
				return b
			}
			return nil
		},
		func(r int) []byte {
			if r == root {
				return b
			}
			return nil
		})
}

func (t *tcp) Barrier() error { return t.all(tcpBarrier, none, none) }

func none(int) []byte { return nil }

func (t *tcp) Close() error {
	err := t.all(tcpClose, none, none)
	t.Abort()
	return err
}

// Abort closes the connections, which ends the calls of all others.
func (t *tcp) Abort() {
	for _, peer := range t.peers {
		if peer != nil {
			_ = peer.Close() // there is nothing left to lose
		}
	}
}
