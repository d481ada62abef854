package main

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/goprm/goprm/internal/demo"
)

type demoCommand struct {
	Out  string `help:"Folder for data, model, scores and report; must not exist. A temporary one by default."`
	Seed uint64 `default:"1" help:"Seed of everything."`
	JSON bool   `help:"Print JSON."`
}

func (demoCommand) Help() string {
	return "Makes problems with exact rewards, trains a small model from scratch on them, judges it on unseen problems and picks " +
		"the best of eight answers. Exit 1 if it did not learn. Example:\n\n  prm demo --out runs/demo"
}

func (c demoCommand) Run(p *program) error {
	if c.Out == "" {
		dir, err := os.MkdirTemp("", "prm-demo-")
		if err != nil {
			return err
		}
		c.Out = filepath.Join(dir, "demo")
	}
	result, err := demo.Run(p.ctx, demo.Options{Out: c.Out, Seed: c.Seed, Threads: p.threads, Progress: p.stderr, Quiet: p.quiet})
	if err != nil {
		return err
	}
	if c.JSON {
		err = p.printJSON(result)
	} else {
		err = result.Write(p.stdout)
	}
	if err == nil && !result.Passed {
		err = errors.New("the model did not learn what it should have")
	}
	return err
}
