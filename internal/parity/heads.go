package parity

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/data/tokenizer"
	"github.com/goprm/goprm/internal/formats"
	"github.com/goprm/goprm/internal/hfmodel"
	"github.com/goprm/goprm/internal/nnet"
)

// expected is a head format's expected.json; which texts, ids and numbers are there depends on the format.
type expected struct {
	Format      string   `json:"format"`
	Text        string   `json:"text"`
	Problem     string   `json:"problem"`
	Response    string   `json:"response"`
	Prompt      string   `json:"prompt"`
	Completions []string `json:"completions"`
	Separator   string   `json:"separator"`

	InputIDs      []int32 `json:"input_ids"`
	ReadPositions []int32 `json:"read_positions"`
	FirstPosition *int32  `json:"first_position"` // of what is summed; ReadPositions are where each step's sum ends
	PlusID        *int32  `json:"plus_id"`
	MinusID       *int32  `json:"minus_id"`
	StepTagID     *int32  `json:"step_tag_id"`
	StepTokenID   *int32  `json:"step_token_id"`
	NewlineID     *int32  `json:"newline_token_id"`

	F32 outputs `json:"f32"`
	F64 outputs `json:"f64"`

	BF16Error map[string]float64 `json:"bf16_error"`
}

// outputs are lists of numbers, or lists of lists, by their names.
type outputs map[string]any

// numbers flattens one of the outputs; nil if it is not there.
func (o outputs) numbers(name string) []float64 {
	var flat []float64
	var add func(v any)
	add = func(v any) {
		switch v := v.(type) {
		case float64:
			flat = append(flat, v)
		case []any:
			for _, item := range v {
				add(item)
			}
		}
	}
	add(o[name])
	return flat
}

// pieces are the texts that the format tokenises on their own.
func (e *expected) pieces() ([]string, error) {
	switch {
	case e.Text != "":
		return []string{e.Text}, nil
	case len(e.Completions) > 0: // as TRL builds its training rows: completion and separator each on its own
		pieces := []string{e.Prompt}
		for _, c := range e.Completions {
			pieces = append(pieces, c, e.Separator)
		}
		return pieces, nil
	case e.Response != "": // as Skywork's inference code does
		pieces := []string{"<|im_start|>" + e.Problem + "\n"}
		for line := range strings.SplitSeq(e.Response, "\n") {
			pieces = append(pieces, line, "\n")
		}
		return pieces, nil
	}
	return nil, errors.New("expected.json: none of text, completions and response is there")
}

// head compares a public reward model: token ids, and every number at the read-outs or at all tokens.
func (c *comparer) head(dir string) (err error) {
	var want expected
	if err := readJSON(filepath.Join(dir, "expected.json"), &want); err != nil {
		return err
	}
	c.bf16Error = want.BF16Error
	pieces, err := want.pieces()
	if err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	tok, err := tokenizer.Open(dir)
	if err != nil {
		return err
	}
	config, err := hfmodel.ReadConfig(dir)
	if err != nil {
		return err
	}
	weights, err := hfmodel.OpenWeights(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, weights.Close()) }()
	if _, err := hfmodel.CheckTrunk(config, weights); err != nil {
		return err
	}
	if fits := formats.Fits(config, weights); !slices.Contains(fits, want.Format) {
		return fmt.Errorf("%s: format %s does not fit; what fits is %s", dir, want.Format, strings.Join(fits, ", "))
	}
	text, err := data.ReadModelText(dir)
	if err != nil {
		return err
	}
	format, err := formats.Open(want.Format, &formats.Folder{Dir: dir, Config: config, Weights: weights, Tokenizer: tok, Text: text})
	if err != nil {
		return err
	}
	if err := c.tokens(tok, dir, pieces, format, &want); err != nil {
		return err
	}
	spec := nnet.Spec{Config: config, DType: c.opt.DType, Head: format.Head}
	net, err := nnet.New(spec, c.opt.Backend, nnet.Weights{format.Tensors, nnet.InWeights(weights)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, net.Close()) }()
	if format.Implicit != 0 {
		return c.implicit(net, filepath.Join(dir, "reference"), format, &want)
	}
	return c.numbers(net, format, &want)
}

// implicit compares the log-ratios of a pair of language models, and what they add up to.
func (c *comparer) implicit(net *nnet.Network, dir string, format *formats.Format, want *expected) (err error) {
	config, err := hfmodel.ReadConfig(dir)
	if err != nil {
		return err
	}
	weights, err := hfmodel.OpenWeights(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, weights.Close()) }()
	tensors, err := formats.VocabularyTensors(config, weights)
	if err != nil {
		return err
	}
	reference, err := nnet.New(nnet.Spec{Config: config, DType: c.opt.DType, Head: format.Head}, c.opt.Backend,
		nnet.Weights{tensors, nnet.InWeights(weights)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, reference.Close()) }()
	micro := nnet.MicroBatch{Batch: single(want.InputIDs, upTo(len(want.InputIDs)-1)), Labels: want.InputIDs[1:]}
	policy, err := net.Score(context.Background(), micro)
	if err != nil {
		return err
	}
	base, err := reference.Score(context.Background(), micro)
	if err != nil {
		return err
	}
	for i, v := range base.Values {
		policy.Values[i] -= v
	}
	numbers := c.of(want)
	c.tensor("log_ratios", c.limits.value, want.Format, policy.Values, numbers.numbers("log_ratios"))
	if want.FirstPosition == nil {
		return errors.New("expected.json has no first_position")
	}
	var scores, accumulated []float64
	from, total := *want.FirstPosition, 0.0
	for _, at := range want.ReadPositions {
		sum := 0.0
		for ; from <= at; from++ {
			sum += format.Implicit * policy.Values[from]
		}
		total += sum
		scores, accumulated = append(scores, sum), append(accumulated, total)
	}
	c.list("scores", c.limits.value, want.Format, scores, numbers.numbers("scores"))
	c.list("accumulated", c.limits.value, want.Format, accumulated, numbers.numbers("accumulated"))
	return nil
}

