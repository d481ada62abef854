package main

import (
	"maps"
	"slices"
	"strings"

	"github.com/goprm/goprm/internal/hfmodel"
)

type convertCommand struct {
	In  string `required:"" help:"Model folder with PyTorch's files: pytorch_model.bin, its shards, or a reward_head.pt."`
	Out string `required:"" help:"Folder for the same model with safetensors; must not exist."`
}

func (convertCommand) Help() string {
	return "Reads state dicts only: nothing in the files is executed, and whatever else they hold is refused. Configuration, tokenizer " +
		"and texts are copied; other pickles and programs are left out, and named. Example:\n\n" +
		"  prm convert --in Skywork-o1-Open-PRM --out skywork-safetensors"
}

func (c convertCommand) Run(p *program) error {
	done, err := hfmodel.Convert(c.In, c.Out)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(done.Files)) {
		p.console.Infof("%s: now %s", name, done.Files[name])
	}
	p.console.Infof("%s: %d tensors converted, %d files copied", c.Out, done.Tensors, len(done.Copied))
	if len(done.LeftOut) > 0 {
		p.console.Warnf("left out: %s", strings.Join(done.LeftOut, ", "))
	}
	return nil
}
