//go:build linux && !noasm

package cpu

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Arithmetic in f32 takes AVX-512 where its tiles are faster; a name that is given is taken as it is.
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
}