// of are the golden numbers of the compute dtype.
func (c *comparer) of(want *expected) outputs {
	if c.key == "f64" {
		return want.F64
	}
	return want.F32
}

// upTo is 0 to n-1.
func upTo(n int) []int32 {
	list := make([]int32, n)
	for i := range list {
		list[i] = int32(i)
	}
	return list
}

// numbers compares what the network says with every number that the file has.
func (c *comparer) numbers(net *nnet.Network, format *formats.Format, want *expected) error {
	numbers := c.of(want)
	got, err := net.Score(context.Background(), nnet.MicroBatch{Batch: single(want.InputIDs, want.ReadPositions)})
	if err != nil {
		return err
	}
	if format.Score != nil {
		columns := len(got.Logits) / max(1, len(got.Values))
		for i := range got.Values {
			got.Values[i] = format.Score(got.Logits[i*columns : (i+1)*columns])
		}
	}
	all, err := net.Score(context.Background(), nnet.MicroBatch{Batch: single(want.InputIDs, upTo(len(want.InputIDs)))})
	if err != nil {
		return err
	}
	if want.PlusID != nil { // listed good before bad
		for i := 0; i+1 < len(got.Logits); i += 2 {
			got.Logits[i], got.Logits[i+1] = got.Logits[i+1], got.Logits[i]
		}
	}
	found := map[string][]float64{
		"logits": got.Logits, "logit": got.Logits, "sigmoid": sigmoids(got.Logits),
		"values_all_tokens": all.Logits, "sigmoid_all_tokens": all.Values,
	}
	if len(numbers.numbers("scores")) == 0 {
		return errors.New("expected.json has no scores")
	}
	for _, name := range sortedKeys(numbers) {
		switch values, ok := found[name]; {
		case name == "scores":
			c.list(name, c.limits.value, want.Format, got.Values, numbers.numbers(name))
		case !ok:
			return fmt.Errorf("expected.json has %q, which is not compared here", name)
		default:
			c.tensor(name, c.limits.value, want.Format, values, numbers.numbers(name))
		}
	}
	return nil
}

func sigmoids(logits []float64) []float64 {
	values := make([]float64, len(logits))
	for i, z := range logits {
		values[i] = 1 / (1 + math.Exp(-z))
	}
	return values
}

// tokens compares the ids of the text, and those with a meaning.
func (c *comparer) tokens(t tokenizer.Tokenizer, dir string, pieces []string, format *formats.Format, want *expected) error {
	var before, after []int32
	if format.Surrounded { // tokenised as tokenizer(text) does
		var err error
		if before, after, err = tokenizer.Surround(dir); err != nil {
			return err
		}
	}
	encode := func(pieces ...string) (ids []int32, err error) {
		for _, p := range pieces {
			more, _, err := t.Encode(p)
			if err != nil {
				return nil, err
			}
			ids = append(ids, more...)
		}
		return ids, nil
	}
	equal := func(quantity string, want, got []int32) {
		differ := 0.0
		if !slices.Equal(got, want) {
			differ = 1
		}
		c.record(quantity, 0, differ, fmt.Sprintf("%d ids", len(want)))
	}
	ids, err := encode(pieces...)
	if err != nil {
		return err
	}
	equal("token ids", want.InputIDs, slices.Concat(before, ids, after))
	for _, special := range []struct {
		id   *int32
		text string
	}{{want.PlusID, "+"}, {want.MinusID, "-"}, {want.StepTagID, " ки"}, {want.StepTokenID, "<extra_0>"}, {want.NewlineID, "\n"}} {
		if special.id == nil {
			continue
		}
		ids, err := encode(special.text)
		if err != nil {
			return err
		}
		equal("special ids", []int32{*special.id}, ids[max(0, len(ids)-1):]) // SentencePiece begins with a mark
	}
	return nil
}

// single packs one text that is read at the given positions.
func single(ids, reads []int32) *data.Batch {
	return &data.Batch{Tokens: ids, Positions: upTo(len(ids)), CuSeqlens: []int32{0, int32(len(ids))}, Reads: reads,
		Target: make([]float64, len(reads)), Weight: make([]float64, len(reads)), Kind: make([]data.Kind, len(reads))}
}
