package formats

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/goprm/goprm/internal/hfmodel"
	"github.com/goprm/goprm/internal/safetensors"
	"github.com/goprm/goprm/internal/shareddata"
	"github.com/stretchr/testify/require"
)

// recognise reads a folder's configuration and weights, and recognises its head.
func recognise(t *testing.T, dir string) (description string, fits []string) {
	t.Helper()
	config, err := hfmodel.ReadConfig(dir)
	require.NoError(t, err)
	weights, err := hfmodel.OpenWeights(dir)
	require.NoError(t, err)
	description, fits = Recognise(config, weights)
	require.Equal(t, fits, Fits(config, weights))
	require.NoError(t, weights.Close())
	return description, fits
}

func TestGoldenFolders(t *testing.T) {
	heads := filepath.Join(shareddata.Dir(t), "data", "goldens", "heads")
	for folder, want := range map[string]struct {
		formats []string
		head    string
	}{
		"qwen_math_prm":           {[]string{"qwen_math_prm"}, "two-class MLP (score.0, score.2)"},
		"math_shepherd_qwen2":     {[]string{"math_shepherd", "rlhflow", "eurus", "versaprm"}, "language model (lm_head)"},
		"math_shepherd_mistral":   {[]string{"math_shepherd", "rlhflow", "eurus", "versaprm"}, "language model (lm_head)"},
		"reasonflux_1_5b":         {[]string{"reasonflux_1_5b"}, "value head in reward_head.pt"},
		"skywork_prm":             {[]string{"skywork"}, "value head (v_head.summary)"},
		"token_classification":    {[]string{"token_classification", "pure"}, "linear to 2 with bias (score)"},
		"sequence_classification": {[]string{"sequence_classification"}, "linear to 1 without bias (score)"},
	} {
		head, fits := recognise(t, filepath.Join(heads, folder))
		require.Equal(t, want.formats, fits, folder)
		require.Equal(t, want.head, head, folder)
	}
}

func TestRecogniseByTensors(t *testing.T) {
	type shapes map[string][]int
	causal := []string{"math_shepherd", "rlhflow", "eurus", "versaprm"}
	mlp := func(classes int) shapes {
		return shapes{"score.0.weight": {8, 8}, "score.0.bias": {8}, "score.2.weight": {classes, 8}, "score.2.bias": {classes}}
	}
	lm := []int{11, 8}
	for name, c := range map[string]struct {
		architecture string
		tied         bool
		tensors      shapes
		want         []string
	}{
		"skywork": {"ForCausalLM",
			false, shapes{"lm_head.weight": lm, "v_head.summary.weight": {1, 8}, "v_head.summary.bias": {1}}, []string{"skywork"}},
		"value head to 2": {"ForCausalLM",
			false, shapes{"lm_head.weight": lm, "v_head.summary.weight": {2, 8}, "v_head.summary.bias": {2}}, nil},
		"process reward": {"ForProcessRewardModel", false, mlp(2), []string{"qwen_math_prm"}},
		"outcome reward": {"ForRewardModel", false, mlp(1), nil},
		"scalar":         {"ForTokenClassification", false, shapes{"score.weight": {1, 8}, "score.bias": {1}}, nil},
		"two classes": {"ForTokenClassification", false, shapes{"score.weight": {2, 8}, "score.bias": {2}},
			[]string{"token_classification", "pure"}},
		"two classes, nameless": {"", false, shapes{"score.weight": {2, 8}, "score.bias": {2}}, []string{"token_classification", "pure"}},
		"sequence":              {"ForSequenceClassification", false, shapes{"score.weight": {1, 8}}, []string{"sequence_classification"}},
		"score of another size": {"ForSequenceClassification", false, shapes{"score.weight": {1, 9}}, nil},
		"causal":                {"ForCausalLM", false, shapes{"lm_head.weight": lm}, causal},
		"causal without head":   {"ForCausalLM", false, nil, nil},
		"causal, tied":          {"ForCausalLM", true, nil, causal},
		"base":                  {"Model", true, nil, nil},
	} {
		dir := t.TempDir()
		architectures := ""
		if c.architecture != "" {
			architectures = strconv.Quote("Qwen2" + c.architecture)
		}
		require.NoError(t, os.WriteFile(filepath.Join(dir, hfmodel.ConfigName), []byte(`{"model_type":"qwen2","architectures":[`+architectures+`],
			"hidden_size":8,"intermediate_size":12,"num_hidden_layers":1,"num_attention_heads":2,"num_key_value_heads":1,"vocab_size":11,
			"max_position_embeddings":64,"rms_norm_eps":1e-6,"rope_theta":10000,"hidden_act":"silu","tie_word_embeddings":`+
			strconv.FormatBool(c.tied)+`}`), 0o644))
		tensors := []safetensors.Tensor{{Name: "model.norm.weight", DType: safetensors.F32, Shape: []int{8}, Data: make([]byte, 32)}}
		for tensor, shape := range c.tensors {
			n := 4
			for _, d := range shape {
				n *= d
			}
			tensors = append(tensors, safetensors.Tensor{Name: tensor, DType: safetensors.F32, Shape: shape, Data: make([]byte, n)})
		}
		require.NoError(t, safetensors.Save(filepath.Join(dir, hfmodel.SingleName), tensors, nil))
		_, fits := recognise(t, dir)
		require.Equal(t, c.want, fits, name)
	}
}

