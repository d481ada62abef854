package hfmodel

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goprm/goprm/internal/checkpoint"
	"github.com/goprm/goprm/internal/safetensors"
	"github.com/goprm/goprm/internal/shareddata"
	"github.com/stretchr/testify/require"
)

// recogniseNone stands for internal/formats, which tests the heads of folders.
func recogniseNone(*Config, *Weights) (string, []string) { return "none", nil }

func describe(t *testing.T, path string) *Description {
	t.Helper()
	found, err := Describe(path, recogniseNone)
	require.NoError(t, err, path)
	require.Equal(t, path, found.Path)
	text, err := json.Marshal(found)
	require.NoError(t, err)
	var back Description
	require.NoError(t, json.Unmarshal(text, &back))
	require.Equal(t, found.Kind, back.Kind)
	require.Contains(t, found.String(), path)
	return found
}

// The own goldens have what the shared ones lack: scaled rotation, windows.
func TestDescribeScaling(t *testing.T) {
	heads := filepath.Join("..", "parity", "testdata", "heads")
	for folder, want := range map[string]string{
		"yarn_window": "512, rotary base 10000, scaling yarn, sliding window 20", "mistral_window": "512, rotary base 10000, sliding window 24",
		"rlhflow": "512, rotary base 500, scaling llama3", "eurus": "512, rotary base 10000\n",
	} {
		require.Contains(t, describe(t, filepath.Join(heads, folder)).String(), want)
	}
}

func TestDescribeModel(t *testing.T) {
	m := tinyModel(t, nil)
	m.set("model.norm.weight", safetensors.F32, 8)
	dir := m.write(t, byLayer)
	overwrite(t, dir, goprmName, "{}")
	found := describe(t, dir).Model
	// Embedding and lm_head 11·8 each, layers of 2·8 + (8+4+4)·9 + 8·8 + 3·12·8, norm 8.
	require.EqualValues(t, 11*8+2*(16+144+64+288)+8, found.TrunkParameters)
	require.EqualValues(t, found.TrunkParameters+11*8, found.Parameters)
	require.Equal(t, map[string]int{"BF16": 2*12 + 2, "F32": 1}, found.DTypes)
	require.Equal(t, 27, found.Tensors)
	require.Equal(t, 2, found.Files)
	require.True(t, found.Goprm)
	require.Nil(t, found.Tokenizer)
	overwrite(t, dir, TokenizerName, `{"model":{"type":"BPE","vocab":{"a":0,"b":10},"merges":[]},"added_tokens":[]}`)
	require.Equal(t, 10, describe(t, dir).Model.Tokenizer.LargestID)
	overwrite(t, dir, TokenizerName, `{"model":{"type":"BPE","vocab":{"a":0,"b":10},"merges":[]},"added_tokens":[{"id":11}]}`)
	_, err := Describe(dir, recogniseNone)
	require.ErrorContains(t, err, "token ids up to 11, but the model's vocab_size is 11")
}

func TestDescribeSharedBadFiles(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(shareddata.Dir(t), "data", "badinput", "safetensors", "*"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, path := range files {
		if strings.HasPrefix(filepath.Base(path), "ok_") {
			require.Equal(t, "safetensors", describe(t, path).Kind)
			continue
		}
		_, err := Describe(path, recogniseNone)
		require.ErrorContains(t, err, path+": ")
	}
}

func TestDescribeTensors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "head.safetensors")
	require.NoError(t, safetensors.Save(path, []safetensors.Tensor{
		{Name: "a", DType: safetensors.F32, Shape: []int{2, 3}, Data: make([]byte, 24)},
		{Name: "scalar\x1b[2J", DType: safetensors.BF16, Data: make([]byte, 2)},
	}, map[string]string{"format": "pt"}))
	found := describe(t, path)
	require.EqualValues(t, 7, found.Tensors.Elements)
	require.Equal(t, map[string]int{"F32": 1, "BF16": 1}, found.Tensors.DTypes)
	require.NotContains(t, found.String(), "\x1b", "a name from a file reached the terminal raw")
	require.Contains(t, found.String(), "F32 [2 3]")
}

