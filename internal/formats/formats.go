// Package formats knows the public process reward models: the text that each was trained on, the tokens where it is read, what its
// head is made of, and what its number means. A file is one format.
package formats

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/data/tokenizer"
	"github.com/goprm/goprm/internal/hfmodel"
	"github.com/goprm/goprm/internal/nnet"
)

// Folder is a model folder that has been opened.
type Folder struct {
	Dir       string
	Config    *hfmodel.Config
	Weights   *hfmodel.Weights
	Tokenizer tokenizer.Tokenizer
	Text      data.ModelText
	// GoodClass is the class of two that stands for a good step; nil: as config.json names it.
	GoodClass *int
}

// goodLast turns a two-class head so that its class 1 is the good one.
func (f *Folder) goodLast(head nnet.Lookup) (nnet.Lookup, error) {
	if f.GoodClass != nil {
		return nnet.GoodLast(head, *f.GoodClass), nil
	}
	good, err := f.Config.Labels.Good()
	return nnet.GoodLast(head, good), err
}

// Format is one format, open on a folder.
type Format struct {
	Name string
	Head nnet.HeadSpec
	// Tensors finds the head's tensors by the names that the network has for them. A bias that the format lacks is not found.
	Tensors nnet.Lookup
	// Score is what a read-out scores, of its logits; nil: the network's own value.
	Score func(logits []float64) float64
	// Outcome formats judge the whole trajectory; a score of one of their steps, if there is one, is that of the text up to its end.
	Outcome bool
	// Raw formats score with a number that has no bounds, for which a sigmoid is reported too.
	Raw bool
	// Signed formats score from -1 to 1, where others that have bounds score from 0 to 1.
	Signed bool
	// Mark is the special token behind each step at which it is read; "" if it is read elsewhere.
	Mark string
	// Surrounded texts begin and end with what the tokenizer adds of its own.
	Surrounded bool
	// Implicit, if not 0, is the factor of what implicit rewards sum: a read-out is about the token after it, namely by how much its
	// log-probability exceeds that by a reference model.
	Implicit float64
	// Threshold: a step that scores below it counts as wrong.
	Threshold float64

	cut    cutter
	lay    layout
	render renderer // nil: one text, by lay
	limit  int      // tokens; longer texts are read in windows
}

// renderer makes the texts in which a trajectory's steps are read, within bounds.
type renderer func(ctx context.Context, t *data.Trajectory, f *Format, limits data.RenderLimits) ([]*data.Example, error)

// definition is one public format. What is particular to a format is said here and in the function that opens it, nowhere else.
type definition struct {
	name string
	head headKind // by which a folder is recognised
	open func(f *Folder) (*Format, error)
}

// table lists the formats in the order in which they are named.
var table = []definition{
	{"qwen_math_prm", twoClassMLP, openQwen},
	{"skywork", valueHead, openSkywork},
	{"math_shepherd", languageModel, openShepherd},
	{"rlhflow", languageModel, openRLHFlow},
	{"reasonflux_1_5b", rewardFile, openReasonFlux},
	{"token_classification", twoClassLinear, openTokenClassification},
	{"pure", twoClassLinear, openPure},
	{"sequence_classification", rewardLinear, openSequence},
	{"eurus", languageModel, openEurus},
	{"versaprm", languageModel, openVersa},
}

// Names lists the formats, as --format takes them.
func Names() []string {
	var names []string
	for _, d := range table {
		names = append(names, d.name)
	}
	return names
}

// Open opens a format on a folder whose files it fits, see [Fits].
func Open(name string, f *Folder) (*Format, error) {
	i := slices.IndexFunc(table, func(d definition) bool { return d.name == name })
	if i < 0 {
		return nil, fmt.Errorf("format %q is not known; known are %s", name, strings.Join(Names(), ", "))
	}
	if size := f.Tokenizer.Size(); size > f.Config.VocabSize {
		return nil, fmt.Errorf("%s: the tokenizer has ids up to %d, but the model's vocabulary is %d: they do not belong together",
			f.Dir, size-1, f.Config.VocabSize)
	}
	format, err := table[i].open(f)
	if err != nil {
		return nil, fmt.Errorf("%s: format %s: %w", f.Dir, name, err)
	}
	format.Name, format.limit = name, f.Config.MaxLength()
	if format.cut == nil {
		format.cut = cutAt("\n\n")
	}
	return format, nil
}

