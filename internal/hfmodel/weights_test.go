package hfmodel

import (
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goprm/goprm/internal/safetensors"
	"github.com/goprm/goprm/internal/shareddata"
	"github.com/stretchr/testify/require"
)

// model is a folder in the making: tests start from a valid one and break it.
type model struct {
	config  []byte
	tensors map[string]safetensors.Tensor
}

// tinyModel is a whole Qwen2 causal LM of zeros.
func tinyModel(t testing.TB, edits map[string]string) *model {
	t.Helper()
	m := &model{config: tinyConfig(t, edits), tensors: map[string]safetensors.Tensor{}}
	config, err := ParseConfig(m.config)
	require.NoError(t, err)
	for _, spec := range config.TrunkTensors() {
		m.set("model."+spec.Name, safetensors.BF16, spec.Shape...)
	}
	m.set(lmHead, safetensors.BF16, config.VocabSize, config.HiddenSize)
	return m
}

func (m *model) set(name string, dtype safetensors.DType, shape ...int) {
	data := make([]byte, elements(shape)*dtype.Size())
	m.tensors[name] = safetensors.Tensor{Name: name, DType: dtype, Shape: shape, Data: data}
}

// write stores the model, in shards as assigned (tensor name to shard; "" for a single file).
func (m *model) write(t testing.TB, shardOf func(name string) string) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, ConfigName), m.config, 0o644))
	if shardOf == nil {
		require.NoError(t, safetensors.Save(filepath.Join(dir, SingleName), slices.Collect(maps.Values(m.tensors)), nil))
		return dir
	}
	shards, index := map[string][]safetensors.Tensor{}, map[string]string{}
	for name, tensor := range m.tensors {
		index[name] = shardOf(name)
		shards[index[name]] = append(shards[index[name]], tensor)
	}
	for name, tensors := range shards {
		require.NoError(t, safetensors.Save(filepath.Join(dir, name), tensors, nil))
	}
	writeIndex(t, dir, index)
	return dir
}

func writeIndex(t testing.TB, dir string, index map[string]string) {
	t.Helper()
	text, err := json.Marshal(map[string]any{"metadata": map[string]int{"total_size": 1}, "weight_map": index})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, IndexName), text, 0o644))
}

// check opens a folder and checks its trunk.
func check(t testing.TB, dir string) (*Trunk, *Weights, error) {
	t.Helper()
	config, err := ReadConfig(dir)
	require.NoError(t, err)
	weights, err := OpenWeights(dir)
	if err != nil {
		return nil, nil, err
	}
	t.Cleanup(func() { require.NoError(t, weights.Close()) })
	trunk, err := CheckTrunk(config, weights)
	return trunk, weights, err
}

func byLayer(name string) string {
	if strings.Contains(name, "layers.1.") {
		return "model-00002-of-00002.safetensors"
	}
	return "model-00001-of-00002.safetensors"
}

func TestGoldenTrunks(t *testing.T) {
	goldens := filepath.Join(shareddata.Dir(t), "data", "goldens")
	for folder, parameters := range map[string]int64{
		// Counted by hand from the shapes: embedding + layers·(2 norms + q,k,v with bias + o + 3 of the MLP) + norm.
		"D/f32": 320*80 + 2*(2*80+(80+16+16)*81+80*80+3*192*80) + 80, "D/bf16": 320*80 + 2*(2*80+(80+16+16)*81+80*80+3*192*80) + 80,
		"E/f32": 256*64 + 3*(2*64+(64+32+32)*65+64*64+3*128*64) + 64, "E/bf16": 256*64 + 3*(2*64+(64+32+32)*65+64*64+3*128*64) + 64,
		"heads/math_shepherd_mistral": 288*32 + 2*(2*32+(32+16+16)*32+32*32+3*80*32) + 32,
	} {
		trunk, weights, err := check(t, filepath.Join(goldens, folder))
		require.NoError(t, err, folder)
		require.Equal(t, "model.", trunk.Prefix)
		require.Equal(t, parameters, trunk.Parameters, folder)
		require.Equal(t, folder[0] != 'E', trunk.HasLMHead, folder)
		require.Empty(t, trunk.Extra)
		norm, found := weights.Lookup("model.norm.weight")
		require.True(t, found)
		require.EqualValues(t, norm.Info.Bytes(), len(norm.Bytes))
		require.Equal(t, "model.norm.weight", norm.Info.Name)
		if folder[0] == 'E' {
			require.Equal(t, "model-00003-of-00003.safetensors", filepath.Base(norm.File.Path()))
		}
	}
}

func TestShardsSayTheSameAsOneFile(t *testing.T) {
	whole := tinyModel(t, nil)
	one, weights1, err := check(t, whole.write(t, nil))
	require.NoError(t, err)
	two, weights2, err := check(t, whole.write(t, byLayer))
	require.NoError(t, err)
	require.Equal(t, one, two)
	require.Equal(t, weights1.Names(), weights2.Names())
	require.Len(t, weights2.Files(), 2)
	require.Len(t, weights1.Names(), len(whole.tensors))
	_, found := weights1.Lookup("absent")
	require.False(t, found)
}

