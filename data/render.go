package data

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/goprm/goprm/data/tokenizer"
)

// Qwen2.5-Math-PRM's step mark is a name for what other Qwen2.5 tokenizers call <|quad_end|>.
const (
	qwenMark    = "<extra_0>"
	qwenOldMark = "<|quad_end|>"
	qwenMarkID  = 151651
)

// Renderer turns trajectories into Examples. It may be used by several goroutines.
type Renderer struct {
	opt       TextOptions
	tok       tokenizer.Tokenizer
	chat      *chatTemplate
	special   map[string]string
	maxTokens int // 0: no limit

	mark    string // the step mark as the tokenizer writes it; "" if there is none
	markID  int32
	renamed bool // the mark is qwenMark, which the model's files still call qwenOldMark
	// otherMark is the name of the mark that a program's own tokenizer does not know; "" if there is none.
	otherMark string
	turnEnd   int32 // the token that closes the assistant's turn
	turnEnds  bool  // there is one

	lastTurn atomic.Pointer[turn] // rows of one problem often follow each other
}

// turn is what the chat template puts before and after the assistant's text.
type turn struct{ problem, before, after string }

// NewRenderer checks the options against the tokenizer and what the model folder says.
func NewRenderer(opt TextOptions, tok tokenizer.Tokenizer, files ModelText) (*Renderer, error) {
	if err := opt.Validate(); err != nil {
		return nil, err
	}
	r := &Renderer{opt: opt, tok: tok, special: files.Special, maxTokens: opt.MaxTokens}
	if r.maxTokens == 0 {
		r.maxTokens = files.MaxPositions
	}
	if err := r.setMark(); err != nil {
		return nil, err
	}
	if opt.Template != "model" {
		return r, nil
	}
	if files.ChatTemplate == "" {
		return nil, fmt.Errorf("text.template: %s; use none or a literal with {problem}",
			cmp.Or(files.noTemplate, "the model has no chat template"))
	}
	var err error
	if r.chat, err = parseChat(files.ChatTemplate); err != nil {
		return nil, fmt.Errorf("text.template: %w; use none or a literal with {problem}", err)
	}
	if err := r.findTurnEnd(); err != nil {
		return nil, fmt.Errorf("text.template: %w; use none or a literal with {problem}", err)
	}
	if opt.Final == "turn_end" && !r.turnEnds {
		return nil, errors.New("text.final: the chat template closes the assistant's turn with no special token; use last_token or mark")
	}
	return r, nil
}

func (r *Renderer) setMark() error {
	mark := r.opt.StepMark
	if mark == "" {
		return nil
	}
	id, ok, err := tokenizer.OneToken(r.tok, mark)
	if err != nil {
		return fmt.Errorf("text.step_mark: %w", err)
	}
	if ok {
		r.mark, r.markID = mark, id
		return nil
	}
	if old, has := r.tok.ID(qwenOldMark); mark == qwenMark && has && old == qwenMarkID {
		r.mark, r.markID, r.renamed = qwenMark, qwenMarkID, true
		return r.rename()
	}
	return fmt.Errorf("text.step_mark: %q is not one token of this tokenizer", mark)
}

// rename makes the tokenizer the one that will be saved with the model, so that training reads texts as scoring does. A program's
// own tokenizer keeps its name for the mark, and texts with either name are refused.
func (r *Renderer) rename() error {
	renamed, err := tokenizer.Renamed(r.tok, qwenOldMark, qwenMark)
	if err != nil {
		r.mark, r.otherMark = qwenOldMark, qwenMark
		return nil
	}
	r.tok = renamed
	return nil
}

// StepMark returns the id of the step mark; ok tells whether there is one.
func (r *Renderer) StepMark() (id int32, ok bool) { return r.markID, r.mark != "" }

// Rename tells which token of the tokenizer the step mark takes over, for saving the tokenizer with its new name; ok is false if none.
func (r *Renderer) Rename() (from, to string, id int32, ok bool) {
	return qwenOldMark, qwenMark, qwenMarkID, r.renamed
}

// MaxTokens is the longest Example it makes, or 0 without limit.
func (r *Renderer) MaxTokens() int { return r.maxTokens }

// Warnings returns what the examples, which it rendered, give reason to warn of.
func (r *Renderer) Warnings(examples []*Example) []string {
	n := 0
	for _, e := range examples {
		if e.sharesFinal() {
			n++
		}
	}
	if n > 0 {
		return []string{fmt.Sprintf("%d trajectories have a label for their last step and one for the whole read at the same token: "+
			"one head cannot fit both. Set text.final to a token of its own (now %s), or head.final: own", n, r.opt.Final)}
	}
	return nil
}

