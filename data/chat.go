package data

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/nikolalohinski/gonja/v2/config"
	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/loaders"
	"github.com/nikolalohinski/gonja/v2/tokens"
)

// A model folder's chat template is a program from elsewhere, so what it can use is bounded: its size, the length and
// the operators of one tag (which bound what one expression can build out of its variables), how often its loops and
// macros run, the bytes that it assigns and writes, and the time it takes. It reads no files and mutates no lists.
const (
	maxTemplate     = 128 << 10
	maxTag          = 16 << 10
	maxTagOperators = 128
	maxRepeats      = 20_000
	maxMacroRuns    = 1_000 // also bounds their recursion
	maxRange        = 10_000
	baseBudget      = 16 << 20 // bytes, and
	budgetFactor    = 64       // as many times the text that is put in
	maxRenderTime   = 10 * time.Second
)

// chatTemplate is a parsed template; it may be used by several goroutines.
type chatTemplate struct {
	template *exec.Template
}

// message is one turn of a conversation.
type message struct{ role, content string }

// parseChat parses a chat template the way transformers sets Jinja up: trim_blocks, lstrip_blocks, break and continue,
// {% generation %}, raise_exception, strftime_now.
func parseChat(source string) (*chatTemplate, error) {
	if len(source) > maxTemplate {
		return nil, fmt.Errorf("chat template of %d bytes, at most %d are read", len(source), maxTemplate)
	}
	cfg := config.New()
	cfg.TrimBlocks, cfg.LeftStripBlocks = true, true
	const name = "/chat_template"
	loader, err := loaders.NewMemoryLoader(map[string]string{name: source})
	if err != nil {
		return nil, err
	}
	var t *exec.Template
	err = bounded(func() error {
		if err := checkTags(source, cfg); err != nil {
			return err
		}
		env, err := chatEnvironment(time.Now())
		if err != nil {
			return err
		}
		parsed, err := exec.NewTemplate(name, cfg, loader, env)
		t = parsed
		return err
	})
	if err != nil {
		// The parser's error begins with the whole source.
		return nil, fmt.Errorf("chat template: %s", strings.TrimPrefix(strings.ReplaceAll(err.Error(), source, ""),
			"failed to parse template '': "))
	}
	return &chatTemplate{t}, nil
}

// checkTags refuses tags that could build values out of proportion to their parts.
func checkTags(source string, cfg *config.Config) error {
	var before tokens.Type
	operators, start, startLine := 0, 0, 0
	return lex(source, cfg, func(t *tokens.Token) error {
		switch t.Type {
		case tokens.BlockBegin, tokens.VariableBegin:
			operators, start, startLine = 0, t.Pos, t.Line
		case tokens.BlockEnd, tokens.VariableEnd:
			if t.Pos-start > maxTag {
				return fmt.Errorf("line %d: a tag of more than %d bytes", startLine, maxTag)
			}
		case tokens.Multiply:
			if before != tokens.LeftParenthesis && before != tokens.Comma { // those are f(*arguments)
				return fmt.Errorf("line %d: the operator * is not available in chat templates", t.Line)
			}
		case tokens.Addition, tokens.Tilde:
			operators++
			if operators > maxTagOperators {
				return fmt.Errorf("line %d: more than %d operators in a tag", t.Line, maxTagOperators)
			}
		}
		before = t.Type
		return nil
	})
}

// lex visits the source's tokens. Where a letter beyond ASCII follows a number like "2.", the lexer steps back by too much and may find
// tokens for ever. After more than a source can have it is left alone: it waits then, and takes no time and no more memory.
func lex(source string, cfg *config.Config, visit func(*tokens.Token) error) (err error) {
	lexer := tokens.NewLexer(source, cfg)
	var failed any
	go func() {
		defer func() {
			if p := recover(); p != nil {
				failed = p
				close(lexer.Tokens)
			}
		}()
		lexer.Run()
	}()
	count := 0
	for t := range lexer.Tokens {
		if count++; count > 2*len(source)+16 { // of two neighbors one has a byte
			return fmt.Errorf("line %d, byte %d: the template engine cannot read this", t.Line, t.Pos)
		}
		if err == nil {
			err = visit(t)
		}
	}
	if failed != nil {
		return fmt.Errorf("the template engine failed: %v", failed)
	}
	return err
}

