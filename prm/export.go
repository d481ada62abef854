package prm

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"strings"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/atomicfile"
	"github.com/goprm/goprm/internal/mmap"
	"github.com/goprm/goprm/internal/modelfolder"
	"github.com/goprm/goprm/internal/nnet"
)

// Layouts that Export writes.
const (
	// ToTokenClassification is what AutoModelForTokenClassification of transformers loads: two logits at every token, whose
	// softmax[1] is the score.
	ToTokenClassification = "hf-token-classification"
	// ToProcessReward is vLLM's Qwen2ForProcessRewardModel: the same, at every <extra_0>.
	ToProcessReward = "vllm-process-reward"
	// ToPEFT is an adapter with its head that PEFT lays over AutoModelForTokenClassification.
	ToPEFT = "peft"
)

// ExportOptions say what Export writes.
type ExportOptions struct {
	Model string // folder of a model or a checkpoint that Train wrote
	Base  string // where its base lies now; "": where it lay in training
	To    string // ToTokenClassification, ToProcessReward or ToPEFT
	Out   string // the new folder; it must not exist
	// Merge adds adapters to the weights, rounded to the weights' dtype. A model with adapters is not exported without, save to PEFT.
	Merge bool
	// StepsOnly leaves out the trajectory's own score where the layout has no place for it.
	StepsOnly bool
	// Sample are trajectories on which scores before and after are compared; nil: two short ones.
	Sample iter.Seq2[*data.Trajectory, error]
}

// Validate reports the first option that cannot be used.
func (o ExportOptions) Validate() error {
	if o.Model == "" || o.Out == "" {
		return errors.New("export: model and out are needed")
	}
	if o.Merge && o.To == ToPEFT {
		return errors.New("merge: an adapter for PEFT is not merged")
	}
	return oneOf(choice{"to", o.To, []string{ToTokenClassification, ToProcessReward, ToPEFT}})
}

// ExportResult says what was written.
type ExportResult struct {
	To       string `json:"to"`
	Out      string `json:"out"`
	Merged   int    `json:"merged"`   // adapters added to weights
	Compared int    `json:"compared"` // scores of the sample that were compared
	// MaxDifference is the largest difference between a score before and after: of rounding, mostly merged weights'.
	MaxDifference float64 `json:"max_difference"`
}

// Export writes a trained model in a layout that other programs load, with a model card and goprm.json, so that goprm reads it
// too. The same model gives the same bytes.
func Export(ctx context.Context, o ExportOptions) (*ExportResult, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	f, err := modelfolder.Open(o.Model, o.Base)
	if err != nil {
		return nil, err
	}
	x := &export{ExportOptions: o, folder: f, result: ExportResult{To: o.To, Out: o.Out}}
	if err := errors.Join(mmap.Guard(func() error { return x.run(ctx) }), f.Close()); err != nil {
		return nil, err
	}
	return &x.result, nil
}

// export is one run of Export.
type export struct {
	ExportOptions
	folder *modelfolder.Folder
	card   modelfolder.Card // of what is written
	result ExportResult
}

func (x *export) run(ctx context.Context) error {
	if x.folder.Card == nil {
		return fmt.Errorf("%s: holds no %s: only models that goprm trained are exported", x.Model, modelfolder.CardName)
	}
	if x.folder.Card.CustomHead {
		return fmt.Errorf("%s: its head is an expression of the program that trained it, which no other program has", x.Model)
	}
	if x.folder.Card.Tokenizer != "" {
		return fmt.Errorf("%s: it was trained with a program's own tokenizer, which other programs would lack", x.Model)
	}
	if err := x.saveAsModel(); err != nil {
		return fmt.Errorf("%s: %w", x.Model, err)
	}
	if err := x.setCard(); err != nil {
		return fmt.Errorf("%s: %w", x.Model, err)
	}
	dir, err := atomicfile.NewDir(x.Out)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Abort() }() // for a fault of a mapped file; else it is done by then
	if x.To == ToPEFT {
		err = x.fillAdapter(dir)
	} else {
		err = x.fillModel(dir)
	}
	if err == nil {
		err = dir.WriteFile("README.md", writeBytes([]byte(x.readme())))
	}
	if err == nil {
		err = x.folder.Check()
	}
	if err != nil {
		return errors.Join(err, dir.Abort())
	}
	if err := dir.Commit(); err != nil {
		return err
	}
	return x.compare(ctx)
}

