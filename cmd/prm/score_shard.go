package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"slices"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/atomicfile"
)

// scoreManifest lies beside the scores of a shard, as OUT.shard.json: what prm score merge must know of them.
type scoreManifest struct {
	Format   int    `json:"format"`
	Shard    int    `json:"shard"`
	Shards   int    `json:"shards"`
	From     int    `json:"from"` // rows of the input, from 0
	To       int    `json:"to"`
	Input    string `json:"input"`    // SHA-256 of the input's files, one behind the other
	Model    string `json:"model"`    // SHA-256 of all files that its scores depend on
	Settings string `json:"settings"` // that scores depend on
	Scored   int    `json:"scored"`
	Skipped  int    `json:"skipped"`
	SHA256   string `json:"sha256"` // of the scores
}

func manifestOf(scores string) string { return scores + ".shard.json" }

// part says which shard is asked for, nil: all rows.
func (c *scoreCommand) part(toFile bool) (*scoreManifest, error) {
	shard, shards, err := parseShard(c.Shard)
	switch {
	case err != nil:
		return nil, usageError(err.Error())
	case shards == 1:
		return nil, nil
	case !toFile || len(c.Replay) > 0 || slices.Contains(c.In, "-"):
		return nil, usageError("--shard needs --out, and files as input: they are read twice")
	}
	return &scoreManifest{Format: 1, Shard: shard, Shards: shards}, nil
}

// shard scores a part of the rows. The same command again, after any end, gives the same files.
func (s *scoring) shard(target string, m *scoreManifest) error {
	if err := os.Remove(manifestOf(target)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	rows, err := s.cut(m)
	if err != nil {
		return err
	}
	if m.Model, err = s.model.ContentHash(); err != nil {
		return err
	}
	info, alpha := s.model.Info(), "model"
	if s.command.Alpha != nil {
		alpha = fmt.Sprint(*s.command.Alpha)
	}
	m.Settings = fmt.Sprintf("prm %s, format %s, %s on %s, max_tokens %d, alpha %s, parts %q, on_bad %s", version, info.Format, info.DType,
		info.Backend, info.MaxTokens, alpha, s.command.Parts, s.command.OnBad)
	s.source, s.total = rows, m.To-m.From
	if err := s.toFile(target); err != nil {
		return err
	}
	m.Scored, m.Skipped = s.scored, s.bad
	if m.SHA256, err = copyFiles(io.Discard, target); err != nil {
		return err
	}
	return atomicfile.WriteFile(manifestOf(target), func(w io.Writer) error { return jsonLines(w).Encode(m) })
}

// cut finds the shard's rows: shards are parts of the input in its order, whose sizes differ by one at most.
func (s *scoring) cut(m *scoreManifest) (func() iter.Seq2[*data.Trajectory, error], error) {
	files, err := data.Files(s.command.In)
	if err != nil {
		return nil, err
	}
	if m.Input, err = copyFiles(io.Discard, files...); err != nil {
		return nil, err
	}
	all := func() iter.Seq2[*data.Trajectory, error] { return data.Read(s.command.In, data.ReadOptions{}) }
	n := 0
	for _, err := range all() {
		if row := new(data.RowError); err != nil && !errors.As(err, &row) {
			return nil, err
		}
		if err := s.ctx.Err(); err != nil {
			return nil, s.interrupted()
		}
		n++
	}
	m.From, m.To = m.Shard*n/m.Shards, (m.Shard+1)*n/m.Shards
	return func() iter.Seq2[*data.Trajectory, error] {
		return func(yield func(*data.Trajectory, error) bool) {
			i := 0
			for t, err := range all() {
				if i >= m.To || i >= m.From && !yield(t, err) {
					return
				}
				i++
			}
		}
	}, nil
}

// copyFiles writes files one behind the other, and returns the SHA-256 of all.
func copyFiles(w io.Writer, paths ...string) (string, error) {
	sum := sha256.New()
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return "", err
		}
		_, err = io.Copy(io.MultiWriter(w, sum), f)
		if err := errors.Join(err, f.Close()); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

type scoreMergeCommand struct {
	Shards []string `arg:"" help:"The outputs of all shards, in any order; each shard's OUT.shard.json lies beside it."`
	Out    string   `required:"" help:"File for all scores."`
}

func (scoreMergeCommand) Help() string {
	return "The result is what one run without shards gives, byte for byte. Example:\n\n  prm score merge scores-*.jsonl --out scores.jsonl"
}

func (c scoreMergeCommand) Run(p *program) error {
	target, err := outputTarget(c.Out, c.Shards)
	if err != nil {
		return err
	}
	parts, err := readShards(c.Shards)
	if err != nil {
		return err
	}
	scored, skipped := 0, 0
	err = atomicfile.WriteFile(target, func(w io.Writer) error {
		for _, part := range parts {
			scored, skipped = scored+part.Scored, skipped+part.Skipped
			if err := part.copyTo(w); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	p.console.Infof("%d trajectories scored, %d skipped", scored, skipped)
	return nil
}

// shardFile is the output of one shard.
type shardFile struct {
	scoreManifest
	path string
}

// readShards checks that the files are all shards of one run, and gives them in order.
func readShards(paths []string) ([]shardFile, error) {
	var parts []shardFile
	for _, path := range paths {
		part := shardFile{path: path}
		text, err := os.ReadFile(manifestOf(path))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s: %w; the shard is not finished, or was moved without it", path, err)
		}
		if err == nil {
			err = json.Unmarshal(text, &part.scoreManifest)
		}
		if err == nil && part.Format != 1 {
			err = fmt.Errorf("format %d is of a later version", part.Format)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", manifestOf(path), err)
		}
		parts = append(parts, part)
	}
	slices.SortStableFunc(parts, func(a, b shardFile) int { return a.Shard - b.Shard })
	first, row := parts[0], 0
	for i, part := range parts {
		switch {
		case part.Shards != first.Shards || part.Input != first.Input || part.Model != first.Model || part.Settings != first.Settings:
			return nil, fmt.Errorf("%s and %s are not shards of one run: their manifests differ in input, model or settings", first.path, part.path)
		case i > 0 && part.Shard == parts[i-1].Shard:
			return nil, fmt.Errorf("%s and %s are both shard %d", parts[i-1].path, part.path, part.Shard)
		case part.Shard != i || part.From != row:
			return nil, fmt.Errorf("shard %d of %d is missing", i, first.Shards)
		}
		row = part.To
	}
	if len(parts) != first.Shards {
		return nil, fmt.Errorf("shard %d of %d is missing", len(parts), first.Shards)
	}
	return parts, nil
}

// copyTo writes the shard's scores, or fails where they are not what the manifest is of.
func (f *shardFile) copyTo(w io.Writer) error {
	got, err := copyFiles(w, f.path)
	if err == nil && got != f.SHA256 {
		err = fmt.Errorf("%s: its SHA-256 is %s, %s says %s: it was changed after the shard ended", f.path, got, manifestOf(f.path), f.SHA256)
	}
	return err
}
