package main

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/data/tokenizer"
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/hfmodel"
	"github.com/goprm/goprm/internal/parity"
)

// Set by the Makefile's build.
var version, commit string

type versionCommand struct{}

func (versionCommand) Run(p *program) error {
	v, c := programVersion()
	backend, err := engine.Open("auto", engine.Options{})
	if err != nil {
		return err
	}
	defer func() { _ = backend.Close() }()
	_, err = fmt.Fprintf(p.stdout, "prm %s, commit %s, kernels %s\n", v, c, backend.Name())
	return err
}

// programVersion is what the build was told, else what Go recorded.
func programVersion() (v, c string) {
	v, c = version, commit
	if info, ok := debug.ReadBuildInfo(); ok {
		if v == "" {
			v = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && c == "" {
				c = s.Value
			}
		}
	}
	if c == "" {
		c = "unknown"
	}
	return v, c
}

type inspectCommand struct {
	Path string `arg:"" help:"Model or checkpoint folder, .safetensors file, tokenizer.json."`
	JSON bool   `help:"Print JSON."`
}

func (c inspectCommand) Run(p *program) error {
	d, err := hfmodel.Describe(c.Path)
	if err != nil {
		return err
	}
	if d.Tokenizer != nil || d.Model != nil && d.Model.Tokenizer != nil {
		if _, err := tokenizer.Open(c.Path); err != nil {
			return err
		}
	}
	if c.JSON {
		return p.printJSON(d)
	}
	_, err = fmt.Fprintln(p.stdout, strings.TrimRight(d.String(), "\n"))
	return err
}

type tokenizeCommand struct {
	Tokenizer string `required:"" help:"tokenizer.json, or a folder that holds one."`
	In        string `required:"" help:"JSON lines of {\"text\": ...}; plain, .gz or .zst, - for stdin."`
	Out       string `help:"File for the {\"ids\": [...]} lines; stdout by default."`
}

func (tokenizeCommand) Help() string {
	return "Added tokens are recognised in the text and none are added. Example:\n\n  prm tokenize --tokenizer model/ --in texts.jsonl --out ids.jsonl"
}

func (c tokenizeCommand) Run(p *program) error {
	t, err := tokenizer.Open(c.Tokenizer)
	if err != nil {
		return err
	}
	return p.output(c.Out, func(w io.Writer) error {
		lines := jsonLines(w)
		for line, err := range data.Lines([]string{c.In}, data.ReadOptions{Stdin: p.stdin}) {
			if err != nil {
				return err
			}
			var row struct {
				Text *string `json:"text"`
			}
			if err := json.Unmarshal(line.Text, &row); err != nil {
				return fmt.Errorf("%s:%d: %w", line.File, line.Number, err)
			}
			if row.Text == nil {
				return fmt.Errorf("%s:%d: no \"text\"", line.File, line.Number)
			}
			ids, _, err := t.Encode(*row.Text)
			if err != nil {
				return fmt.Errorf("%s:%d: %w", line.File, line.Number, err)
			}
			if ids == nil {
				ids = []int32{}
			}
			if err := lines.Encode(map[string][]int32{"ids": ids}); err != nil {
				return err
			}
		}
		return nil
	})
}

type parityCommand struct {
	Dirs  []string `arg:"" help:"Golden folders, of backbones or of head formats."`
	DType string   `name:"dtype" default:"f32" help:"Arithmetic to compare: f32 or f64 (bf16 where a backend computes in it)."`
	machineFlags
	JSON bool `help:"Print JSON."`
}

func (c parityCommand) Run(p *program) error {
	dtype, err := engine.ParseDType(c.DType)
	if err != nil {
		return usageError(err.Error())
	}
	if dtype == engine.BFloat16 {
		return fmt.Errorf("no backend in this program computes in bf16; use f32 or f64")
	}
	backend, err := engine.Open(c.Device, engine.Options{Kernels: c.Backend, Workers: c.Threads})
	if err != nil {
		return err
	}
	defer func() { _ = backend.Close() }()
	var reports []*parity.Report
	var differ []string
	for _, dir := range c.Dirs {
		report, err := parity.Run(dir, parity.Options{DType: dtype, Backend: backend})
		if err != nil {
			return err
		}
		reports = append(reports, report)
		if !report.OK() {
			differ = append(differ, filepath.Base(dir))
		}
		if !c.JSON {
			if err := report.Write(p.stdout); err != nil {
				return err
			}
		}
	}
	if c.JSON {
		if err := p.printJSON(reports); err != nil {
			return err
		}
	}
	if len(differ) > 0 {
		return fmt.Errorf("%s: beyond tolerance in %s on %s", strings.Join(differ, ", "), c.DType, backend.Name())
	}
	if c.JSON {
		return nil
	}
	_, err = fmt.Fprintf(p.stdout, "%d folders agree with PyTorch in %s on %s\n", len(c.Dirs), c.DType, backend.Name())
	return err
}