// piece is a stretch of the text.
type piece struct {
	text string
	step int // the step that it is, or whose mark it is; -1 of everything else
	mark bool
}

// Render returns the trajectory as an Example, and what was dropped on the way. The Example is nil if all was: where the text is too
// long and text.long says drop, or truncate and not even the first step fits. A truncated Example ends with the last step that fits;
// it has no read-out of the trajectory, so its trajectory label is dropped. Where text.long says window, a text that is too long has
// windows instead.
// Errors name the trajectory and the step.
func (r *Renderer) Render(t *Trajectory) (*Example, Dropped, error) {
	e, dropped, err := r.render(t)
	if err != nil {
		return nil, Dropped{}, r.at(t, err)
	}
	return e, dropped, nil
}

// at names the trajectory.
func (r *Renderer) at(t *Trajectory, err error) error {
	where := ""
	if t.Where != "" {
		where = t.Where + ": "
	}
	return fmt.Errorf("%strajectory %q: %w", where, t.ID, err)
}

func (r *Renderer) render(t *Trajectory) (*Example, Dropped, error) {
	if r.opt.Long == "window" {
		list, err := r.renderWindows(context.Background(), t, RenderLimits{Window: r.maxTokens})
		if err != nil {
			return nil, Dropped{}, err
		}
		return join(list), Dropped{}, nil
	}
	s, err := r.cut(t)
	if err != nil {
		return nil, Dropped{}, err
	}
	laid, err := r.lay(t.Problem, s)
	if err != nil {
		return nil, Dropped{}, err
	}
	return r.example(t, s, laid, r.maxTokens)
}

// sharesFinal reports whether the labels of the last step and of the whole are read at one token.
func (e *Example) sharesFinal() bool {
	n := len(e.Reads)
	if n < 2 {
		return false
	}
	last, final := e.Reads[n-2], e.Reads[n-1]
	return final.Kind == KindTrajectory && last.Pos == final.Pos && last.HasTarget && final.HasTarget
}

// cut checks the trajectory and returns its steps.
func (r *Renderer) cut(t *Trajectory) (steps, error) {
	if err := t.Validate(); err != nil {
		return steps{}, err
	}
	thinking, response := t.Cut(r.opt.Split)
	n := len(thinking.Steps)
	s := steps{texts: append(append([]string{}, thinking.Steps...), response.Steps...), thinking: n, first: n}
	if len(s.texts) == 0 {
		return steps{}, errors.New("no steps: thinking and response are empty")
	}
	return s, t.Labels.fit(len(s.texts))
}

// lay turns the problem and the steps into tokens.
func (r *Renderer) lay(problem string, s steps) (*laid, error) {
	pieces, suffix, err := r.layout(problem, s)
	if err != nil {
		return nil, err
	}
	return r.tokenize(pieces, suffix, s)
}

// layout returns the text in pieces; the last one is what follows the assistant's text if suffix is true.
func (r *Renderer) layout(problem string, s steps) (pieces []piece, suffix bool, err error) {
	if r.mark != "" {
		if mark := r.markIn(problem); mark != "" {
			return nil, false, fmt.Errorf("the problem contains the step mark %q", mark)
		}
		for i, text := range s.texts {
			if mark := r.markIn(text); mark != "" {
				return nil, false, fmt.Errorf("%s contains the step mark %q", s.name(i), mark)
			}
		}
	}
	var content []piece
	add := func(from, to int) {
		for i := from; i < to; i++ {
			content = append(content, piece{s.texts[i] + r.opt.Separator, i, false})
			if r.mark != "" {
				content = append(content, piece{r.mark, i, true})
			}
		}
	}
	if r.opt.Order == "response_first" {
		add(s.thinking, len(s.texts))
	}
	tags := s.thinking > 0 && len(r.opt.ThinkTags) == 2
	if tags {
		content = append(content, piece{r.opt.ThinkTags[0], -1, false})
	}
	add(0, s.thinking)
	if tags {
		content = append(content, piece{r.opt.ThinkTags[1], -1, false})
	}
	if r.opt.Order == "thinking_first" {
		add(s.thinking, len(s.texts))
	}
	switch r.opt.Template {
	case "none":
		return append([]piece{{problem + r.opt.Join, -1, false}}, content...), false, nil
	case "model":
		before, after, err := r.turnWith(problem, content, s)
		return append(append([]piece{{before, -1, false}}, content...), piece{after, -1, false}), true, err
	}
	before := strings.ReplaceAll(r.opt.Template, problemSlot, problem)
	return append([]piece{{before, -1, false}}, content...), false, nil
}