func TestTrunkFaults(t *testing.T) {
	for message, breakIt := range map[string]func(*model){
		`tensor "model.layers.1.self_attn.k_proj.bias" is missing`: func(m *model) {
			delete(m.tensors, "model.layers.1.self_attn.k_proj.bias")
			delete(m.tensors, "model.norm.weight") // later in the forward pass
		},
		`tensor "model.embed_tokens.weight" is missing`: func(m *model) {
			delete(m.tensors,
				"model.embed_tokens.weight")
		},
		`tensor "model.embed_tokens.weight": shape [12 8], config.json asks for [11 8]`: func(m *model) {
			m.set("model.embed_tokens.weight",
				safetensors.F32, 12, 8)
		},
		`tensor "model.layers.0.mlp.down_proj.weight": shape [12 8]`: func(m *model) {
			m.set("m"+
				"odel.layers.0.mlp.down_proj.weight", safetensors.F32, 12, 8)
		},
		`tensor "model.layers.0.self_attn.q_proj.weight": dtype I8`: func(m *model) {
			m.set("m"+
				"odel.layers.0.self_attn.q_proj.weight", safetensors.I8, 8, 8)
		},
		`tensor "model.layers.0.self_attn.v_proj.bias": shape [1 4], config.json asks for [4]`: func(m *model) {
			m.set("m"+
				"odel.layers.0.self_attn.v_proj.bias", safetensors.F16, 1, 4)
		},
		`tensor "model.layers.0.self_attn.q_norm.weight" has no place`: func(m *model) {
			m.set("m"+
				"odel.layers.0.self_attn.q_norm.weight", safetensors.F32, 2)
		},
		`tensor "model.layers.2.input_layernorm.weight" has no place in a qwen2 of 2 layers`: func(m *model) {
			m.set("m"+
				"odel.layers.2.input_layernorm.weight", safetensors.F32, 8)
		},
		`tensor "model.layers.0.self_attn.o_proj.bias" has no place`: func(m *model) {
			m.set("model.layers.0.self_attn.o_proj.bias",
				safetensors.F32, 8)
		},
		`holds both "model.embed_tokens.weight" and "embed_tokens.weight"`: func(m *model) {
			m.set("embed_tokens.weight", safetensors.F32, 11,
				8)
		},
		`tensor "lm_head.weight": shape [11 4]`: func(m *model) { m.set(lmHead, safetensors.F32, 11, 4) },
	} {
		m := tinyModel(t, nil)
		breakIt(m)
		dir := m.write(t, nil)
		_, _, err := check(t, dir)
		require.ErrorContains(t, err, message)
		require.ErrorContains(t, err, dir)
	}
	// A bias that the configuration says is not there would be left out silently.
	m := tinyModel(t, map[string]string{"model_type": `"mistral"`, "architectures": `["MistralForCausalLM"]`})
	_, _, err := check(t, m.write(t, nil))
	require.NoError(t, err)
	m.set("model.layers.0.self_attn.q_proj.bias", safetensors.F32, 8)
	_, _, err = check(t, m.write(t, nil))
	require.ErrorContains(t, err, `"model.layers.0.self_attn.q_proj.bias" has no place in a mistral`)
}

func TestTrunkVariants(t *testing.T) {
	m := tinyModel(t, nil)
	bare := &model{config: m.config, tensors: map[string]safetensors.Tensor{}}
	for name, tensor := range m.tensors {
		if inner, ok := strings.CutPrefix(name, "model."); ok {
			tensor.Name = inner
			bare.tensors[inner] = tensor
		}
	}
	bare.set("layers.1.self_attn.rotary_emb.inv_freq", safetensors.F32, 1)
	bare.set("score.weight", safetensors.F32, 2, 8)
	bare.set("another", safetensors.I64, 3)
	trunk, _, err := check(t, bare.write(t, nil))
	require.NoError(t, err)
	require.Equal(t, &Trunk{Prefix: "", Parameters: trunk.Parameters, Extra: []string{"another", "score.weight"}}, trunk)

	wide := tinyModel(t, map[string]string{"head_dim": "6"}) // 4 heads of 6 on a hidden size of 8
	require.Equal(t, []int{24, 8}, wide.tensors["model.layers.0.self_attn.q_proj.weight"].Shape)
	require.Equal(t, []int{8, 24}, wide.tensors["model.layers.0.self_attn.o_proj.weight"].Shape)
	_, _, err = check(t, wide.write(t, nil))
	require.NoError(t, err)
}

