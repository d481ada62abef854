package parity

import (
	"fmt"
	"path/filepath"
	"slices"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/data/tokenizer"
	"github.com/goprm/goprm/internal/hfmodel"
	"github.com/goprm/goprm/loss"
	"github.com/goprm/goprm/nn"
)

// expected is a head format's expected.json; which texts are there depends on the format.
type expected struct {
	Format      string   `json:"format"`
	Text        string   `json:"text"`
	Prompt      string   `json:"prompt"`
	Completions []string `json:"completions"`
	Separator   string   `json:"separator"`

	InputIDs      []int32 `json:"input_ids"`
	ReadPositions []int32 `json:"read_positions"`
	F32           outputs `json:"f32"`
	F64           outputs `json:"f64"`
}

type outputs struct {
	Scores []float64   `json:"scores"`
	Logits [][]float64 `json:"logits"`
}

// pieces are the texts that the format tokenises on their own.
func (e *expected) pieces() ([]string, error) {
	switch e.Format {
	case "qwen_math_prm":
		return []string{e.Text}, nil
	case "token_classification": // as TRL builds its training rows: completion and separator each on its own
		pieces := []string{e.Prompt}
		for _, c := range e.Completions {
			pieces = append(pieces, c, e.Separator)
		}
		return pieces, nil
	}
	return nil, fmt.Errorf("format %q: this version compares qwen_math_prm and token_classification", e.Format)
}

// headKinds are the value heads of the formats.
var headKinds = map[string]string{"qwen_math_prm": nn.TwoClassMLP, "token_classification": nn.LinearTwoClass}

// head compares a public reward model: token ids, logits and scores at the read-outs.
func (c *comparer) head(dir string) error {
	var want expected
	if err := readJSON(filepath.Join(dir, "expected.json"), &want); err != nil {
		return err
	}
	pieces, err := want.pieces()
	if err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	if err := c.tokens(dir, pieces, want.InputIDs); err != nil {
		return err
	}
	numbers := want.F32
	if c.key == "f64" {
		numbers = want.F64
	}
	config, err := hfmodel.ReadConfig(dir)
	if err != nil {
		return err
	}
	weights, err := hfmodel.OpenWeights(dir)
	if err != nil {
		return err
	}
	defer func() { _ = weights.Close() }()
	spec := nn.Spec{Config: config, DType: c.opt.DType, Head: nn.HeadSpec{Kind: headKinds[want.Format], Final: "shared"}, Loss: loss.MSE}
	net, err := nn.New(spec, c.opt.Backend, nn.Files{nn.InWeights(weights)})
	if err != nil {
		return err
	}
	scores, err := net.Score(nn.Micro{Batch: single(want.InputIDs, want.ReadPositions)})
	if err != nil {
		return err
	}
	c.tensor("logits", c.limits.value, want.Format, scores.Logits, slices.Concat(numbers.Logits...))
	c.list("scores", c.limits.value, want.Format, scores.Values, numbers.Scores)
	return nil
}

func (c *comparer) tokens(dir string, pieces []string, want []int32) error {
	t, err := tokenizer.Open(dir)
	if err != nil {
		return err
	}
	var got []int32
	for _, p := range pieces {
		ids, _, err := t.Encode(p)
		if err != nil {
			return err
		}
		got = append(got, ids...)
	}
	differ := 0.0
	if !slices.Equal(got, want) {
		differ = 1
	}
	c.record("token ids", 0, differ, fmt.Sprintf("%d ids", len(want)))
	return nil
}

// single packs one text that is read at the given positions.
func single(ids, reads []int32) *data.Batch {
	b := &data.Batch{Tokens: ids, Positions: make([]int32, len(ids)), CuSeqlens: []int32{0, int32(len(ids))}, Reads: reads,
		Target: make([]float64, len(reads)), Weight: make([]float64, len(reads)), Kind: make([]data.Kind, len(reads))}
	for i := range ids {
		b.Positions[i] = int32(i)
	}
	return b
}