// HasVocabulary tells whether the model still has a language-model head that means something: its scores are tokens' probabilities.
func (f *Format) HasVocabulary() bool {
	return slices.ContainsFunc(table, func(d definition) bool { return d.name == f.Name && d.head == languageModel })
}

// Unbounded tells whether its scores have no bounds.
func (f *Format) Unbounded() bool { return f.Raw || f.Implicit != 0 }

// SetLimit lowers the longest text below the model's trained length.
func (f *Format) SetLimit(tokens int) error {
	if tokens < 1 || tokens > f.limit {
		return fmt.Errorf("%d tokens is not from 1 to the model's %d", tokens, f.limit)
	}
	f.limit = tokens
	return nil
}

// MaxTokens is the longest text.
func (f *Format) MaxTokens() int { return f.limit }

// Cut returns the trajectory's parts in steps, as the format takes them.
func (f *Format) Cut(t *data.Trajectory) (thinking, response data.Cut) { return f.cut(t) }

// Render returns the texts in which the trajectory's steps are read.
func (f *Format) Render(t *data.Trajectory) ([]*data.Example, error) {
	return f.RenderWithin(context.Background(), t, 0)
}

// RenderWithin is Render of at most total tokens (0: any number), see [data.RenderLimits]; it ends early with the context's error.
func (f *Format) RenderWithin(ctx context.Context, t *data.Trajectory, total int) ([]*data.Example, error) {
	if err := t.Validate(); err != nil {
		return nil, err
	}
	limits := data.RenderLimits{Window: f.limit, Total: total}
	if f.render != nil {
		return f.render(ctx, t, f, limits)
	}
	steps := f.steps(t)
	if len(steps) == 0 {
		return nil, errNoSteps
	}
	e, err := f.example(t, steps, 0)
	if err == nil {
		err = limits.Check(len(e.Tokens))
	}
	if err != nil || len(e.Tokens) <= f.limit {
		return []*data.Example{e}, err
	}
	windows, err := data.WindowsWithin(ctx, len(steps), limits, func(from, to int) (int, error) {
		tokens, _, err := f.lay(t.Problem, steps[from:to])
		return len(tokens), err
	})
	if err != nil {
		return nil, err
	}
	var list []*data.Example
	for i, w := range windows {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if e, err = f.example(t, steps[w.From:w.To], w.Read-w.From); err != nil {
			return nil, err
		}
		for j := range e.Reads {
			e.Reads[j].Window = i
		}
		list = append(list, e)
	}
	return list, nil
}

var errNoSteps = errors.New("no steps: thinking and response are empty")

// step is one step of a trajectory.
type step struct {
	text  string
	part  data.Part
	index int  // over thinking, then response
	given bool // the trajectory's steps bring the beginning "Step k:"
}

func (f *Format) steps(t *data.Trajectory) []step {
	thinking, response := f.cut(t)
	var steps []step
	for _, s := range thinking.Steps {
		steps = append(steps, step{text: s, part: data.PartThinking, index: len(steps)})
	}
	for _, s := range response.Steps {
		steps = append(steps, step{text: s, part: data.PartResponse, index: len(steps)})
	}
	for i := range steps {
		steps[i].given = strings.HasPrefix(steps[0].text, "Step 1:")
	}
	return steps
}

// layout turns a problem and some of its steps, in order, into tokens, and says at which one each step is read. There may be no step.
type layout func(problem string, steps []step) (tokens []int32, reads []int32, err error)

// example lays out one text, in which the steps from first on are read.
func (f *Format) example(t *data.Trajectory, steps []step, first int) (*data.Example, error) {
	tokens, reads, err := f.lay(t.Problem, steps)
	if err != nil {
		return nil, err
	}
	e := &data.Example{ID: t.ID, Tokens: tokens, Problem: data.KeyOf(t.Problem)}
	for i, s := range steps[first:] {
		e.Reads = append(e.Reads, data.ReadOut{Pos: reads[first+i], Kind: data.KindStep, Part: s.part, Index: s.index})
	}
	return e, nil
}

func (f *Format) checkLength(tokens int) error {
	if tokens > f.limit {
		message := fmt.Sprintf("%d tokens, the model was trained for %d", tokens, f.limit)
		return &data.TooLongError{Tokens: tokens, Limit: f.limit, Message: message}
	}
	return nil
}