// setCard describes the exported model, or says why the layout cannot hold it.
func (x *export) setCard() error {
	c := *x.folder.Card
	head := c.Head
	if head.Kind == nnet.Scalar && head.Activation != "sigmoid" {
		return fmt.Errorf("head.activation is %s: %s has a softmax, whose scores lie in [0, 1]", head.Activation, x.To)
	}
	if head.Kind == nnet.TwoClassMLP && x.To != ToProcessReward {
		return fmt.Errorf("a head of kind %s has no place in %s; %s has one", head.Kind, x.To, ToProcessReward)
	}
	if x.To == ToPEFT != (c.Stores == modelfolder.StoresAdapter) && (x.To == ToPEFT || !x.Merge) && c.LoRA != nil {
		return fmt.Errorf("it has adapters: merge them, or export the run's model folder to %s", ToPEFT)
	}
	if x.To == ToPEFT && c.LoRA == nil {
		return fmt.Errorf("it has no adapters for %s", ToPEFT)
	}
	if x.To == ToProcessReward {
		if model := x.folder.Config.ModelType; model != "qwen2" {
			return fmt.Errorf("model_type %s: vLLM's process reward model is a qwen2", model)
		}
		if c.Text.StepMark != processRewardMark || c.StepMarkID == nil || *c.StepMarkID != processRewardMarkID || c.Text.Read != "mark" {
			return fmt.Errorf("its steps are not read at %s with the id %d, where alone vLLM's process reward model is read; train with "+
				"text.step_mark and text.read: mark",
				processRewardMark, processRewardMarkID)
		}
	}
	if lost := x.lostTrajectory(&c); lost != "" && !x.StepsOnly {
		return fmt.Errorf("%s: leave the trajectory's score out with steps only, or train another way", lost)
	} else if lost != "" {
		c.Parts = without(c.Parts, modelfolder.PartTrajectory)
		if len(c.Parts) == 0 {
			return errors.New("nothing but the trajectory was trained: no steps are left to export")
		}
	}
	kind := nnet.LinearTwoClass
	if x.To == ToProcessReward {
		kind = nnet.TwoClassMLP
	}
	c.Head = modelfolder.HeadOf(nnet.HeadSpec{Kind: kind, Activation: head.Activation, Final: "shared"})
	if x.To != ToPEFT {
		c.Stores, c.Base, c.LoRA = modelfolder.StoresModel, nil, nil
	}
	c.SaveDType, c.Files = "", nil
	x.card = c
	return nil
}

// What vLLM's Qwen2ForProcessRewardModel pools at, whatever the tokenizer says.
const (
	processRewardMark   = "<extra_0>"
	processRewardMarkID = 151651
)

// lostTrajectory says why the layout cannot give the trajectory's score; "" if it can, or if there is none.
func (x *export) lostTrajectory(c *modelfolder.Card) string {
	switch {
	case !strings.Contains(strings.Join(c.Parts, " "), modelfolder.PartTrajectory):
		return ""
	case c.Head.Final == "own":
		return fmt.Sprintf("head.final is own: %s has no second row for the trajectory", x.To)
	case x.To == ToProcessReward && c.Text.Final != "mark":
		return fmt.Sprintf("text.final is %s: vLLM reads at %s alone", c.Text.Final, processRewardMark)
	}
	return ""
}

// compare scores the sample with the model and with what was written, which goprm reads as its own. A PEFT adapter differs
// from its source in the head's form alone.
func (x *export) compare(ctx context.Context) error {
	sample := x.Sample
	if sample == nil {
		sample = Slice(exportSample)
	}
	before, err := x.score(ctx, x.Model, x.Base, sample)
	if err != nil {
		return err
	}
	after, err := x.score(ctx, x.Out, x.Base, sample)
	if err != nil {
		return fmt.Errorf("%s was written, but: %w", x.Out, err)
	}
	if len(before) != len(after) {
		return fmt.Errorf("%s was written, but gives %d scores where the model gives %d", x.Out, len(after), len(before))
	}
	x.result.Compared = len(before)
	for i := range before {
		x.result.MaxDifference = max(x.result.MaxDifference, math.Abs(before[i]-after[i]))
	}
	return nil
}

// score lists the step scores of the sample, and the trajectory's where both models have it.
func (x *export) score(ctx context.Context, dir, base string, sample iter.Seq2[*data.Trajectory, error]) ([]float64, error) {
	if dir == x.Out && x.To != ToPEFT {
		base = ""
	}
	m, err := Open(dir, OpenOptions{Base: base})
	if err != nil {
		return nil, err
	}
	var list []float64
	for s, err := range m.ScoreAll(ctx, sample, ScoreOptions{}) {
		if err != nil {
			return nil, errors.Join(err, m.Close())
		}
		for _, step := range s.Steps {
			list = append(list, step.Score)
		}
		if s.Trajectory != nil && strings.Contains(strings.Join(x.card.Parts, " "), modelfolder.PartTrajectory) {
			list = append(list, *s.Trajectory)
		}
	}
	return list, m.Close()
}

var exportSample = []*data.Trajectory{
	{ID: "sample-1", Problem: "What is 12 + 7 * 3?", Steps: []string{"First 7 * 3 = 21.", "Then 12 + 21 = 33."},
		ResponseSteps: []string{"Multiply first.", "The answer is 33."}},
	{ID: "sample-2", Problem: "A box holds 4 eggs. How many are in 5 boxes?", Steps: []string{"Maybe 4 + 5 = 9.", "No, 4 * 5 = 20."},
		ResponseSteps: []string{"There are 20 eggs."}},
}
