package prm

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/hfmodel"
	"github.com/goprm/goprm/internal/modelfolder"
	"github.com/goprm/goprm/internal/safetensors"
	"github.com/goprm/goprm/internal/shareddata"
	"github.com/goprm/goprm/loss"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// shelf is the trajectory that the reference's figures are of.
var shelf = &data.Trajectory{ID: "a", Problem: "A shelf holds 4 rows of 9 books; 5 are lent out. How many are left?",
	ResponseSteps: []string{"There are 4 * 9 = 36 books.", "Wait, some are lent out: 36 - 5 = 31.",
		"The shelf still holds \\boxed{31} books."}}

// goldenHead is a copy of a golden head whose files edits change: keys of a JSON file, where nil removes one.
func goldenHead(t *testing.T, name string, edits map[string]map[string]any) string {
	t.Helper()
	from, dir := filepath.Join(shareddata.Dir(t), "data", "goldens", "heads", name), t.TempDir()
	files, err := os.ReadDir(from)
	require.NoError(t, err)
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(from, f.Name()))
		require.NoError(t, err)
		if keys := edits[f.Name()]; keys != nil {
			values := map[string]any{}
			require.NoError(t, json.Unmarshal(b, &values))
			maps.Copy(values, keys)
			maps.DeleteFunc(values, func(_ string, v any) bool { return v == remove{} })
			b, err = json.Marshal(values)
			require.NoError(t, err)
		}
		require.NoError(t, os.WriteFile(filepath.Join(dir, f.Name()), b, 0o600))
	}
	return dir
}

// remove stands for a key that is to be absent.
type remove struct{}

func stepScores(t *testing.T, dir string, trajectory *data.Trajectory, o OpenOptions) []float64 {
	t.Helper()
	m, err := Open(dir, o)
	require.NoError(t, err)
	defer func() { require.NoError(t, m.Close()) }()
	score, err := m.Score(context.Background(), trajectory)
	require.NoError(t, err)
	var list []float64
	for _, s := range score.Steps {
		require.Zero(t, s.Window)
		list = append(list, s.Score)
	}
	return list
}

func openFails(t *testing.T, dir string, o OpenOptions) error {
	t.Helper()
	m, err := Open(dir, o)
	if err == nil {
		require.NoError(t, m.Close())
	}
	return err
}

// configKeys edits config.json alone.
func configKeys(keys map[string]any) map[string]map[string]any {
	return map[string]map[string]any{hfmodel.ConfigName: keys}
}

// The figures of these tests are what transformers 5.23.0 with torch 2.15.0 gives for the same folder.
const figures = 2e-5

func TestFaultLMHeadThatIsTiedByTheConfig(t *testing.T) {
	tied := goldenHead(t, "math_shepherd_qwen2", configKeys(map[string]any{"tie_word_embeddings": true}))
	require.InDeltaSlice(t, []float64{0.907585, 0.914101, 0.931138}, stepScores(t, tied, shelf, OpenOptions{Format: "math_shepherd"}), figures)
}

func TestFaultNamesOfClasses(t *testing.T) {
	first := []float64{0.170682, 0.202198, 0.177584} // P(class 0)
	second := []float64{0.829318, 0.797802, 0.822416}
	zero, one := 0, 1
	for _, c := range []struct {
		names [2]string
		good  *int
		want  []float64
	}{
		{[2]string{"correct", "incorrect"}, nil, first}, {[2]string{"+", "-"}, nil, first}, {[2]string{"good", "bad"}, nil, first},
		{[2]string{"incorrect", "correct"}, nil, second}, {[2]string{"LABEL_0", "LABEL_1"}, nil, second},
		{[2]string{"red", "blue"}, &zero, first}, {[2]string{"red", "blue"}, &one, second}, {[2]string{"red", "blue"}, nil, nil},
	} {
		dir := goldenHead(t, "token_classification", configKeys(map[string]any{"id2label": map[string]string{"0": c.names[0], "1": c.names[1]}}))
		o := OpenOptions{Format: "token_classification", GoodClass: c.good}
		if c.want == nil {
			require.ErrorContains(t, openFails(t, dir, o), `id2label calls the classes "red" and "blue"`)
			continue
		}
		require.InDeltaSlice(t, c.want, stepScores(t, dir, shelf, o), figures, c.names)
	}
	mlp := goldenHead(t, "qwen_math_prm", configKeys(map[string]any{"id2label": map[string]string{"0": "correct", "1": "wrong"}}))
	require.InDeltaSlice(t, []float64{1 - 0.644714, 1 - 0.663298, 1 - 0.754591}, stepScores(t, mlp, shelf, OpenOptions{}), figures)
}

