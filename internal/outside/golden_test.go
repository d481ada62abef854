package outside

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/goprm/goprm/nn"
	"github.com/stretchr/testify/require"
)

var ctx = context.Background()

// goldenFolders are the golden backbones that are there: the repository's own, and golden D of the development data.
func goldenFolders() []string {
	folders := []string{"../parity/testdata/wide", "../parity/testdata/dim64", "../parity/testdata/qwen3"}
	shared := os.Getenv("GOPRM_SHARED")
	if shared == "" {
		shared = "../../../shared"
	}
	if d := filepath.Join(shared, "data/goldens/D"); exists(d) {
		folders = append(folders, d)
	}
	return folders
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// readF64 reads one float64 tensor of a safetensors file: 8 bytes of length, a JSON header, the data.
func readF64(t *testing.T, path, name string) []float64 {
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	end := 8 + binary.LittleEndian.Uint64(raw)
	var header map[string]struct {
		DType   string    `json:"dtype"`
		Offsets [2]uint64 `json:"data_offsets"`
	}
	var all map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(raw[8:end], &all))
	delete(all, "__metadata__")
	text, err := json.Marshal(all)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &header))
	require.Equal(t, "F64", header[name].DType, name)
	data := raw[end+header[name].Offsets[0] : end+header[name].Offsets[1]]
	v := make([]float64, len(data)/8)
	for i := range v {
		v[i] = math.Float64frombits(binary.LittleEndian.Uint64(data[8*i:]))
	}
	return v
}

// Hidden states of each text of a golden batch are PyTorch's.
func TestHiddenStatesEqualPyTorch(t *testing.T) {
	for _, dir := range goldenFolders() {
		var batch struct {
			Tokens    []int32 `json:"tokens"`
			CuSeqlens []int   `json:"cu_seqlens"`
		}
		text, err := os.ReadFile(filepath.Join(dir, "batch.json"))
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(text, &batch))
		want := readF64(t, filepath.Join(dir, "forward.safetensors"), "hidden_f64")
		for _, weights := range []string{"f32", "bf16"} {
			net, err := nn.Open(filepath.Join(dir, weights), nn.Options{DType: "f64", Device: "cpu"})
			require.NoError(t, err)
			width := net.Config().HiddenSize
			for i := range len(batch.CuSeqlens) - 1 {
				from, to := batch.CuSeqlens[i], batch.CuSeqlens[i+1]
				hidden, err := net.Hidden(ctx, batch.Tokens[from:to])
				require.NoError(t, err)
				require.Equal(t, []int{to - from, width}, []int(hidden.Shape()))
				require.InDeltaSlice(t, want[from*width:to*width], hidden.Float64s(), 1e-9, dir)
			}
			require.NoError(t, net.Close())
		}
	}
}
