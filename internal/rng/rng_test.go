package rng

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// The first outputs of splitmix64 seeded with 0, as published with the algorithm.
func TestMixIsSplitmix64(t *testing.T) {
	require.Equal(t, uint64(0xe220a8397b1dcdaf), Mix(0))
	require.Equal(t, uint64(0x6e789e6aa1b965f4), Mix(0x9e3779b97f4a7c15))
}

func TestStreamsDiffer(t *testing.T) {
	seen := map[uint64]bool{}
	for _, s := range []Stream{New(1, "a"), New(1, "b"), New(2, "a")} {
		for i := range uint64(1000) {
			require.False(t, seen[s.Uint64(i)])
			seen[s.Uint64(i)] = true
		}
	}
}

func TestFloat64IsUniform(t *testing.T) {
	s, n, sum, squares := New(rand.Uint64(), "x"), 100_000, 0.0, 0.0
	for i := range n {
		x := s.Float64(uint64(i))
		require.True(t, x >= 0 && x < 1)
		sum += x
		squares += x * x
	}
	require.InDelta(t, 0.5, sum/float64(n), 0.006) // 6 standard errors
	require.InDelta(t, 1.0/3, squares/float64(n), 0.006)
}