// render renders a conversation without a generation prompt. special holds the special tokens by name (bos_token, ...).
func (c *chatTemplate) render(messages []message, special map[string]string) (string, error) {
	return c.execute(messages, special, false)
}

// renderPrompt renders a conversation with one.
func (c *chatTemplate) renderPrompt(messages []message, special map[string]string) (string, error) {
	return c.execute(messages, special, true)
}

func (c *chatTemplate) execute(messages []message, special map[string]string, prompt bool) (string, error) {
	size := 0
	list := make(chatList, len(messages))
	for i, m := range messages {
		list[i] = map[string]any{"role": m.role, "content": m.content}
		size += len(m.content)
	}
	b := &budget{bytes: baseBudget + budgetFactor*size, deadline: time.Now().Add(maxRenderTime)}
	values := map[string]any{"messages": list, "tools": nil, "documents": nil, "add_generation_prompt": prompt, budgetKey: b}
	for name, token := range special {
		values[name] = token
	}
	var out strings.Builder
	err := bounded(func() error { return c.template.Execute(&boundedWriter{&out, b}, exec.NewContext(values)) })
	if err != nil {
		return "", fmt.Errorf("chat template: %w", rootCause(err))
	}
	return out.String(), nil
}

// rootCause takes the end of the template engine's error, which quotes whole expressions and texts before it comes to the cause.
func rootCause(err error) error {
	const most = 300
	var raised *raisedError
	var limit *limitError
	switch text := err.Error(); {
	case errors.As(err, &raised):
		return raised
	case errors.As(err, &limit):
		return limit
	case len(text) > most:
		return fmt.Errorf("... %s", strings.ToValidUTF8(text[len(text)-most:], ""))
	}
	return err
}

// bounded runs f in a goroutine of its own, turns a panic into an error and waits for it no longer than a template may
// take. A template that is still running then stops at its next loop iteration, assignment or write.
func bounded(f func() error) error {
	done := make(chan error, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				done <- fmt.Errorf("the template engine failed: %v", p)
			}
		}()
		done <- f()
	}()
	timer := time.NewTimer(maxRenderTime + time.Second)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return errTime
	}
}

type limitError struct{ text string }

func (e *limitError) Error() string { return e.text }

var errTime = &limitError{fmt.Sprintf("takes longer than %v", maxRenderTime)}

// budget is what a rendering may still use.
type budget struct {
	bytes     int
	repeats   int
	macroRuns int
	deadline  time.Time
}

// budgetKey is the budget's name among the template's variables; no template can spell it.
const budgetKey = " budget"

func budgetOf(ctx *exec.Context) *budget {
	v, _ := ctx.Get(budgetKey)
	b, _ := v.(*budget)
	return b
}

func (b *budget) charge(bytes int) error {
	b.bytes -= bytes
	if b.bytes < 0 {
		return &limitError{"assigns or writes too much text"}
	}
	if time.Now().After(b.deadline) {
		return errTime
	}
	return nil
}

func (b *budget) repeat(macro bool) error {
	if macro {
		b.macroRuns++
	}
	b.repeats++
	if b.repeats > maxRepeats || b.macroRuns > maxMacroRuns {
		return &limitError{fmt.Sprintf("its loops run more than %d times, or its macros more than %d", maxRepeats, maxMacroRuns)}
	}
	return b.charge(0)
}

// sizeOf is about how many bytes the value would take if nothing in it were shared; it stops counting beyond limit.
func sizeOf(v *exec.Value, limit int) int {
	size := 64
	switch {
	case v.IsString():
		size += len(v.String())
	case v.IsList():
		for i := 0; i < v.Len() && size <= limit; i++ {
			size += sizeOf(v.Index(i), limit-size)
		}
	case v.IsDict():
		for _, pair := range v.Items() {
			if size > limit {
				break
			}
			size += sizeOf(pair.Key, limit-size)
			size += sizeOf(pair.Value, limit-size)
		}
	}
	return size
}

// boundedWriter charges what is written to the budget.
type boundedWriter struct {
	out    io.Writer
	budget *budget
}

func (w *boundedWriter) Write(p []byte) (int, error) {
	if err := w.budget.charge(len(p)); err != nil {
		return 0, err
	}
	return w.out.Write(p)
}
