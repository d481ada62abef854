package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "17": 17, "3KiB": 3 << 10, "1.5 MiB": 3 << 19, "20GiB": 20 << 30, "20G": 20 << 30,
		"2TB": 2 << 40} {
		got, err := parseSize(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{"", "-1", "many", "1e9", "5 apples", "99999999999TiB", "GiB"} {
		_, err := parseSize(text)
		require.Error(t, err, text)
	}
}
