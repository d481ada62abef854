package prm

import (
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
)

// tellStep calls OnStep with the step that was just taken.
func (t *trainer) tellStep() error {
	if t.c.OnStep == nil {
		return nil
	}
	return t.tell("OnStep", func() { t.c.OnStep(t.last) })
}

// tellEvaluation calls OnEvaluate with a copy of the evaluation that was just made.
func (t *trainer) tellEvaluation() error {
	if t.c.OnEvaluate == nil {
		return nil
	}
	e := *t.eval
	e.Controls = maps.Clone(e.Controls)
	return t.tell("OnEvaluate", func() { t.c.OnEvaluate(e) })
}

// tell runs a callback. One that panics ends the run with an error; the step, which is whole, is saved first.
func (t *trainer) tell(name string, callback func()) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.Join(fmt.Errorf("step %d: %s panicked: %w\n%s", t.meta.Step, name, asError(p), debug.Stack()), t.saveAfterPanic())
		}
	}()
	callback()
	return nil
}

// saveAfterPanic saves where no other rank is needed for it; with others the run goes back to the last checkpoint.
func (t *trainer) saveAfterPanic() error {
	if t.c.ranks != nil {
		return nil
	}
	return t.save()
}

func asError(p any) error {
	if err, ok := p.(error); ok {
		return err
	}
	return fmt.Errorf("%v", p)
}
