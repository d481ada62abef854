package label

import (
	"context"
	"testing"

	"github.com/goprm/goprm/data"
)

// said is a policy that always says the same.
type said string

func (said) ID() string                                               { return "said/1" }
func (s said) Answer(context.Context, Prompt, uint64) (string, error) { return string(s), nil }

// LabelOne labels one trajectory whose response, and whose policy's answers, are text.
func LabelOne(t *testing.T, final Final, v Verifier, dir, gold, text string) (*Row, Report) {
	p := Pipeline{Templater: &templates{texts: []string{"Add."}}, Policy: said(text), Verifier: v, Parts: []Part{Quality},
		Judge: &scripted{id: "j/1", sees: SeesPrefix}, Final: final}
	report, _ := labelled(t, p, dir, []*data.Trajectory{{ID: "a", Problem: "What is 2 + 3?", Thinking: "hm", Response: text, Answer: gold}})
	return readRows(t, dir)[0], report
}
