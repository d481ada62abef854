package parity

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/safetensors"
	"github.com/goprm/goprm/internal/shareddata"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	_ "github.com/goprm/goprm/internal/cpu"
)

// run compares a folder on a backend.
func run(t *testing.T, dir string, dtype tensor.Dtype, kernels string) (*Report, error) {
	t.Helper()
	backend, err := engine.Open("cpu", engine.Options{Kernels: kernels})
	require.NoError(t, err)
	defer func() { require.NoError(t, backend.Close()) }()
	return Run(dir, Options{DType: dtype, Backend: backend})
}

func agrees(t *testing.T, dir string) {
	for _, c := range []struct {
		dtype   tensor.Dtype
		kernels string
	}{{engine.F32, "auto"}, {engine.F32, "portable"}, {engine.F64, "auto"}} {
		t.Run(filepath.Base(dir)+"/"+engine.DTypeName(c.dtype)+"/"+c.kernels, func(t *testing.T) {
			report, err := run(t, dir, c.dtype, c.kernels)
			require.NoError(t, err)
			var table strings.Builder
			require.NoError(t, report.Write(&table))
			require.True(t, report.OK(), table.String())
		})
	}
}

func TestGoldens(t *testing.T) {
	heads, err := filepath.Glob("testdata/heads/*")
	require.NoError(t, err)
	require.Len(t, heads, 9)
	for _, dir := range append(heads, "testdata/wide", "testdata/sharded", "testdata/dim64", "testdata/dim128", "testdata/qwen3") {
		agrees(t, dir)
	}
}

func TestSharedGoldens(t *testing.T) {
	goldens := filepath.Join(shareddata.Dir(t), "data", "goldens")
	entries, err := os.ReadDir(filepath.Join(goldens, "heads"))
	require.NoError(t, err)
	var names []string
	for _, entry := range entries {
		names = append(names, filepath.Join("heads", entry.Name()))
	}
	require.NotEmpty(t, names)
	if !testing.Short() {
		names = append(names, "D", "E")
	}
	for _, name := range names {
		agrees(t, filepath.Join(goldens, name))
	}
}

// A comparison that cannot fail proves nothing: each quantity, changed by one percent, must be found.
func TestEachChangedQuantityIsFound(t *testing.T) {
	if testing.Short() {
		t.Skip("short: twenty-two whole comparisons")
	}
	for quantity, change := range map[string]func(dir string){
		"hidden": func(dir string) { scaleTensors(t, filepath.Join(dir, "forward.safetensors"), "hidden_f") },
		"logits": func(dir string) { scaleNumber(t, filepath.Join(dir, "forward.json"), "logits", 0) },
		"values": func(dir string) { scaleNumber(t, filepath.Join(dir, "forward.json"), "values", 3) },
		"loss":   func(dir string) { scaleNumber(t, filepath.Join(dir, "forward.json"), "loss_final", -1) },
		"gradients": func(dir string) {
			scaleTensors(t, filepath.Join(dir, "grads_f64.safetensors"), "layers.1.self_attn.k_proj.weight")
		},
		"lora loss": func(dir string) { scaleNumber(t, filepath.Join(dir, "lora_forward.json"), "loss_step", -1) },
		"lora gradients": func(dir string) {
			scaleTensors(t, filepath.Join(dir, "lora_grads_f64.safetensors"), "layers.0.mlp.up_proj.lora_A")
		},
		"full curve": func(dir string) { scaleNumber(t, filepath.Join(dir, "training.json"), "full/loss", 40) },
		"head curve": func(dir string) { scaleNumber(t, filepath.Join(dir, "training.json"), "head/grad_norm", 7) },
		"lora curve": func(dir string) { scaleNumber(t, filepath.Join(dir, "training.json"), "lora/values_after", 2) },
		"head l2 norms": func(dir string) {
			scaleNumber(t, filepath.Join(dir, "training.json"), "head/l2_norm/value_head.weight", -1)
		},
	} {
		t.Run(quantity, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "changed")
			require.NoError(t, os.CopyFS(dir, os.DirFS("testdata/wide")))
			change(dir)
			for _, dtype := range []tensor.Dtype{engine.F32, engine.F64} {
				report, err := run(t, dir, dtype, "auto")
				require.NoError(t, err)
				failed := ""
				for _, row := range report.Rows {
					if !row.OK() {
						failed += row.Quantity + ","
					}
				}
				require.Contains(t, failed, quantity+",", engine.DTypeName(dtype))
			}
		})
	}
}

