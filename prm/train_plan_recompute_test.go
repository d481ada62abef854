package prm

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/stretchr/testify/require"
)

// auto keeps activations where that fits into the device's memory, and both plans are told.
func TestPlanChoosesWhatIsRecomputed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "model")
	require.NoError(t, os.MkdirAll(dir, 0o777))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(planned["7B"].config), 0o666))
	at := func(recompute string, memory int64) PlanReport {
		r, err := Plan(PlanOptions{Model: dir, Train: "lora", Tokens: 4096, Recompute: recompute, Memory: memory})
		require.NoError(t, err)
		return r
	}
	layer, none := at("layer", 1<<40), at("none", 1<<40)
	require.Len(t, none.Choices, 1)
	require.Less(t, layer.Total, none.Total)
	enough := func(total int64) int64 { return (total + 96) / 97 * 100 }
	short := func(total int64) int64 { return (total - 1) / 97 * 100 }
	for memory, k := range map[int64]struct {
		recompute string
		resident  bool
	}{
		enough(none.Total): {"none", true}, short(none.Total): {"layer", true},
		enough(layer.Total): {"layer", true}, short(layer.Total): {"layer", false},
	} {
		r := at("", memory)
		require.Equal(t, k.recompute, r.Recompute, "%d bytes", memory)
		require.True(t, r.Fits, "%d bytes", memory)
		require.Equal(t, k.resident, r.Streamed == 0, "%d bytes", memory)
		if !k.resident {
			continue
		}
		require.Equal(t, map[string]PlanReport{"none": none, "layer": layer}[k.recompute].PlanMemory, r.PlanMemory)
		require.Equal(t, []int64{none.Total, layer.Total}, []int64{r.Choices[0].Total, r.Choices[1].Total})
	}
	require.Equal(t, "layer", at("", 0).Recompute, "memory that is not known")
}

// A run goes on with another setting: the same bits, and run.json says how it was last started.
func TestRunChoosesWhatIsRecomputed(t *testing.T) {
	base := tiny(t, tinymodel.Options{})
	var want string
	for _, k := range []struct{ first, second, recorded string }{
		{"auto", "auto", "none"}, {"none", "layer", "layer"}, {"layer", "auto", "none"},
	} {
		c := config(t, base)
		c.Train, c.Recompute, c.Optim.Steps, c.Optim.Epochs, c.Quiet = "lora", k.first, 4, 0, false
		interrupt(t, c, 2)
		c = again(c)
		c.Recompute = k.second
		train(t, c)
		if k.second == "auto" {
			require.Contains(t, said(c), "recompute: none: micro-batches of up to 120 tokens take")
		}
		record, err := readRecord(filepath.Join(c.Out, recordName))
		require.NoError(t, err)
		require.Equal(t, k.recorded, record.Recompute)
		if want == "" {
			want = weights(t, c.Out)
		}
		require.Equal(t, want, weights(t, c.Out))
	}
}
