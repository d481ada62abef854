//go:build linux || darwin

package dist

import (
	"fmt"
	"net"
	"syscall"
)

// Lost looks at the connections without reading from them: who ends closes his.
func (t *tcp) Lost() error {
	for rank, peer := range t.peers {
		conn, ok := peer.(*net.TCPConn)
		if !ok {
			continue
		}
		raw, err := conn.SyscallConn()
		if err != nil {
			return fmt.Errorf("rank %d: %w", rank, err)
		}
		ended, one := false, make([]byte, 1)
		err = raw.Read(func(fd uintptr) bool {
			n, _, err := syscall.Recvfrom(int(fd), one, syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
			ended = n == 0 && err == nil || err == syscall.ECONNRESET
			return true
		})
		if err != nil || ended {
			return fmt.Errorf("rank %d: it has ended", rank)
		}
	}
	return nil
}
