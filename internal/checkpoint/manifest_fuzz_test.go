package checkpoint

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzManifest: a manifest is refused or means the same when it is written and read again, and names no file outside its folder.
// Its checksum is set right, for hardly any input would get past it.
func FuzzManifest(f *testing.F) {
	m := manifest{Format: formatVersion, Step: 7, Meta: json.RawMessage(`{"seed":1}`),
		Files: map[string]Entry{"weights.safetensors": {Size: 4096, SHA256: "00"}, "optimizer.safetensors": {}}}
	text, err := m.encode()
	require.NoError(f, err)
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		var m manifest
		if json.Unmarshal(text, &m) == nil {
			if summed, err := m.encode(); err == nil {
				text = summed
			}
		}
		read, err := parseManifest(text)
		if err != nil {
			return
		}
		for name := range read.Files {
			require.True(t, plainName(name))
		}
		again, err := read.encode()
		require.NoError(t, err)
		require.JSONEq(t, string(text), string(again))
	})
}