func TestDescribeCheckpoint(t *testing.T) {
	root := filepath.Join(t.TempDir(), "checkpoints")
	file := checkpoint.File{Name: "state", Write: func(w io.Writer) error { _, err := w.Write(make([]byte, 3000)); return err }}
	require.NoError(t, checkpoint.Save(root, 7, map[string]int{"seed": 3}, []checkpoint.File{file}, checkpoint.Keep{}))
	dir := filepath.Join(root, "step-00000007")
	found := describe(t, dir)
	require.Equal(t, &CheckpointDescription{Step: 7, Bytes: 3000, Files: map[string]int64{"state": 3000}, Meta: found.Checkpoint.Meta},
		found.Checkpoint)
	require.JSONEq(t, `{"seed":3}`, string(found.Checkpoint.Meta))
	require.Contains(t, found.String(), "2.9 KiB")
	require.NoError(t, os.Truncate(filepath.Join(dir, "state"), 2999))
	_, err := Describe(dir, recogniseNone)
	require.ErrorContains(t, err, "state: 2999 bytes, the manifest says 3000")
}

func TestDescribeAdapter(t *testing.T) {
	found := describe(t, filepath.Join(shareddata.Dir(t), "data", "goldens", "D", "lora_init"))
	require.Equal(t, "adapter", found.Kind)
	require.Equal(t, 4, found.Adapter.Rank)
	require.EqualValues(t, 8, found.Adapter.Alpha)
	require.Equal(t, []string{"down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"}, found.Adapter.Targets)
	require.Len(t, found.Adapter.Tensors.Tensors, 2*7*2)
	require.Contains(t, found.String(), "down_proj, gate_proj")

	dir := t.TempDir()
	overwrite(t, dir, AdapterConfigName, `{"peft_type":"LORA","r":2,"lora_alpha":4,"target_modules":"all-linear",`+
		`"base_model_name_or_path":"base"}`)
	_, err := Describe(dir, recogniseNone)
	require.ErrorContains(t, err, AdapterWeightsName)
	require.NoError(t, safetensors.Save(filepath.Join(dir, AdapterWeightsName), nil, nil))
	require.Equal(t, []string{"all-linear"}, describe(t, dir).Adapter.Targets)
	for content, message := range map[string]string{
		`{"peft_type":"IA3"}`:                                   `peft_type "IA3" is not supported`,
		`{"peft_type":"LORA"}`:                                  "r is missing",
		`{"peft_type":"LORA","r":0}`:                            "r is 0",
		`{"peft_type":"LORA","r":1,"target_modules":{"a":"b"}}`: "target_modules is",
	} {
		overwrite(t, dir, AdapterConfigName, content)
		_, err := Describe(dir, recogniseNone)
		require.ErrorContains(t, err, message)
	}
}

func TestDescribeTokenizer(t *testing.T) {
	found := describe(t, filepath.Join(shareddata.Dir(t), "data", "tokenizer", "qwen2.5", TokenizerName))
	require.Equal(t, &TokenizerDescription{Model: "BPE", Vocabulary: 151643, Merges: 151387, AddedTokens: 22, LargestID: 151664},
		found.Tokenizer)
	folder := describe(t, filepath.Dir(found.Path))
	require.Equal(t, "tokenizer", folder.Kind)
	require.Equal(t, found.Tokenizer, folder.Tokenizer)
	unigram := filepath.Join(t.TempDir(), TokenizerName)
	require.NoError(t, os.WriteFile(unigram, []byte(`{"model":{"type":"Unigram","vocab":[["a",-1.5],["b",-2]]}}`), 0o644))
	require.Equal(t, &TokenizerDescription{Model: "Unigram", Vocabulary: 2, LargestID: 1}, describe(t, unigram).Tokenizer)
}

func TestDescribeRefuses(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct{ content, message string }{
		"empty.safetensors":  {"", "the file is empty"},
		"empty.json":         {"", "the file is empty"},
		"pytorch_model.bin":  {"x", "not a file that torch.save writes"},
		"notes.txt":          {"x", "neither a safetensors file, a state dict of PyTorch, a tokenizer.json nor a folder"},
		"other.json":         {`{"a":1}`, "not a tokenizer: model.vocab is missing"},
		"novocab.json":       {`{"model":{"vocab":{}}}`, "model.vocab is missing or empty"},
		"badvocab.json":      {`{"model":{"vocab":{"a":"b"}}}`, "model.vocab: "},
		"badmodel.json":      {`{"model":3}`, "not a tokenizer"},
		"cut.json":           {`{"model":`, "not JSON"},
		"truncated.json":     {`{"model":{"vocab":{"a":0}}`, "not JSON"},
		"longer.safetensors": {"\x02\x00\x00\x00\x00\x00\x00\x00{}!", "belong to no tensor"},
	} {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(c.content), 0o644))
		_, err := Describe(path, recogniseNone)
		require.ErrorContains(t, err, path+": ")
		require.ErrorContains(t, err, c.message, name)
	}
	_, err := Describe(dir, recogniseNone)
	require.ErrorContains(t, err, "not a model, adapter, checkpoint or tokenizer folder")
	_, err = Describe(filepath.Join(dir, "absent"), recogniseNone)
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = Describe(os.DevNull, recogniseNone)
	require.ErrorContains(t, err, "not a regular file")
}

