package serve

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// refuseConnections makes the kernel drop the first packets of new connections of a listener that is to be closed, while those that it
// has made are still taken: closing a listener resets connections in its queue, whose clients take them for made. A client whose packet is
// dropped sends it again after a second, and is then refused. Where the filter cannot be set, as on the multipath TCP of net.Listen,
// closing has that gap.
func refuseConnections(l net.Listener) {
	socket, ok := l.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return
	}
	const flags, syn, synAck = 13, 0x02, 0x12 // the byte of the TCP header, and its bits
	drop := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: flags},
		{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: synAck},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: syn},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
		{Code: unix.BPF_RET | unix.BPF_K, K: 1<<32 - 1},
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(drop)), Filter: &drop[0]})
	})
}