// A head that starts training is turned, too, so that what is saved has its good class second, and says so.
func TestFaultNamesOfClassesInTraining(t *testing.T) {
	names := map[string]any{"id2label": map[string]string{"0": "correct", "1": "incorrect"}}
	base := goldenHead(t, "token_classification", configKeys(names))
	c := config(t, base)
	c.Train, c.Head.Kind, c.Loss.Kind = "head", "linear_two_class", loss.CE
	c.Text.Template = "none"
	c.Optim.LR, c.Optim.HeadLR, c.Optim.WeightDecay, c.Optim.Steps = new(0.0), new(0.0), new(0.0), 1
	model := train(t, c).Model
	text, err := os.ReadFile(filepath.Join(model, "goprm.json"))
	require.NoError(t, err)
	require.Contains(t, string(text), `"incorrect"`)
	trained := tensorIn(t, model, "head.safetensors", "score.weight")
	stored := tensorIn(t, base, "model.safetensors", "score.weight")
	width := len(stored) / 2
	require.InDeltaSlice(t, append(append([]float64{}, stored[width:]...), stored[:width]...), trained, 1e-6)
}

func TestFaultMistralWithoutSlidingWindow(t *testing.T) {
	long := longSum()
	for _, c := range []struct {
		window any
		want   float64
	}{{remove{}, 0.701871}, {4096, 0.701871}, {nil, 0.641537}} {
		dir := goldenHead(t, "math_shepherd_mistral", configKeys(map[string]any{"sliding_window": c.window}))
		scores := stepScores(t, dir, long, OpenOptions{Format: "math_shepherd"})
		require.InDelta(t, c.want, scores[len(scores)-1], figures, c.window)
	}
}

// longSum is about 5,200 tokens.
func longSum() *data.Trajectory {
	t := &data.Trajectory{ID: "long", Problem: "Add many lines."}
	for i := range 80 {
		t.ResponseSteps = append(t.ResponseSteps,
			fmt.Sprintf("Line %d: we add %d and %d to get %d, then carry on with the next line of the sum.", i, i, i+1, 2*i+1))
	}
	return t
}

func TestFaultYarnAtTheUnscaledLength(t *testing.T) {
	for _, key := range []string{"type", "rope_type"} {
		scaling := map[string]any{key: "yarn", "factor": 4.0, "original_max_position_embeddings": 4096}
		dir := goldenHead(t, "qwen_math_prm", configKeys(map[string]any{"max_position_embeddings": 4096, "rope_scaling": scaling,
			"rope_parameters": remove{}}))
		scores := stepScores(t, dir, longSum(), OpenOptions{MaxTokens: 16384})
		require.InDeltaSlice(t, []float64{0.889389, 0.911014, 0.915289}, scores[len(scores)-3:], figures)
		require.ErrorContains(t, openFails(t, dir, OpenOptions{MaxTokens: 16385}), "not from 1 to the model's 16384")
	}
}

func TestFaultTemplateNamedTwice(t *testing.T) {
	dir := goldenHead(t, "qwen_math_prm", nil)
	path := filepath.Join(dir, "chat_template.jinja")
	good, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.Remove(path))
	list := []map[string]string{{"name": "default", "template": "{{ messages[1].content }}"}, {"name": "default", "template": string(good)}}
	text, err := json.Marshal(map[string]any{"chat_template": list})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "tokenizer_config.json"), text, 0o600))
	require.InDeltaSlice(t, []float64{0.644714, 0.663298, 0.754591}, stepScores(t, dir, shelf, OpenOptions{}), figures)
}

