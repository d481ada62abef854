package parity

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/safetensors"
)

// readJSON reads a whole golden file; unlike user input it is trusted to fit in memory.
func readJSON(path string, into any) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// readTensors reads every tensor of a safetensors file, widened.
func readTensors(path string) (map[string][]float64, error) {
	f, err := safetensors.Open(path)
	if err != nil {
		return nil, err
	}
	values := map[string][]float64{}
	for _, info := range f.Tensors() {
		if values[info.Name], err = safetensors.AppendFloat64(nil, info, f.Bytes(info.Name)); err != nil {
			return nil, fmt.Errorf("%s: tensor %q: %w", path, info.Name, err)
		}
	}
	return values, f.Close()
}

// readBatch reads batch.json.
func readBatch(dir string) (*data.Batch, error) {
	var b struct {
		Tokens     []int32   `json:"tokens"`
		Positions  []int32   `json:"positions"`
		CuSeqlens  []int32   `json:"cu_seqlens"`
		Reads      []int32   `json:"reads"`
		Target     []float64 `json:"target"`
		Weight     []float64 `json:"weight"`
		Kind       []string  `json:"kind"`
		Trajectory []int32   `json:"trajectory"`
	}
	path := filepath.Join(dir, "batch.json")
	if err := readJSON(path, &b); err != nil {
		return nil, err
	}
	r := len(b.Reads)
	if len(b.Positions) != len(b.Tokens) || len(b.Target) != r || len(b.Weight) != r || len(b.Kind) != r || len(b.CuSeqlens) < 2 {
		return nil, fmt.Errorf("%s: lists of different lengths", path)
	}
	batch := &data.Batch{Tokens: b.Tokens, Positions: b.Positions, CuSeqlens: b.CuSeqlens, Reads: b.Reads,
		Target: b.Target, Weight: b.Weight, Trajectory: b.Trajectory}
	for _, k := range b.Kind {
		switch k {
		case "step":
			batch.Kind = append(batch.Kind, data.KindStep)
		case "final":
			batch.Kind = append(batch.Kind, data.KindTrajectory)
		default:
			return nil, fmt.Errorf("%s: kind %q is neither step nor final", path, k)
		}
	}
	return batch, nil
}

// forward holds what forward.json and lora_forward.json say.
type forward struct {
	Loss      float64   `json:"loss"`
	LossStep  float64   `json:"loss_step"`
	LossFinal float64   `json:"loss_final"`
	GradNorm  *float64  `json:"grad_norm"`
	Logits    []float64 `json:"logits"`
	Values    []float64 `json:"values"`
}

// curve is one training run of training.json.
type curve struct {
	Loss        []float64          `json:"loss"`
	LossStep    []float64          `json:"loss_step"`
	LossFinal   []float64          `json:"loss_final"`
	GradNorm    []float64          `json:"grad_norm"`
	LR          []float64          `json:"lr"`
	LossAfter   float64            `json:"loss_after"`
	ValuesAfter []float64          `json:"values_after"`
	Trained     int                `json:"trained"`
	L2Norm      map[string]float64 `json:"l2_norm"`
}

// The training of every golden folder.
const (
	goldenSteps  = 50
	goldenWarmup = 5
	goldenBaseLR = 1e-3
)

func goldenLR(s int) float64 {
	if s < goldenWarmup {
		return goldenBaseLR * float64(s) / goldenWarmup
	}
	return goldenBaseLR * (1 + math.Cos(math.Pi*float64(s-goldenWarmup)/(goldenSteps-goldenWarmup))) / 2
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