// A new format is its file, its row and its golden. No other package may tell formats apart by their names, or the row is not enough.
func TestFormatsAreNamedHereAlone(t *testing.T) {
	require.Len(t, Names(), len(table))
	kinds := map[headKind]bool{}
	for _, d := range table {
		require.NotEqual(t, noHead, d.head, d.name)
		kinds[d.head] = true
	}
	require.Len(t, kinds, int(languageModel), "a kind of head that no format has")
	root := filepath.Join("..", "..")
	require.NoError(t, filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name := entry.Name(); name == "testdata" || name != ".." && strings.HasPrefix(name, ".") || path == filepath.Join(root, "internal",
				"formats") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		require.Empty(t, namedFormats(t, path), path)
		return nil
	}))
}

// namedFormats are the literals of a file that are names of formats.
func namedFormats(t *testing.T, path string) (found []string) {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	require.NoError(t, err)
	ast.Inspect(file, func(n ast.Node) bool {
		if literal, ok := n.(*ast.BasicLit); ok {
			if text, err := strconv.Unquote(literal.Value); err == nil && slices.Contains(Names(), text) {
				found = append(found, text)
			}
		}
		return true
	})
	return found
}

// properties are what the published inference code of a format says of its scores and texts.
type properties struct {
	Mark                                   string
	Outcome, Signed, Unbounded, Surrounded bool
	Threshold                              float64
}

func requireProperties(t *testing.T, heads, folder, format string, want properties) {
	t.Helper()
	f, err := openFolder(t, filepath.Join(heads, folder), format, nil)
	require.NoError(t, err)
	require.Equal(t, want, properties{f.Mark, f.Outcome, f.Signed, f.Unbounded(), f.Surrounded, f.Threshold})
}

func TestProperties(t *testing.T) {
	heads := filepath.Join("..", "parity", "testdata", "heads")
	requireProperties(t, heads, "mistral_window", "math_shepherd", properties{Surrounded: true, Threshold: 0.5})
	requireProperties(t, heads, "versaprm", "versaprm", properties{Surrounded: true, Threshold: 0.5})
	requireProperties(t, heads, "rlhflow", "rlhflow", properties{Threshold: 0.5})
	requireProperties(t, heads, "yarn_window", "token_classification", properties{Threshold: 0.5})
	requireProperties(t, heads, "pure_linear", "pure", properties{Signed: true}) // p1 − p0
	requireProperties(t, heads, "sequence_dynamic", "sequence_classification", properties{Outcome: true, Unbounded: true})
	requireProperties(t, heads, "eurus", "eurus", properties{Outcome: true, Unbounded: true}) // sums of log-ratios
}

func TestPropertiesOfSharedFolders(t *testing.T) {
	heads := filepath.Join(shareddata.Dir(t), "data", "goldens", "heads")
	requireProperties(t, heads, "qwen_math_prm", "qwen_math_prm", properties{Mark: "<extra_0>", Threshold: 0.5})
	requireProperties(t, heads, "skywork_prm", "skywork", properties{Threshold: 0.5})
	requireProperties(t, heads, "reasonflux_1_5b", "reasonflux_1_5b", properties{Outcome: true, Surrounded: true, Threshold: 0.5})
}
