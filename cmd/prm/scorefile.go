package main

import (
	"errors"
	"iter"
	"os"
	"path/filepath"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/atomicfile"
	"github.com/goprm/goprm/internal/remote"
	"github.com/goprm/goprm/prm"
)

// scorerFlags are those of commands that use the scores of a model, or stored ones.
type scorerFlags struct {
	Model     string   `help:"Model folder that scores."`
	MaxTokens int      `help:"Most tokens read at once; longer texts are read in windows over whole steps. 0: as the model was trained."`
	Parts     string   `enum:"trained,thinking,response,all," default:"" help:"${parts}"`
	Keep      string   `help:"File that the model's scores are kept in, as prm score writes them; a later run may take it as --scores."`
	Resume    bool     `help:"Go on with scores that were not finished."`
	OnBad     string   `enum:"error,skip" default:"error" help:"What a text that the model cannot score does: error or skip."`
	Scores    []string `sep:"none" help:"Stored scores: lines of prm score, or {\"id\",\"scores\":[...]}."`
	openFlags
}

// validate checks what kong cannot; sharded: the scores are those of a shard, which go to --out.
func (f *scorerFlags) validate(sharded bool) error {
	switch {
	case f.Model != "" && len(f.Scores) > 0:
		return usageError("--model and --scores exclude each other")
	case f.Model == "" && (f.Base != "" || f.GoodClass != nil):
		return usageError("--base and --good-class need --model")
	case f.Model == "" && (f.Keep != "" || f.Resume):
		return usageError("--keep and --resume need --model")
	case f.Resume && f.Keep == "" && !sharded:
		return usageError("--resume needs --keep")
	}
	return nil
}

// scoresUse makes something of scores, which it may read several times; info is the model that gave them, nil: stored scores.
type scoresUse func(scores func() iter.Seq2[*prm.StoredScore, error], info *prm.ModelInfo) error

// scored calls use with the stored scores, or with those that the model gives to the source's trajectories, of which there
// are total; scores() reads them anew each time. What the model said is in a file before anything is made of it: the one to keep, or a
// temporary one beside the output, on whose disk there has to be room anyway.
func (p *program) scored(f *scorerFlags, out string, inputs []string, source func() iter.Seq2[*data.Trajectory, error], total int,
	use scoresUse) (err error) {
	if f.Model == "" {
		return use(func() iter.Seq2[*prm.StoredScore, error] {
			return prm.ReadScores(f.Scores, data.ReadOptions{Stdin: p.stdin})
		}, nil)
	}
	keep := f.Keep
	if keep == "" {
		beside := out
		if out == "" || out == "-" || remote.Is(out) {
			beside = filepath.Join(os.TempDir(), "prm")
		}
		dir, err := atomicfile.Scratch(beside)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
		keep = filepath.Join(dir, "scores.jsonl")
	}
	if keep, err = outputTarget(keep, inputs); err != nil {
		return err
	}
	info, err := p.scoreTo(keep, f, source, total)
	if err != nil {
		return err
	}
	return use(func() iter.Seq2[*prm.StoredScore, error] { return prm.ReadScores([]string{keep}, data.ReadOptions{}) }, info)
}

func (p *program) scoreTo(path string, f *scorerFlags, source func() iter.Seq2[*data.Trajectory, error],
	total int) (*prm.ModelInfo, error) {
	model, err := p.openScorer(f)
	if err != nil {
		return nil, err
	}
	defer func() { _ = model.Close() }()
	info := model.Info()
	s := &scoring{program: p, model: model, source: source, total: total,
		command: scoreCommand{Out: path, Parts: f.Parts, Resume: f.Resume, OnBad: f.OnBad}}
	if f.Keep == "" {
		s.command.Out = "" // nothing to go on with
	}
	_, err = s.toFile(path)
	return &info, err
}

func (p *program) openScorer(f *scorerFlags) (*prm.Model, error) {
	options := p.openOptions(f.openFlags, f.MaxTokens)
	options.VerifyLater = true // no score is read before
	folder, err := remote.Folder(f.Model)
	if err != nil {
		return nil, err
	}
	model, err := prm.Open(folder, options)
	if err != nil {
		return nil, err
	}
	info := model.Info()
	p.console.Infof("%s: %s, %d layers, %s on %s", f.Model, info.Format, info.Layers, info.DType, info.Backend)
	return model, nil
}