func TestShardFaults(t *testing.T) {
	const first, second = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
	index := map[string]string{}
	for name := range tinyModel(t, nil).tensors {
		index[name] = byLayer(name)
	}
	edited := func(name, shard string) map[string]string {
		changed := maps.Clone(index)
		changed[name] = shard
		return changed
	}
	for message, breakIt := range map[string]func(t *testing.T, dir string){
		`shard "model-00002-of-00002.safetensors" is missing`: func(t *testing.T,
			dir string) {
			require.NoError(t, os.Remove(filepath.Join(dir, second)))
		},
		`tensor "model.extra" is not in shard "` + first + `"`: func(t *testing.T,
			dir string) {
			writeIndex(t, dir, edited("model.extra", first))
		},
		`tensor "model.norm.weight" is not in shard "` + second + `"`: func(t *testing.T,
			dir string) {
			writeIndex(t, dir, edited("model.norm.weight", second))
		},
		`tensor "model.norm.weight" is in shard "` + first + `" too`: func(t *testing.T, dir string) {
			file, err := safetensors.Open(filepath.Join(dir, second))
			require.NoError(t, err)
			tensors := []safetensors.Tensor{{Name: "model.norm.weight", DType: safetensors.BF16, Shape: []int{8}, Data: make([]byte, 16)}}
			for _, info := range file.Tensors() {
				tensors = append(tensors, safetensors.Tensor{Name: info.Name, DType: info.DType, Shape: info.Shape, Data: file.Bytes(info.Name)})
			}
			require.NoError(t, safetensors.Save(filepath.Join(dir, second), tensors, nil))
			require.NoError(t, file.Close())
		},
		"beyond end of file": func(t *testing.T, dir string) {
			info, err := os.Stat(filepath.Join(dir, second))
			require.NoError(t, err)
			require.NoError(t, os.Truncate(filepath.Join(dir, second), info.Size()-1))
		},
		`"../model.safetensors" is not the name of a .safetensors file in this folder`: func(t *testing.T,
			dir string) {
			writeIndex(t, dir, edited("x", "../model.safetensors"))
		},
		`"/etc/x.safetensors" is not the name`: func(t *testing.T, dir string) { writeIndex(t, dir, edited("x", "/etc/x.safetensors")) },
		`"pytorch_model.bin" is not the name`:  func(t *testing.T, dir string) { writeIndex(t, dir, edited("x", "pytorch_model.bin")) },
		`weight_map is empty`:                  func(t *testing.T, dir string) { writeIndex(t, dir, map[string]string{}) },
		`weight_map is not an object`:          func(t *testing.T, dir string) { overwrite(t, dir, IndexName, `{"metadata":{}}`) },
		`"a" is there twice`: func(t *testing.T, dir string) {
			overwrite(t, dir, IndexName, `{"weight_map":{"a":"x.safetensors","a":"y.safetensors"}}`)
		},
		`tensor "a": shard is not a text`: func(t *testing.T,
			dir string) {
			overwrite(t, dir, IndexName, `{"weight_map":{"a":["x.safetensors"]}}`)
		},
		IndexName + `: the file is empty`: func(t *testing.T, dir string) { overwrite(t, dir, IndexName, "") },
		`neither model.safetensors nor`:   func(t *testing.T, dir string) { require.NoError(t, os.Remove(filepath.Join(dir, IndexName))) },
		`is not the name of a .bin file in this folder`: func(t *testing.T, dir string) {
			require.NoError(t, os.Rename(filepath.Join(dir, IndexName), filepath.Join(dir, TorchIndexName)))
		},
	} {
		dir := tinyModel(t, nil).write(t, byLayer)
		breakIt(t, dir)
		_, _, err := check(t, dir)
		require.ErrorContains(t, err, message)
		require.ErrorContains(t, err, dir)
	}
	_, err := OpenWeights(filepath.Join(t.TempDir(), "absent"))
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func overwrite(t *testing.T, dir, name, content string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644))
}

func TestHash(t *testing.T) {
	m := tinyModel(t, nil)
	hash := func(dir string) string {
		t.Helper()
		sum, err := Hash(dir)
		require.NoError(t, err)
		require.Len(t, sum, 64)
		return sum
	}
	dir := m.write(t, byLayer)
	base := hash(dir)
	require.Equal(t, base, hash(m.write(t, byLayer)), "same content, another folder")
	require.NotEqual(t, base, hash(m.write(t, nil)))
	overwrite(t, dir, "README.md", "not part of the model")
	require.Equal(t, base, hash(dir))
	for _, name := range []string{ConfigName, IndexName, "model-00002-of-00002.safetensors"} {
		path := filepath.Join(dir, name)
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		text[len(text)-1] ^= 1
		if name == IndexName { // stays readable: a blank more
			text[len(text)-1] ^= 1
			text = append(text, ' ')
		}
		overwrite(t, dir, name, string(text))
		require.NotEqual(t, base, hash(dir), name)
		base = hash(dir)
	}
	require.NoError(t, os.Remove(filepath.Join(dir, ConfigName)))
	_, err := Hash(dir)
	require.ErrorIs(t, err, fs.ErrNotExist)
}