// The mark of Math-Shepherd in a step is refused in scoring, as a step mark is in training.
func TestFaultMarkInAStepOfMathShepherd(t *testing.T) {
	dir := goldenHead(t, "math_shepherd_mistral", nil)
	m, err := Open(dir, OpenOptions{Format: "math_shepherd"})
	require.NoError(t, err)
	defer func() { require.NoError(t, m.Close()) }()
	for _, c := range []struct {
		t    *data.Trajectory
		want string
	}{
		{&data.Trajectory{ID: "a", Problem: "p", ResponseSteps: []string{"fine", "one ки two"}}, `step 1 contains the step mark "ки"`},
		{&data.Trajectory{ID: "a", Problem: "a ки b", ResponseSteps: []string{"fine"}}, `the problem contains the step mark "ки"`},
	} {
		_, err := m.Score(context.Background(), c.t)
		require.ErrorContains(t, err, c.want)
	}
	_, err = m.Score(context.Background(), &data.Trajectory{ID: "a", Problem: "p", ResponseSteps: []string{"fine ки", "two ки"}})
	require.NoError(t, err, "at its end it is the step's own")
}

// A checkpoint of full training exports as the run's model folder does, in every save_dtype, bit for bit.
func TestFaultExportOfACheckpoint(t *testing.T) {
	for _, saved := range []string{"base", "f32", "bf16"} {
		base := goldenHead(t, "sequence_classification", nil) // BF16
		c := config(t, base)
		c.Train, c.SaveDType, c.Checkpoint.Every = "full", saved, new(1)
		c.Text.Template = "none"
		run := train(t, c)
		checkpoints, err := filepath.Glob(filepath.Join(c.Out, "checkpoints", "step-*"))
		require.NoError(t, err)
		of := func(model string) map[string]string {
			out := filepath.Join(t.TempDir(), "exported")
			_, err := Export(context.Background(), ExportOptions{Model: model, To: ToTokenClassification, StepsOnly: true, Out: out})
			require.NoError(t, err)
			return folderBytes(t, out)
		}
		whole, part := of(run.Model), of(checkpoints[len(checkpoints)-1])
		for _, name := range []string{"config.json", "model.safetensors"} {
			require.True(t, whole[name] == part[name], "%s: %s differs", saved, name)
		}
	}
}

// goprm's own weights are checked against goprm.json, wherever a bit was lost.
func TestFaultDamagedOwnWeights(t *testing.T) {
	for _, mode := range []string{"head", "lora", "full"} {
		c := config(t, goldenHead(t, "sequence_classification", nil))
		c.Train, c.Text.Template = mode, "none"
		model := train(t, c).Model
		require.NoError(t, openFails(t, model, OpenOptions{}))
		files, err := filepath.Glob(filepath.Join(model, "*.safetensors"))
		require.NoError(t, err)
		require.NotEmpty(t, files)
		for _, path := range files {
			content, err := os.ReadFile(path)
			require.NoError(t, err)
			content[len(content)-1] ^= 1
			require.NoError(t, os.WriteFile(path, content, 0o600))
			require.ErrorContains(t, openFails(t, model, OpenOptions{}), filepath.Base(path)+": damaged or changed: its SHA-256 is")
			content[len(content)-1] ^= 1
			require.NoError(t, os.WriteFile(path, content, 0o600))
		}
	}
}

// Weights that hold NaN are named before the first step, and before a run folder is made.
func TestFaultNaNBeforeTraining(t *testing.T) {
	base := goldenHead(t, "sequence_classification", nil)
	path := filepath.Join(base, "model.safetensors")
	f, err := safetensors.Open(path)
	require.NoError(t, err)
	info, _ := f.Info("model.layers.1.mlp.down_proj.weight")
	require.NoError(t, f.Close())
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	content[info.Begin], content[info.Begin+1] = 0xc0, 0x7f
	require.NoError(t, os.WriteFile(path, content, 0o600))
	c := config(t, base)
	c.Text.Template = "none"
	_, err = Train(context.Background(), c)
	require.ErrorIs(t, err, hfmodel.ErrNotFinite)
	require.ErrorContains(t, err, `tensor "model.layers.1.mlp.down_proj.weight"`)
	require.NoDirExists(t, c.Out)
}

