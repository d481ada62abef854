package main

import (
	"fmt"
	"os"
	"runtime/debug"
	"strings"

	"github.com/goprm/goprm/data/tokenizer"
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/formats"
	"github.com/goprm/goprm/internal/hfmodel"
	"github.com/goprm/goprm/internal/modelfolder"
	"github.com/goprm/goprm/prm"
)

// Set by the Makefile's build.
var version, commit string

type versionCommand struct {
	JSON bool `help:"Print JSON."`
}

func (versionCommand) Help() string {
	return "Equal kernels of equal versions give equal bits. Example:\n\n  prm version --json"
}

// versionReport is the output of --json.
type versionReport struct {
	Version   string `json:"version"`
	Commit    string `json:"commit"`
	Kernels   string `json:"kernels"`
	Tokenizer string `json:"tokenizer"` // goprm, or the module and version that a build tag puts in its place
}

func (c versionCommand) Run(p *program) error {
	r := versionReport{Tokenizer: tokenizerVersion()}
	r.Version, r.Commit = programVersion()
	backend, err := engine.Open("auto", engine.Options{Workers: p.threads})
	if err != nil {
		return err
	}
	defer func() { _ = backend.Close() }()
	r.Kernels = backend.Name()
	if c.JSON {
		return p.printJSON(r)
	}
	_, err = fmt.Fprintf(p.stdout, "prm %s, commit %s, kernels %s, tokenizer %s\n", r.Version, r.Commit, r.Kernels, r.Tokenizer)
	return err
}

// tokenizerVersion names the implementation of tokenizers, and its version where that is not the program's.
func tokenizerVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			if module.Path == tokenizer.Implementation {
				return module.Path + " " + module.Version
			}
		}
	}
	return tokenizer.Implementation
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
	Base string `help:"Where the base of an adapter or a head lies now; where it lay in training by default."`
	JSON bool   `help:"Print JSON."`
}

func (inspectCommand) Help() string {
	return "What it describes it has checked; for something unusable it says why and exits 1. A model that goprm trained is opened " +
		"as prm score would open it. Example:\n\n  prm inspect runs/one/model --json"
}

// trainedDescription is what only a model that goprm trained has.
type trainedDescription struct {
	Head      modelfolder.Head `json:"head"`
	Parts     []string         `json:"parts"` // what had labels: thinking, response, trajectory
	Alpha     float64          `json:"alpha"`
	Threshold float64          `json:"threshold"`
	MaxTokens int              `json:"max_tokens"`
}

// head says what the head is, and of two classes which is which.
func (t *trainedDescription) head() string {
	text := fmt.Sprintf("head of kind %s, final %s", t.Head.Kind, t.Head.Final)
	if len(t.Head.Labels) > 0 {
		text += ", classes " + strings.Join(t.Head.Labels, ", ")
	}
	return text
}

// trained describes the folder if goprm trained it.
func (c inspectCommand) trained(p *program, d *hfmodel.Description) (*trainedDescription, error) {
	var card *modelfolder.Card
	if info, err := os.Stat(d.Path); err != nil || info.IsDir() {
		if card, err = modelfolder.ReadCard(d.Path); err != nil {
			return nil, err
		}
	}
	if card == nil || card.CustomHead || card.Tokenizer != "" { // the last two open only in the program that made them
		if c.Base != "" {
			return nil, fmt.Errorf("%s: --base is for an adapter or a head that goprm trained", d.Path)
		}
		return nil, nil
	}
	model, err := prm.Open(d.Path, prm.OpenOptions{Device: "cpu", Threads: p.threads, Base: c.Base})
	if err != nil {
		return nil, err
	}
	info := model.Info()
	return &trainedDescription{card.Head, info.Parts, info.Alpha, info.Threshold, info.MaxTokens}, model.Close()
}

func (c inspectCommand) Run(p *program) error {
	d, err := hfmodel.Describe(c.Path, formats.Recognise)
	if err != nil {
		return err
	}
	if d.Tokenizer != nil || d.Model != nil && d.Model.Tokenizer != nil {
		if _, err := tokenizer.Open(d.Path); err != nil {
			return err
		}
	}
	trained, err := c.trained(p, d)
	if err != nil {
		return err
	}
	if c.JSON {
		return p.printJSON(struct {
			*hfmodel.Description
			Trained *trainedDescription `json:"trained,omitempty"`
		}{d, trained})
	}
	text := strings.TrimRight(d.String(), "\n")
	if trained != nil {
		text += "\n" + trained.head()
		text += fmt.Sprintf("\ntrained on %s; reward: alpha %g; a step below %g counts as wrong; at most %d tokens",
			strings.Join(trained.Parts, ", "), trained.Alpha, trained.Threshold, trained.MaxTokens)
	}
	_, err = fmt.Fprintln(p.stdout, text)
	return err
}