// What config.json says of the head's classes must be what the weights hold; a head has one place.
func TestHeadsThatContradict(t *testing.T) {
	classes := func(edits map[string]string) map[string]string {
		edits["architectures"] = `["Qwen2ForTokenClassification"]`
		return edits
	}
	for _, c := range []struct {
		config  map[string]string
		tensors map[string][]int
		message string
	}{
		{classes(map[string]string{"num_labels": "3"}), map[string][]int{"score.weight": {2, 8}, "score.bias": {2}},
			"the head has 2 rows, but config.json says 3 labels"},
		{classes(map[string]string{"id2label": `{"0":"good"}`}), map[string][]int{"score.weight": {2, 8}, "score.bias": {2}},
			"but config.json says 1 labels"},
		{classes(map[string]string{}), map[string][]int{"score.weight": {1, 8}, "score.bias": {1}},
			"the head has 1 rows, but config.json says 2 labels"},
		{nil, map[string][]int{"score.weight": {2, 8}, "v_head.summary.weight": {1, 8}}, "two heads, score.weight and v_head.summary.weight"},
	} {
		m := tinyModel(t, c.config)
		for name, shape := range c.tensors {
			m.set(name, safetensors.F32, shape...)
		}
		_, err := Describe(m.write(t, nil), recogniseNone)
		require.ErrorContains(t, err, c.message)
	}
}

// Value heads in files of their own are read as if they lay in the weights; other files and tensors that may be heads are refused.
func TestHeadFiles(t *testing.T) {
	m := tinyModel(t, nil)
	dir := m.write(t, nil)
	head := tinyModel(t, nil)
	clear(head.tensors)
	head.set("v_head.summary.weight", safetensors.F32, 1, 8)
	head.set("v_head.summary.bias", safetensors.F32, 1)
	written := head.write(t, nil)
	text, err := os.ReadFile(filepath.Join(written, SingleName))
	require.NoError(t, err)
	before, err := Hash(dir)
	require.NoError(t, err)
	overwrite(t, dir, "value_head.safetensors", string(text))
	require.Subset(t, describe(t, dir).Model.Extra, []string{"v_head.summary.weight", "v_head.summary.bias"})
	after, err := Hash(dir)
	require.NoError(t, err)
	require.NotEqual(t, before, after, "the head is part of the content")
	overwrite(t, dir, "value_head.bin", "PK")
	_, err = Describe(dir, recogniseNone)
	require.ErrorContains(t, err, "holds value_head.safetensors and value_head.bin")
	require.NoError(t, os.Remove(filepath.Join(dir, "value_head.bin")))

	w, err := OpenWeights(dir)
	require.NoError(t, err)
	defer func() { require.NoError(t, w.Close()) }()
	for _, name := range []string{"training_args.bin", "optimizer.pt", "rng_state_0.pth", "pytorch_model.bin", "notes.txt"} {
		overwrite(t, dir, name, "x")
	}
	require.NoError(t, CheckUsed(w, []string{"v_head.summary.weight"}, nil))
	require.ErrorContains(t, CheckUsed(w, []string{"v_head.summary.weight", "score.4.weight"}, nil), "score.4.weight")
	for _, name := range []string{"reward_head.pt", "v_head.bin", "score.pth", "head.safetensors"} {
		overwrite(t, dir, name, "x")
		require.ErrorContains(t, CheckUsed(w, nil, nil), name+": it is none of the weights that are read")
		require.NoError(t, CheckUsed(w, nil, []string{name}))
		require.NoError(t, os.Remove(filepath.Join(dir, name)))
	}
}
