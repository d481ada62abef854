package data

import (
	"fmt"
	"strings"

	"github.com/nikolalohinski/gonja/v2/builtins"
	controlStructures "github.com/nikolalohinski/gonja/v2/builtins/control_structures"
	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/nodes"
	"github.com/nikolalohinski/gonja/v2/parser"
	"github.com/nikolalohinski/gonja/v2/tokens"
)

// chatTags are the tags a chat template may use. Those that reach files (include, import, extends) and those whose
// buffers could not be bounded (with, call, filter, ...) are unknown to it.
func chatTags() (*exec.ControlStructureSet, error) {
	tags := map[string]parser.ControlStructureParser{"set": parseSet, "generation": parseGeneration}
	for _, name := range []string{"if", "for", "macro", "raw", "break", "continue"} {
		parse, ok := builtins.ControlStructures.Get(name)
		if !ok {
			return nil, fmt.Errorf("the template engine has no tag %q", name)
		}
		tags[name] = parse
	}
	tags["for"] = ticking(tags["for"])
	tags["macro"] = ticking(tags["macro"])
	return exec.NewControlStructureSet(tags), nil
}

// ticking puts a tick at the beginning of the body of a loop or macro, the only things that run more than once.
func ticking(parse parser.ControlStructureParser) parser.ControlStructureParser {
	return func(p, args *parser.Parser) (nodes.ControlStructure, error) {
		tag, err := parse(p, args)
		if err != nil {
			return nil, err
		}
		var body *nodes.Wrapper
		macro := false
		switch tag := tag.(type) {
		case *controlStructures.ForControlStructure:
			if tag.Recursive {
				return nil, args.Error("recursive loops are not available in chat templates", nil)
			}
			body = tag.BodyWrapper
		case *controlStructures.MacroControlStructure:
			body, macro = tag.Wrapper, true
		default:
			return nil, fmt.Errorf("the template engine made a %T", tag)
		}
		t := &tick{body.Location, macro}
		body.Nodes = append([]nodes.Node{&nodes.ControlStructureBlock{Location: body.Location, Name: "tick", ControlStructure: t}}, body.Nodes...)
		return tag, nil
	}
}

// tick counts one run of the body that it begins, and bounds what the rest of that body writes: a macro writes into a buffer of its own.
type tick struct {
	location *tokens.Token
	macro    bool
}

func (t *tick) Position() *tokens.Token { return t.location }
func (t *tick) String() string          { return "tick" }

func (t *tick) Execute(r *exec.Renderer, _ *nodes.ControlStructureBlock) error {
	b := budgetOf(r.Environment.Context)
	if _, ok := r.Output.(*boundedWriter); !ok {
		r.Output = &boundedWriter{r.Output, b}
	}
	return b.repeat(t.macro)
}

// setTag is {% set target = expression %} or {% set name %}body{% endset %}; what it assigns is charged to the budget.
type setTag struct {
	location                      *tokens.Token
	target                        nodes.Expression
	value, condition, alternative nodes.Expression
	body                          *nodes.Wrapper
}

func (s *setTag) Position() *tokens.Token { return s.location }
func (s *setTag) String() string          { return fmt.Sprintf("set (line %d)", s.location.Line) }

func parseSet(p, args *parser.Parser) (nodes.ControlStructure, error) {
	s := &setTag{location: p.Current()}
	var err error
	if s.target, err = args.ParseVariableOrLiteral(); err != nil {
		return nil, err
	}
	if args.Match(tokens.Assign) == nil {
		if !args.End() {
			return nil, args.Error("expected '=' or the end of the tag", args.Current())
		}
		var end *parser.Parser
		if s.body, end, err = p.WrapUntil("endset"); err != nil {
			return nil, err
		}
		if !end.End() {
			return nil, end.Error("endset takes no arguments", nil)
		}
		return s, nil
	}
	if s.value, err = args.ParseExpression(); err != nil {
		return nil, err
	}
	if s.condition, s.alternative, err = args.ParseCondition(); err != nil {
		return nil, err
	}
	if !args.End() {
		return nil, args.Error("more than one expression after '='", args.Current())
	}
	return s, nil
}

func (s *setTag) Execute(r *exec.Renderer, _ *nodes.ControlStructureBlock) error {
	value, err := s.evaluate(r)
	if err != nil {
		return err
	}
	b := budgetOf(r.Environment.Context)
	if err := b.charge(sizeOf(value, b.bytes)); err != nil {
		return err
	}
	switch target := s.target.(type) {
	case *nodes.Name:
		r.Environment.Context.Set(target.Name.Val, value.Interface())
		return nil
	case *nodes.GetAttribute:
		return assign(r.Eval(target.Node), exec.AsValue(target.Attribute), value)
	case *nodes.GetItem:
		return assign(r.Eval(target.Node), r.Eval(target.Arg), value)
	}
	return fmt.Errorf("cannot assign to %s", s.target)
}

func assign(object, name, value *exec.Value) error {
	if object.IsError() {
		return object
	}
	if name.IsError() {
		return name
	}
	return object.Set(name, value.Interface())
}

func (s *setTag) evaluate(r *exec.Renderer) (*exec.Value, error) {
	if s.body != nil {
		var out strings.Builder
		sub := r.Inherit()
		sub.Output = &boundedWriter{&out, budgetOf(r.Environment.Context)}
		if err := sub.ExecuteWrapper(s.body); err != nil {
			return nil, err
		}
		return exec.AsSafeValue(out.String()), nil
	}
	expression := s.value
	if s.condition != nil {
		condition := r.Eval(s.condition)
		if condition.IsError() {
			return nil, condition
		}
		if !condition.IsTrue() {
			expression = s.alternative
		}
	}
	if expression == nil {
		return exec.AsValue(nil), nil
	}
	value := r.Eval(expression)
	if value.IsError() {
		return nil, value
	}
	return value, nil
}

// generationTag is {% generation %}...{% endgeneration %}, which marks the assistant's tokens for transformers and changes no text.
type generationTag struct {
	location *tokens.Token
	body     *nodes.Wrapper
}

func (g *generationTag) Position() *tokens.Token { return g.location }
func (g *generationTag) String() string          { return "generation" }

func parseGeneration(p, _ *parser.Parser) (nodes.ControlStructure, error) {
	location := p.Current()
	body, _, err := p.WrapUntil("endgeneration")
	return &generationTag{location, body}, err
}

func (g *generationTag) Execute(r *exec.Renderer, _ *nodes.ControlStructureBlock) error {
	return r.ExecuteWrapper(g.body)
}
