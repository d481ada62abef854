package main

import (
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"slices"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/prm"
)

// shardFlag is that of the commands whose scores may be computed in shards, besides prm score.
type shardFlag struct {
	Shard string `default:"0/1" help:"Score shard i of n alone, counted from 0, as 3/16, into --out; merge does the rest."`
}

// scorerShard is a shard of prm select or prm eval: the scores of its trajectories. What is made of the scores is left to the command's
// merge, which has those of all shards.
type scorerShard struct {
	*shardManifest
	flags  *scorerFlags
	out    string
	scored []string // files of what is scored
	inputs []string // all that are read
	source func() iter.Seq2[*data.Trajectory, error]
	sides  bool // there are flags for more outputs
}

func (s *scorerShard) validate() error {
	switch {
	case s.flags.Model == "":
		return usageError("--shard needs --model: stored scores need no shards")
	case s.flags.Keep != "":
		return usageError("--shard and --keep exclude each other: a shard's scores are in --out")
	case s.sides:
		return usageError("--shard writes scores alone: flags of what is made of them belong to the command's merge")
	case s.out == "" || s.out == "-" || slices.Contains(s.inputs, "-"):
		return usageError("--shard needs --out, and files as input: they are read twice")
	}
	return nil
}

// run scores; options are what the command does with the scores of all shards.
func (s *scorerShard) run(p *program, command string, options any) error {
	if err := s.validate(); err != nil {
		return err
	}
	target, err := outputTarget(s.out, s.inputs)
	if err != nil {
		return err
	}
	s.Command = command
	if s.Options, err = json.Marshal(options); err != nil {
		return err
	}
	model, err := p.openScorer(s.flags)
	if err != nil {
		return err
	}
	defer func() { _ = model.Close() }()
	info := model.Info()
	s.Scorer = &shardScorer{Name: s.flags.Model, Alpha: info.Alpha, Threshold: info.Threshold, HasTrajectory: info.HasTrajectory}
	scoring := &scoring{program: p, model: model, source: s.source, command: scoreCommand{In: s.scored, Out: s.out, Parts: s.flags.Parts,
		Resume: s.flags.Resume, OnBad: s.flags.OnBad}}
	return scoring.shard(target, s.shardManifest)
}

// shardScores are the scores of all shards of a command.
type shardScores struct {
	parts []shardFile
	shardScorer
}

// mergedScores reads the shards' manifests, the command's options into options, and checks that no scores were changed since.
func mergedScores(paths []string, command string, options any) (*shardScores, error) {
	parts, err := readShards(paths)
	if err != nil {
		return nil, err
	}
	first := parts[0]
	if first.Command != command || first.Scorer == nil {
		return nil, fmt.Errorf("%s: is a shard of prm %s, not of prm %s", manifestOf(first.path), orScore(first.Command), command)
	}
	if err := json.Unmarshal(first.Options, options); err != nil {
		return nil, fmt.Errorf("%s: options: %w", manifestOf(first.path), err)
	}
	for _, part := range parts {
		if err := part.copyTo(io.Discard); err != nil {
			return nil, err
		}
	}
	return &shardScores{parts, *first.Scorer}, nil
}

func orScore(command string) string {
	if command == "" {
		return "score"
	}
	return command
}

// of checks that the paths are the files that were scored.
func (s *shardScores) of(paths []string, flags string) error {
	files, err := data.Files(paths)
	if err != nil {
		return fmt.Errorf("%w; %s says where the files lie now", err, flags)
	}
	got, err := copyFiles(io.Discard, files...)
	if err == nil && got != s.parts[0].Input {
		err = fmt.Errorf("%v: their SHA-256 is %s; the shards were scored with other files (%s)", files, got, s.parts[0].Input)
	}
	return err
}

// read yields the scores in the order of the input.
func (s *shardScores) read() iter.Seq2[*prm.StoredScore, error] {
	var files []string
	for _, part := range s.parts {
		if part.Scored > 0 { // an empty file is no data file
			files = append(files, part.path)
		}
	}
	return prm.ReadScores(files, data.ReadOptions{})
}

func (s *shardScores) info() *prm.ModelInfo {
	return &prm.ModelInfo{Alpha: s.Alpha, Threshold: s.Threshold, HasTrajectory: s.HasTrajectory}
}