// Every number and id of a head's expected.json, changed a little, must be found.
func TestEachChangedHeadNumberIsFound(t *testing.T) {
	for folder, fields := range map[string]map[string]string{
		"rlhflow":          {"logits": "logits", "scores": "scores", "input_ids": "token ids", "minus_id": "special ids"},
		"eurus":            {"log_ratios": "log_ratios", "scores": "scores", "accumulated": "accumulated", "input_ids": "token ids"},
		"mistral_window":   {"logits": "logits", "scores": "scores", "step_tag_id": "special ids"},
		"sequence_dynamic": {"logits": "logits", "scores": "scores", "sigmoid": "sigmoid"},
		"sequence_qwen3":   {"logits": "logits", "scores": "scores", "sigmoid": "sigmoid"},
	} {
		for field, quantity := range fields {
			dir := filepath.Join(t.TempDir(), "changed")
			require.NoError(t, os.CopyFS(dir, os.DirFS(filepath.Join("testdata/heads", folder))))
			var document map[string]any
			path := filepath.Join(dir, "expected.json")
			require.NoError(t, readJSON(path, &document))
			if list, ok := document[field].([]any); ok {
				list[len(list)-1] = list[len(list)-1].(float64) - 1
			} else if id, ok := document[field].(float64); ok {
				document[field] = id + 1
			} else {
				for _, dtype := range []string{"f32", "f64"} {
					list := document[dtype].(map[string]any)[field].([]any)
					if inner, ok := list[0].([]any); ok {
						list = inner
					}
					list[0] = list[0].(float64) * 1.02
				}
			}
			text, err := json.Marshal(document)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(path, text, 0o644))
			report, err := run(t, dir, engine.F32, "auto")
			require.NoError(t, err)
			var failed []string
			for _, row := range report.Rows {
				if !row.OK() {
					failed = append(failed, row.Quantity)
				}
			}
			require.Contains(t, failed, quantity, "%s %s", folder, field)
		}
	}
}

func TestEachMissingFileIsAnError(t *testing.T) {
	for _, name := range []string{"f32/config.json", "bf16/model.safetensors", "value_head.safetensors", "forward.json", "forward.safetensors",
		"grads_f64.safetensors", "lora_init/adapter_model.safetensors", "lora_init/adapter_config.json", "lora_forward.json",
		"lora_grads_f64.safetensors", "training.json"} {
		dir := filepath.Join(t.TempDir(), "incomplete")
		require.NoError(t, os.CopyFS(dir, os.DirFS("testdata/wide")))
		require.NoError(t, os.Remove(filepath.Join(dir, name)))
		_, err := run(t, dir, engine.F32, "auto")
		require.ErrorContains(t, err, filepath.Base(filepath.Dir(filepath.Join(dir, name))), name)
	}
	_, err := run(t, t.TempDir(), engine.F32, "auto")
	require.ErrorContains(t, err, "neither batch.json")
}

// scaleTensors multiplies by 1.01 every tensor whose name holds part.
func scaleTensors(t *testing.T, path, part string) {
	f, err := safetensors.Open(path)
	require.NoError(t, err)
	var tensors []safetensors.Tensor
	for _, info := range f.Tensors() {
		values, err := safetensors.AppendFloat64(nil, info, f.Bytes(info.Name))
		require.NoError(t, err)
		if strings.Contains(info.Name, part) {
			for i := range values {
				values[i] *= 1.01
			}
		}
		data, err := safetensors.AppendEncoded(nil, info.DType, values)
		require.NoError(t, err)
		tensors = append(tensors, safetensors.Tensor{Name: info.Name, DType: info.DType, Shape: info.Shape, Data: data})
	}
	require.NoError(t, f.Close())
	require.NoError(t, safetensors.Save(path, tensors, nil))
}

// scaleNumber multiplies by 1.01 the number at keys (or the index-th of the list there), in both f32 and f64 where the file has both.
func scaleNumber(t *testing.T, path, keys string, index int) {
	var document map[string]any
	require.NoError(t, readJSON(path, &document))
	changed := 0
	var visit func(at map[string]any, keys []string)
	visit = func(at map[string]any, keys []string) {
		for _, dtype := range []string{"f32", "f64"} {
			if below, ok := at[dtype].(map[string]any); ok {
				visit(below, keys)
			}
		}
		switch below := at[keys[0]].(type) {
		case map[string]any:
			visit(below, keys[1:])
		case float64:
			at[keys[0]] = below * 1.01
			changed++
		case []any:
			below[index] = below[index].(float64) * 1.01
			changed++
		}
	}
	visit(document, strings.Split(keys, "/"))
	require.NotZero(t, changed)
	raw, err := json.Marshal(document)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, raw, 0o644))
}
