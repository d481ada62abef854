package prm

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDeviceList(t *testing.T) {
	list, err := deviceList("cuda:0, cuda:1")
	require.NoError(t, err)
	require.Equal(t, []string{"cuda:0", "cuda:1"}, list)
	list, err = deviceList("")
	require.NoError(t, err)
	require.Equal(t, []string{""}, list)
	for _, wrong := range []string{"cuda:0,", "auto,cuda:0", ",", "cuda:0,cuda:1,cuda:0"} {
		_, err = deviceList(wrong)
		require.ErrorContains(t, err, wrong)
	}
	_, err = openBackend("cpu,cuda:0", "", "", 0)
	require.ErrorContains(t, err, "one device at a time")
}

// Sessions that begin while all devices are idle are shared out; a busy one gets none, nor does a lost one.
func TestSessionsAreSharedOut(t *testing.T) {
	a, b, c := &Model{}, &Model{}, &Model{}
	a.replicas = []*Model{b, c}
	homes := func(n int) (of [3]int) {
		for range n {
			switch a.newHome() {
			case a:
				of[0]++
			case b:
				of[1]++
			case c:
				of[2]++
			}
		}
		return of
	}
	require.Equal(t, [3]int{2, 2, 2}, homes(6))
	a.queue.reading = 1
	require.Equal(t, [3]int{0, 2, 2}, homes(4))
	b.queue.lose(errors.New("gone"))
	require.Equal(t, [3]int{0, 0, 3}, homes(3))
}
