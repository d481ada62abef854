package main

import (
	"bytes"
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
	"strconv"
	"strings"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/remote"
)

// shardManifest lies beside the scores of a shard, as OUT.shard.json: what the commands that merge must know of them.
type shardManifest struct {
	Format   int    `json:"format"`
	Shard    int    `json:"shard"`
	Shards   int    `json:"shards"`
	From     int    `json:"from"` // trajectories of the input, from 0
	To       int    `json:"to"`
	Input    string `json:"input"`    // SHA-256 of the input's files, one behind the other
	Model    string `json:"model"`    // SHA-256 of all files that its scores depend on
	Settings string `json:"settings"` // that scores depend on
	// Command is select or eval, "" for score. Options are what it does with the scores of all shards, and Scorer the model whose
	// scores they are.
	Command string          `json:"command,omitempty"`
	Options json.RawMessage `json:"options,omitempty"`
	Scorer  *shardScorer    `json:"scorer,omitempty"`

	Scored  int    `json:"scored"`
	Skipped int    `json:"skipped"`
	SHA256  string `json:"sha256"` // of the scores
}

// shardScorer is what prm select and prm eval use of a model besides its scores.
type shardScorer struct {
	Name          string  `json:"name"` // as the command named its folder
	Alpha         float64 `json:"alpha"`
	Threshold     float64 `json:"threshold"`
	HasTrajectory bool    `json:"has_trajectory"`
}

func manifestOf(scores string) string { return scores + ".shard.json" }

// newShard is the manifest of the shard that --shard names; nil: all of the input.
func newShard(text string) (*shardManifest, error) {
	shard, shards, err := parseShard(text)
	if err != nil {
		return nil, usageError(err.Error())
	}
	if shards == 1 {
		return nil, nil
	}
	return &shardManifest{Format: 1, Shard: shard, Shards: shards}, nil
}

// shard scores a part of the trajectories. The same command again, after any end, gives the same files; after a good one there is
// nothing to do.
func (s *scoring) shard(target string, m *shardManifest) error {
	if err := s.cut(m); err != nil {
		return err
	}
	var err error
	if m.Model, err = s.model.ContentHash(); err != nil {
		return err
	}
	info, alpha := s.model.Info(), "model"
	if s.command.Alpha != nil {
		alpha = fmt.Sprint(*s.command.Alpha)
	}
	m.Settings = fmt.Sprintf("prm %s, format %s, %s on %s, max_tokens %d, alpha %s, parts %q, on_bad %s", version, info.Format, info.DType,
		engine.BitsOf(info.Backend, info.DType), info.MaxTokens, alpha, s.command.Parts, s.command.OnBad)
	if m.finished(target) {
		s.console.Infof("%s: shard %d of %d is finished, nothing is to be done", s.command.Out, m.Shard, m.Shards)
		return nil
	}
	if err := removeTarget(manifestOf(target)); err != nil {
		return err
	}
	if m.SHA256, err = s.toFile(target); err != nil {
		return err
	}
	m.Scored, m.Skipped = s.scored, s.bad
	return writeTarget(manifestOf(target), func(w io.Writer) error { return jsonLines(w).Encode(m) })
}

// finished tells whether the shard's output is there already: made of the same input, by the same model and settings, and unchanged.
func (m *shardManifest) finished(target string) bool {
	before, err := readShard(target)
	if err != nil {
		return false
	}
	want := *m
	want.Scored, want.Skipped, want.SHA256 = before.Scored, before.Skipped, before.SHA256
	a, errA := json.Marshal(want)
	b, errB := json.Marshal(before.shardManifest)
	return errA == nil && errB == nil && bytes.Equal(a, b) && before.copyTo(io.Discard) == nil
}

