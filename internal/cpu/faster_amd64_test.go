//go:build !noasm

package cpu

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Arithmetic in f32 takes AVX-512 where its tiles are faster; a name that is given, and bf16, do not ask.
func TestAutoTakesTheFasterTiles(t *testing.T) {
	need(t, "avx512")
	want := "avx2"
	if avx512IsFaster() {
		want = "avx512"
	}
	for name, chosen := range map[string]string{"": want, "auto": want, "avx2": "avx2", "avx512": "avx512"} {
		k, err := choose(name, "f32")
		require.NoError(t, err)
		require.Equal(t, chosen, k.name, name)
	}
	a, b := tileTime(avx512Set), tileTime(avx2Set)
	require.InDelta(t, 1, b/a, 1.5, "a tile's element is at most 2.5 times as fast")
	require.Greater(t, b/a, 0.4)
}