// markIn is the step mark, by either name, if the text contains it.
func (r *Renderer) markIn(text string) string {
	for _, mark := range []string{r.mark, r.otherMark} {
		if mark != "" && strings.Contains(text, mark) {
			return mark
		}
	}
	return ""
}

// turnWith renders the chat template and returns what stands before and after the content, which must come out of it unchanged.
func (r *Renderer) turnWith(problem string, content []piece, s steps) (before, after string, err error) {
	around := r.lastTurn.Load()
	if around == nil || around.problem != problem {
		if around, err = r.around(problem); err != nil {
			return "", "", err
		}
		r.lastTurn.Store(around)
	}
	before, after = around.before, around.after
	if trimmed := strings.TrimSpace(problem); !strings.Contains(before, trimmed) {
		return "", "", errors.New("the model's chat template drops or changes the problem; use text.template: none or a literal with {problem}")
	}
	text := joinPieces(content)
	got, err := r.chat.render([]message{{"user", problem}, {"assistant", text}}, r.special)
	if err != nil {
		return "", "", err
	}
	if got == before+text+after {
		return before, after, nil
	}
	rest := strings.TrimPrefix(got, before)
	for _, p := range content {
		if p.step < 0 || p.mark {
			continue
		}
		at := strings.Index(rest, p.text)
		if at < 0 {
			return "", "", fmt.Errorf("%s (%q) is not in the text that the model's chat template renders, or not whole; use text.template: none "+
				"or a literal with {problem}", s.name(p.step), clip(p.text, 60))
		}
		rest = rest[at+len(p.text):]
	}
	if !strings.Contains(got, text) {
		return "", "", errors.New("the model's chat template changes the text around the steps; use text.template: none or a literal with " +
			"{problem}")
	}
	return "", "", errors.New("the model's chat template changes what stands around the assistant's text with that text; use " +
		"text.template: none or a literal with {problem}")
}

func (r *Renderer) around(problem string) (*turn, error) {
	stand := "goprm-assistant-text"
	for strings.Contains(problem, stand) {
		stand += "-text"
	}
	got, err := r.chat.render([]message{{"user", problem}, {"assistant", stand}}, r.special)
	if err != nil {
		return nil, err
	}
	parts := strings.Split(got, stand)
	if len(parts) != 2 {
		return nil, fmt.Errorf("the model's chat template renders the assistant's text %d times", len(parts)-1)
	}
	return &turn{problem, parts[0], parts[1]}, nil
}

func joinPieces(pieces []piece) string {
	var b strings.Builder
	for _, p := range pieces {
		b.WriteString(p.text)
	}
	return b.String()
}

// findTurnEnd looks for the token that closes the assistant's turn in what the chat template puts after it: the end-of-sequence token, or
// else the first
// token that is not white space, if it looks like a special token (in <> or []) and stays one token with letters around it.
func (r *Renderer) findTurnEnd() error {
	around, err := r.around("problem")
	if err != nil {
		return err
	}
	after := around.after
	ids, ends, err := r.tok.Encode(after)
	if err != nil {
		return err
	}
	eos, hasEOS := int32(-1), false
	if text := r.special["eos_token"]; text != "" {
		eos, hasEOS, err = tokenizer.OneToken(r.tok, text)
		if err != nil {
			return err
		}
	}
	start, first := 0, true
	for i, id := range ids {
		text := after[start:ends[i]]
		start = ends[i]
		if strings.TrimSpace(text) == "" {
			continue
		}
		if hasEOS && id == eos {
			r.turnEnd, r.turnEnds = id, true
			return nil
		}
		if first && bracketed(text) {
			within, _, err := r.tok.Encode("a" + text + "a")
			if err != nil {
				return err
			}
			if len(within) == 3 && within[1] == id {
				r.turnEnd, r.turnEnds = id, true
				return nil
			}
		}
		first = false
	}
	return nil
}

func bracketed(text string) bool {
	return len(text) > 2 && (text[0] == '<' && text[len(text)-1] == '>' || text[0] == '[' && text[len(text)-1] == ']')
}