// cut leaves of the source the shard's trajectories: shards are parts of the input in its order, whose sizes differ by one at most.
func (s *scoring) cut(m *shardManifest) error {
	files, err := data.Files(s.command.In)
	if err != nil {
		return err
	}
	if m.Input, err = copyFiles(io.Discard, files...); err != nil {
		return err
	}
	all, n := s.source, 0
	for _, err := range all() {
		if row := new(data.RowError); err != nil && !errors.As(err, &row) {
			return err
		}
		if err := s.ctx.Err(); err != nil {
			return s.interrupted()
		}
		n++
	}
	m.From, m.To = m.Shard*n/m.Shards, (m.Shard+1)*n/m.Shards
	s.total = m.To - m.From
	s.source = func() iter.Seq2[*data.Trajectory, error] {
		return func(yield func(*data.Trajectory, error) bool) {
			i := 0
			for t, err := range all() {
				if i >= m.To || i >= m.From && !yield(t, err) {
					return
				}
				i++
			}
		}
	}
	return nil
}

// copyFiles writes files one behind the other, and returns the SHA-256 of all.
func copyFiles(w io.Writer, paths ...string) (string, error) {
	sum := sha256.New()
	for _, path := range paths {
		local, err := remote.Path(path)
		if err != nil {
			return "", err
		}
		f, err := os.Open(local)
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

// shardFile is the output of one shard.
type shardFile struct {
	shardManifest
	path string
}

func readShard(path string) (shardFile, error) {
	part := shardFile{path: path}
	text, err := readTarget(manifestOf(path))
	if errors.Is(err, fs.ErrNotExist) {
		return part, fmt.Errorf("%s: %w; the shard is not finished, or was moved without it", path, err)
	}
	if err == nil {
		err = json.Unmarshal(text, &part.shardManifest)
	}
	if err == nil && part.Format != 1 {
		err = fmt.Errorf("format %d is not known, only 1", part.Format)
	}
	if err != nil {
		return part, fmt.Errorf("%s: %w", manifestOf(path), err)
	}
	return part, nil
}

// readShards checks that the files are all shards of one run, and gives them in order.
func readShards(paths []string) ([]shardFile, error) {
	paths, err := shardPaths(paths)
	if err != nil {
		return nil, err
	}
	var parts []shardFile
	for _, path := range paths {
		part, err := readShard(path)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
	}
	slices.SortStableFunc(parts, func(a, b shardFile) int { return a.Shard - b.Shard })
	first, row := parts[0], 0
	for i, part := range parts {
		switch other := first.unlike(part.shardManifest); {
		case other != "":
			return nil, fmt.Errorf("%s and %s are not shards of one run: %s", first.path, part.path, other)
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

// shardPaths are the outputs that the paths stand for, of which addresses may be patterns: what lies beside the outputs matches too.
func shardPaths(paths []string) ([]string, error) {
	all, err := remote.Expand(paths)
	beside := func(path string) bool {
		return strings.HasSuffix(path, manifestOf("")) || strings.HasSuffix(path, partEnding)
	}
	if slices.ContainsFunc(all, func(path string) bool { return !beside(path) }) {
		all = slices.DeleteFunc(all, beside)
	}
	return all, err
}

// unlike says what is different that all shards of a run have in common; "": nothing is.
func (m shardManifest) unlike(o shardManifest) string {
	for _, c := range []struct{ what, a, b string }{
		{"commands", "prm " + orScore(m.Command), "prm " + orScore(o.Command)},
		{"numbers of shards", strconv.Itoa(m.Shards), strconv.Itoa(o.Shards)},
		{"inputs (SHA-256)", m.Input, o.Input}, {"models (SHA-256)", m.Model, o.Model}, {"settings", m.Settings, o.Settings},
		{"options", string(m.Options), string(o.Options)},
	} {
		if c.a != c.b {
			return fmt.Sprintf("their %s differ: %s, and %s", c.what, c.a, c.b)
		}
	}
	return ""
}

// copyTo writes the shard's scores, or fails where they are not what the manifest is of.
func (f *shardFile) copyTo(w io.Writer) error {
	got, err := copyFiles(w, f.path)
	if err == nil && got != f.SHA256 {
		err = fmt.Errorf("%s: its SHA-256 is %s, %s says %s: it was changed after the shard ended", f.path, got, manifestOf(f.path), f.SHA256)
	}
	return err
}
