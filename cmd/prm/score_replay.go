package main

import (
	"errors"
	"fmt"

	"github.com/goprm/goprm/prm"
)

// replay scores an audit log again and says where the scores differ.
func (c scoreCommand) replay(p *program, model *prm.Model) error {
	same, different, otherModel := 0, 0, 0
	backend := model.Info().Backend + " " + model.Info().DType
	other := ""
	for r, err := range model.Replay(p.ctx, c.Replay) {
		if err != nil {
			return err
		}
		if r.OtherModel {
			otherModel++
		}
		if r.BackendBefore != backend {
			other = r.BackendBefore
		}
		if r.Same {
			same++
			continue
		}
		different++
		if different <= 10 {
			if _, err := fmt.Fprintf(p.stdout, "%s\n  was %s\n  now %s\n", r.ID, r.Before, r.Now); err != nil {
				return err
			}
		}
	}
	if otherModel > 0 {
		p.console.Warnf("%d lines are of a model with other files", otherModel)
	}
	if other != "" {
		p.console.Warnf("the log is of %s, this is %s: bits are promised for equal kernels alone", other, backend)
	}
	if _, err := fmt.Fprintf(p.stdout, "%d texts: %d the same to the last bit, %d different\n", same+different, same, different); err != nil {
		return err
	}
	switch {
	case different > 0:
		return fmt.Errorf("%d of %d texts score differently", different, same+different)
	case same == 0:
		return errors.New("--replay: the log is empty")
	}
	return nil
}
