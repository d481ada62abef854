package main

import (
	"context"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// commandFirst moves the command's name to the front, since kong knows a command's flags only behind its name.
func commandFirst(model *kong.Application, args []string) []string {
	takesValue, commands := map[string]bool{}, map[string]bool{}
	for _, node := range append([]*kong.Node{model.Node}, model.Children...) {
		commands[node.Name] = node != model.Node
		for _, f := range node.Flags {
			takesValue["--"+f.Name] = !f.IsBool()
		}
	}
	for i := 0; i < len(args) && args[i] != "--"; i++ {
		switch {
		case takesValue[args[i]]:
			i++ // a value may be called as a command is
		case commands[args[i]]:
			return slices.Concat(args[i:i+1], args[:i], args[i+1:])
		case !strings.HasPrefix(args[i], "-"):
			return args
		}
	}
	return args
}

// interruptible is stdin whose Read returns when the context ends, even while nobody writes to the other end.
type interruptible struct {
	ctx context.Context
	in  io.Reader
}

func (r interruptible) Read(p []byte) (int, error) {
	type outcome struct {
		n   int
		err error
	}
	read := make(chan outcome, 1)
	buffer := make([]byte, len(p)) // p is the caller's again once Read has returned
	go func() {
		n, err := r.in.Read(buffer)
		read <- outcome{n, err}
	}()
	select {
	case o := <-read:
		return copy(p, buffer[:o.n]), o.err
	case <-r.ctx.Done():
		return 0, r.ctx.Err()
	}
}

// modelFlag is the model of a command, which may stand without the flag's name too.
type modelFlag struct {
	Path  string `arg:"" optional:"" name:"model" help:"Model folder, as --model."`
	Model string `help:"Model folder."`
}

func (f *modelFlag) resolve() error {
	switch {
	case f.Path != "" && f.Model != "":
		return usageError("both --model " + f.Model + " and " + f.Path + " are given")
	case f.Path == "" && f.Model == "":
		return usageError("--model is needed")
	}
	f.Model, f.Path = f.Path+f.Model, ""
	return nil
}
