package prm

import (
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
