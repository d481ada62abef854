package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/goprm/goprm/data/label"
	"github.com/goprm/goprm/data/label/store"
	"github.com/goprm/goprm/internal/remote"
	"github.com/goprm/goprm/prm"
)

// check compares the judge with gold labels.
func (c labelRunCommand) check(p *program, config prm.LabelConfig) error {
	config.In = c.Check
	p.watchLabels(&config, "check", countRows(c.Check))
	check, err := prm.CheckJudge(p.ctx, config)
	p.console.Finish()
	if errors.Is(err, context.Canceled) {
		return errors.New("interrupted")
	}
	if err != nil {
		return err
	}
	for _, w := range check.Warnings {
		p.console.Warnf("%s", w)
	}
	if c.JSON {
		err = p.printJSON(check)
	} else {
		err = writeCheck(p.stdout, check)
	}
	open, none := map[string]map[string]int{"quality": check.Open}, map[string]map[string]int{"quality": check.None}
	switch {
	case check.Stopped != "":
		err = errors.Join(err, fmt.Errorf("the calls ended early: %s", check.Stopped))
	case check.Rows == 0:
		err = errors.Join(err, fmt.Errorf("no row of %s has a gold label of a step", strings.Join(c.Check, ", ")))
	case check.Compared == 0:
		err = errors.Join(err, fmt.Errorf("not one step could be compared: %s", topReasons(open, none)))
	case len(check.Open) > 0:
		p.console.Warnf("some steps are open: %s", topReasons(open))
	}
	return err
}

func writeCheck(w io.Writer, c prm.JudgeCheck) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%d rows with gold labels, %d without, %d steps: %d asked, %d from the store, %d compared\n",
		c.Rows, c.Skipped, c.Steps, c.Asked, c.Stored, c.Compared)
	if c.Bad > 0 {
		fmt.Fprintf(&b, "%d rows could not be read\n", c.Bad)
	}
	fmt.Fprintf(&b, "agreement %s, Cohen's kappa %s\n", number(c.Agreement, "%.3f"), number(c.Kappa, "%.3f"))
	fmt.Fprintf(&b, "good steps: the judge calls %d of %d good; wrong steps: %d of %d\n",
		c.Good.JudgeGood, c.Good.Steps, c.Wrong.JudgeGood, c.Wrong.Steps)
	fmt.Fprintf(&b, "cost per row %s, tokens per row %s; spent %.6f and %d tokens\n",
		number(c.CostPerRow, "%.6f"), number(c.TokensPerRow, "%.0f"), c.Cost, c.Tokens)
	for _, gaps := range []struct {
		title string
		of    map[string]int
	}{{"open", c.Open}, {"none", c.None}} {
		for _, reason := range slices.Sorted(maps.Keys(gaps.of)) {
			fmt.Fprintf(&b, "%s: %d: %s\n", gaps.title, gaps.of[reason], reason)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// number is a dash where there is none.
func number(x *float64, format string) string {
	if x == nil {
		return "-"
	}
	return fmt.Sprintf(format, *x)
}

type labelRepairCommand struct {
	Out  string `required:"" help:"Output folder of prm label."`
	JSON bool   `help:"Print JSON."`
}

func (labelRepairCommand) Help() string {
	return "Values of labels.db that do not match their checksums become open items, which the next prm label asks for again. " +
		"The damaged file is kept beside the new one. Example:\n\n  prm label repair --out labels/"
}

func (c labelRepairCommand) Run(p *program) error {
	if remote.Is(c.Out) {
		return fmt.Errorf("%s: only a local folder can be repaired: copy it to a disk, and back when it is whole", c.Out)
	}
	r, err := store.Repair(label.StorePath(c.Out))
	if err != nil {
		return err
	}
	for _, what := range r.Unreadable {
		p.console.Warnf("cannot be read: %s", what)
	}
	if c.JSON {
		return p.printJSON(r)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d values are whole, %d items are open\n", r.Kept, r.Open)
	for _, stage := range sortedKeys(r.Damaged) {
		fmt.Fprintf(&b, "%s: %d values are damaged: they are open now, and the next prm label asks for them again\n", stage, r.Damaged[stage])
	}
	if r.Old == "" {
		fmt.Fprintf(&b, "nothing is damaged\n")
	} else {
		fmt.Fprintf(&b, "the damaged file is %s\n", r.Old)
	}
	_, err = io.WriteString(p.stdout, b.String())
	return err
}