// A run, its checkpoints, and a folder of Hugging Face's cache are models; a base that has moved is named, and found by Base.
func TestFaultFoldersThatAreModels(t *testing.T) {
	base := goldenHead(t, "sequence_classification", nil)
	cache := filepath.Join(t.TempDir(), "models--org--base")
	require.NoError(t, os.MkdirAll(filepath.Join(cache, "refs"), 0o755))
	require.NoError(t, os.MkdirAll(filepath.Join(cache, "snapshots"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(cache, "refs", "main"), []byte("0123abc"), 0o600))
	require.NoError(t, os.Rename(base, filepath.Join(cache, "snapshots", "0123abc")))
	c := config(t, cache)
	c.Train = "lora"
	run := train(t, c)
	want := stepScores(t, run.Model, shelf, OpenOptions{})
	require.Equal(t, want, stepScores(t, c.Out, shelf, OpenOptions{}), "the run folder")
	require.NoError(t, os.RemoveAll(run.Model))
	require.Equal(t, want, stepScores(t, c.Out, shelf, OpenOptions{}), "its newest checkpoint")
	require.Equal(t, want, stepScores(t, filepath.Join(c.Out, "checkpoints"), shelf, OpenOptions{}))

	moved := filepath.Join(t.TempDir(), "elsewhere")
	require.NoError(t, os.Rename(cache, moved))
	err := openFails(t, c.Out, OpenOptions{})
	require.ErrorContains(t, err, "its base: "+filepath.Join(cache, "snapshots", "0123abc")+": no such folder; --base")
	require.Equal(t, want, stepScores(t, c.Out, shelf, OpenOptions{Base: moved}))
	next := config(t, c.Out)
	next.Train, next.Base, next.Optim.Steps = "lora", moved, 1
	train(t, next)
	require.ErrorContains(t, openFails(t, c.Out, OpenOptions{Base: goldenHead(t, "token_classification", nil)}),
		"is not what this was trained on")
	require.ErrorContains(t, openFails(t, goldenHead(t, "token_classification", nil), OpenOptions{Base: moved}), "which has no base")
}

// The metadata of a model's and of a data set's card is YAML; a folder of this machine is no base_model.
func TestFaultCardsAreYAML(t *testing.T) {
	base := goldenHead(t, "sequence_classification", nil)
	c := config(t, base)
	c.Train = "lora"
	model := train(t, c).Model
	for _, to := range []string{ToTokenClassification, ToPEFT} {
		out := filepath.Join(t.TempDir(), "x")
		export1(t, ExportOptions{Model: model, To: to, Out: out, Merge: to != ToPEFT, StepsOnly: true})
		text, err := os.ReadFile(filepath.Join(out, "README.md"))
		require.NoError(t, err)
		metadata := metadataOf(t, string(text))
		require.Equal(t, []any{"process-reward-model", "goprm"}, metadata["tags"])
		require.NotContains(t, metadata, "base_model")
	}
	x := export{ExportOptions: ExportOptions{To: ToPEFT},
		folder: &modelfolder.Folder{RootDir: "/hub/models--Qwen--Qwen2.5-7B/snapshots/0123abc"}}
	require.Equal(t, "Qwen/Qwen2.5-7B", metadataOf(t, x.frontMatter())["base_model"])
	var b strings.Builder
	licence := "MIT: \"as is\"\n- [x]"
	require.NoError(t, DataCard{Title: "T", Licence: licence}.Write(&b))
	require.Equal(t, licence, metadataOf(t, b.String())["license"])
}

// metadataOf parses the YAML block that a card begins with.
func metadataOf(t *testing.T, card string) map[string]any {
	t.Helper()
	parts := strings.SplitN(card, "---\n", 3)
	require.Len(t, parts, 3)
	require.Empty(t, parts[0])
	var metadata map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(parts[1]), &metadata))
	return metadata
}

// A score that is NaN names the tensor that makes it so; finite weights are not blamed.
func TestScoreNamesNaN(t *testing.T) {
	dir := goldenHead(t, "token_classification", nil)
	const name = "model.layers.0.mlp.up_proj.weight"
	weights, err := hfmodel.OpenWeights(dir)
	require.NoError(t, err)
	tensor, ok := weights.Lookup(name)
	require.True(t, ok)
	path := tensor.File.Path()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	at := bytes.Index(text, tensor.Bytes)
	require.NoError(t, weights.Close())
	copy(text[at+4:], []byte{0, 0, 0xc0, 0x7f}) // NaN of F32, and of BF16
	require.NoError(t, os.WriteFile(path, text, 0o600))

	m, err := Open(dir, OpenOptions{Format: "token_classification"})
	require.NoError(t, err)
	defer func() { require.NoError(t, m.Close()) }()
	_, err = m.Score(context.Background(), shelf)
	var broken *NonFiniteError
	require.ErrorAs(t, err, &broken)
	require.ErrorIs(t, err, hfmodel.ErrNotFinite)
	require.ErrorContains(t, err, filepath.Base(path)+`: tensor "`+name+`"`)
}
