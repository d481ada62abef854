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

func describe(t *testing.T, path string) *Description {
	t.Helper()
	found, err := Describe(path)
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

func TestGoldenFormats(t *testing.T) {
	heads := filepath.Join(shareddata.Dir(t), "data", "goldens", "heads")
	for folder, want := range map[string]struct {
		formats []string
		head    string
	}{
		"qwen_math_prm":           {[]string{"qwen_math_prm"}, "two-class MLP"},
		"math_shepherd_qwen2":     {[]string{"math_shepherd", "rlhflow", "eurus"}, "lm_head"},
		"math_shepherd_mistral":   {[]string{"math_shepherd", "rlhflow", "eurus"}, "lm_head"},
		"reasonflux_1_5b":         {[]string{"reasonflux_1_5b"}, "reward_head.pt"},
		"skywork_prm":             {[]string{"skywork"}, "v_head"},
		"token_classification":    {[]string{"token_classification", "pure"}, "linear to 2 with bias"},
		"sequence_classification": {[]string{"sequence_classification"}, "without bias"},
	} {
		found := describe(t, filepath.Join(heads, folder))
		require.Equal(t, "model", found.Kind)
		require.Equal(t, want.formats, found.Model.Formats, folder)
		require.Contains(t, found.Model.Head, want.head, folder)
		require.Equal(t, &TokenizerDescription{Model: "BPE", Vocabulary: 269, Merges: 13, AddedTokens: 4, LargestID: 272}, found.Model.Tokenizer)
		require.Contains(t, found.String(), strings.Join(want.formats, ", "))
		require.False(t, found.Model.Goprm)
	}
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

func TestFormats(t *testing.T) {
	type edit func(m *model)
	without := func(m *model) { delete(m.tensors, lmHead) }
	tensor := func(name string, shape ...int) edit { return func(m *model) { m.set(name, safetensors.F32, shape...) } }
	architecture := func(name string) map[string]string { return map[string]string{"architectures": `["` + name + `"]`} }
	one := func(name string) map[string]string { // label
		return map[string]string{"architectures": `["` + name + `"]`, "num_labels": "1"}
	}
	for name, c := range map[string]struct {
		config map[string]string
		edits  []edit
		want   []string
	}{
		"skywork":               {nil, []edit{tensor("v_head.summary.weight", 1, 8), tensor("v_head.summary.bias", 1)}, []string{"skywork"}},
		"value head to 2":       {nil, []edit{tensor("v_head.summary.weight", 2, 8), tensor("v_head.summary.bias", 2)}, []string{}},
		"process reward":        {architecture("Qwen2ForProcessRewardModel"), []edit{without, tensor("score.0.weight", 8, 8), tensor("score.0.bias", 8), tensor("score.2.weight", 2, 8), tensor("score.2.bias", 2)}, []string{"qwen_math_prm"}},
		"outcome reward":        {architecture("Qwen2ForRewardModel"), []edit{without, tensor("score.0.weight", 8, 8), tensor("score.0.bias", 8), tensor("score.2.weight", 1, 8), tensor("score.2.bias", 1)}, []string{}},
		"scalar":                {one("Qwen2ForTokenClassification"), []edit{without, tensor("score.weight", 1, 8), tensor("score.bias", 1)}, []string{}},
		"two classes":           {architecture("Qwen2ForTokenClassification"), []edit{without, tensor("score.weight", 2, 8), tensor("score.bias", 2)}, []string{"token_classification", "pure"}},
		"two classes, nameless": {map[string]string{"architectures": ""}, []edit{without, tensor("score.weight", 2, 8), tensor("score.bias", 2)}, []string{"token_classification", "pure"}},
		"sequence":              {one("Qwen2ForSequenceClassification"), []edit{without, tensor("score.weight", 1, 8)}, []string{"sequence_classification"}},
		"score of another size": {one("Qwen2ForSequenceClassification"), []edit{without, tensor("score.weight", 1, 9)}, []string{}},
		"causal":                {nil, nil, []string{"math_shepherd", "rlhflow", "eurus"}},
		"causal without head":   {nil, []edit{without}, []string{}},
		"causal, tied":          {map[string]string{"tie_word_embeddings": "true"}, []edit{without}, []string{"math_shepherd", "rlhflow", "eurus"}},
		"base":                  {architecture("Qwen2Model"), []edit{without}, []string{}},
	} {
		m := tinyModel(t, c.config)
		for _, change := range c.edits {
			change(m)
		}
		require.Equal(t, c.want, describe(t, m.write(t, nil)).Model.Formats, name)
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
	_, err := Describe(dir)
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
		_, err := Describe(path)
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
	require.Equal(t, &CheckpointDescription{Step: 7, Bytes: 3000, Files: map[string]int64{"state": 3000}, Meta: found.Checkpoint.Meta}, found.Checkpoint)
	require.JSONEq(t, `{"seed":3}`, string(found.Checkpoint.Meta))
	require.Contains(t, found.String(), "2.9 KiB")
	require.NoError(t, os.Truncate(filepath.Join(dir, "state"), 2999))
	_, err := Describe(dir)
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
	overwrite(t, dir, AdapterConfigName, `{"peft_type":"LORA","r":2,"lora_alpha":4,"target_modules":"all-linear","base_model_name_or_path":"base"}`)
	_, err := Describe(dir)
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
		_, err := Describe(dir)
		require.ErrorContains(t, err, message)
	}
}

func TestDescribeTokenizer(t *testing.T) {
	found := describe(t, filepath.Join(shareddata.Dir(t), "data", "tokenizer", "qwen2.5", TokenizerName))
	require.Equal(t, &TokenizerDescription{Model: "BPE", Vocabulary: 151643, Merges: 151387, AddedTokens: 22, LargestID: 151664}, found.Tokenizer)
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
		_, err := Describe(path)
		require.ErrorContains(t, err, path+": ")
		require.ErrorContains(t, err, c.message, name)
	}
	_, err := Describe(dir)
	require.ErrorContains(t, err, "not a model, adapter, checkpoint or tokenizer folder")
	_, err = Describe(filepath.Join(dir, "absent"))
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = Describe(os.DevNull)
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
		{classes(map[string]string{"num_labels": "3"}), map[string][]int{"score.weight": {2, 8}, "score.bias": {2}}, "the head has 2 rows, but config.json says 3 labels"},
		{classes(map[string]string{"id2label": `{"0":"good"}`}), map[string][]int{"score.weight": {2, 8}, "score.bias": {2}}, "but config.json says 1 labels"},
		{classes(map[string]string{}), map[string][]int{"score.weight": {1, 8}, "score.bias": {1}}, "the head has 1 rows, but config.json says 2 labels"},
		{nil, map[string][]int{"score.weight": {2, 8}, "v_head.summary.weight": {1, 8}}, "two heads, score.weight and v_head.summary.weight"},
	} {
		m := tinyModel(t, c.config)
		for name, shape := range c.tensors {
			m.set(name, safetensors.F32, shape...)
		}
		_, err := Describe(m.write(t, nil))
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
	require.Equal(t, []string{"skywork"}, describe(t, dir).Model.Formats)
	after, err := Hash(dir)
	require.NoError(t, err)
	require.NotEqual(t, before, after, "the head is part of the content")
	overwrite(t, dir, "value_head.bin", "PK")
	_, err = Describe(dir)
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
