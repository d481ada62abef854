package serve

import (
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Connections that are made when new ones are refused are still taken; new ones are not made.
func TestRefuseConnections(t *testing.T) {
	var config net.ListenConfig
	config.SetMultipathTCP(false)
	l, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	made, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	defer func() { require.NoError(t, made.Close()) }()
	refuseConnections(l)
	_, err = net.DialTimeout("tcp", l.Addr().String(), 200*time.Millisecond)
	requireTimeout(t, err)
	taken, err := l.Accept()
	require.NoError(t, err)
	_, err = made.Write([]byte("x"))
	require.NoError(t, err)
	_, err = taken.Read(make([]byte, 1))
	require.NoError(t, err)
	require.NoError(t, taken.Close())
	require.NoError(t, l.Close())
}

// A server that drains takes no new connection, though it has its listener open still.
func TestDrainRefusesNewConnections(t *testing.T) {
	s, address, stop, ended := listening(t, newFake(), Options{}, nil)
	c := raw(t, "http://"+address, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n") // keeps the server for a moment
	defer func() { _ = c.Close() }()
	require.Equal(t, http.StatusOK, answerOn(t, c).StatusCode)
	stop()
	waitFor(t, "it drains", s.isDraining)
	time.Sleep(50 * time.Millisecond)
	_, err := net.DialTimeout("tcp", address, 200*time.Millisecond)
	requireTimeout(t, err)
	require.NoError(t, c.Close())
	require.NoError(t, <-ended)
}

func requireTimeout(t *testing.T, err error) {
	t.Helper()
	var late net.Error
	require.ErrorAs(t, err, &late)
	require.True(t, late.Timeout(), err)
}
