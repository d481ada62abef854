package prm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/data/tokenizer"
	"github.com/goprm/goprm/internal/filememo"
	"github.com/goprm/goprm/internal/modelfolder"
	"github.com/goprm/goprm/internal/remote"
	"github.com/goprm/goprm/internal/tokenshard"
	"github.com/goprm/goprm/loss"
)

// tokenFormat changes whenever the same key would stand for other tokens.
const tokenFormat = 1

// Folders of a cache besides featuresName.
const (
	tokensName = "tokens" // rendered data: a folder for each list of files and way to render them
	memoName   = "files"  // what is known about files that did not change since
)

// A shard of tokens ends with the row that fills it, so that a lost one can be made again between its neighbors.
const (
	shardRows  = 1024
	shardBytes = 32 << 20
)

// tokenCache finds rendered data files by everything that determines their tokens. Any number of processes may use it; one at a time
// renders a list of files, and the others wait for what it makes.
type tokenCache struct {
	dir      string // the cache's folder; "": tokens are kept in memory
	files    filememo.Memo
	readOnly bool
	text     string // SHA-256 of how trajectories become tokens
	rows     int    // most rows of a shard, those left out included
	log      *runLog
	shards   []*tokenshard.Shard
	told     time.Time // of the last line about progress
}

// tokenCache says where this run's tokens lie. They stay in memory where nothing tells what they depend on: with a program's own
// tokenizer, or with a chat template that asks for the time.
func (s *session) tokenCache() (*tokenCache, error) {
	c := &s.c
	k := &tokenCache{files: s.fileMemo(), readOnly: s.readOnly, rows: shardRows, log: s.log, told: time.Now()}
	files, err := data.ReadModelText(s.folder.TextDir)
	if err != nil {
		return nil, err
	}
	dir, err := cacheDir(c.Cache)
	if err != nil || c.Tokenizer != nil || c.Text.Template == "model" && strings.Contains(files.ChatTemplate, "strftime_now") {
		return k, nil
	}
	text, err := json.Marshal(c.Text)
	if err != nil {
		return nil, err
	}
	sum := sha256.New()
	for _, part := range []string{
		fmt.Sprintf("goprm tokens %d", tokenFormat), tokenshard.Layout(), modelfolder.ProgramVersion(c.Version), tokenizer.Implementation,
		s.tokenizerSum,
		string(text), fmt.Sprint(s.folder.Config.MaxLength(), c.anyLabel()), c.Data.OnBad,
	} {
		modelfolder.WriteString(sum, part)
	}
	k.dir, k.text = dir, hex.EncodeToString(sum.Sum(nil))
	return k, nil
}

// anyLabel reports whether the head can give any number.
func (c *TrainConfig) anyLabel() bool {
	return c.Head.Kind == "scalar" && c.Head.Activation == "identity" && c.Loss.Kind == loss.MSE
}

// Close unmaps the tokens.
func (k *tokenCache) Close() error {
	var failed []error
	for _, s := range k.shards {
		failed = append(failed, s.Close())
	}
	k.shards = nil
	return errors.Join(failed...)
}

// get returns the rendered trajectories of the files, or the given ones if they are not nil.
func (k *tokenCache) get(ctx context.Context, given iter.Seq2[*data.Trajectory, error], paths []string, r *data.Renderer,
	c *TrainConfig) (*examples, error) {
	if given == nil {
		folder, err := k.folder(paths)
		if err == nil && folder != "" {
			x, err := k.fromShards(ctx, folder, paths, r, c)
			unusable := new(tokenCacheError)
			if !errors.As(err, &unusable) && (x != nil || err != nil) {
				return x, err
			}
			if err != nil {
				k.log.warnf("tokens: %v; they are kept in memory, and the next start makes them again", err)
			}
		}
		given = data.Read(paths, data.ReadOptions{})
	}
	x := &examples{sum: sha256.New()}
	tokens := 0
	return x, renderAll(ctx, given, r, c, func(int) bool { return true }, func(i int, row renderedRow) error {
		if row.Example != nil {
			tokens += len(row.Tokens)
		}
		k.tell(i+1, tokens)
		return x.take(row, c)
	})
}

// tell says now and then how far rendering has come.
func (k *tokenCache) tell(rows, tokens int) {
	const every = 5 * time.Second
	if time.Since(k.told) > every {
		k.told = time.Now()
		k.log.infof("tokens: %d rows, %.1f million tokens", rows, float64(tokens)/1e6)
	}
}

// folder is where the tokens of the files lie; "" if they cannot be kept, or a file cannot be read, which reading it says better.
func (k *tokenCache) folder(paths []string) (string, error) {
	files, err := data.Files(paths)
	if err != nil || k.dir == "" {
		return "", err
	}
	sum := sha256.New()
	modelfolder.WriteString(sum, fmt.Sprint(k.text, k.rows, shardBytes))
	for _, file := range files {
		local, err := remote.Path(file)
		if err != nil {
			return "", err
		}
		if info, err := os.Stat(local); err != nil || !info.Mode().IsRegular() { // a pipe can be read once
			return "", err
		}
		content, err := k.files.Of(local, "sha256", func() (string, error) {
			b, err := modelfolder.HashFile(local)
			return hex.EncodeToString(b), err
		})
		if err != nil {
			return "", err
		}
		modelfolder.WriteString(sum, file) // ids and messages name it
		modelfolder.WriteString(sum, content)
	}
	return filepath.Join(k.dir, tokensName, hex.EncodeToString(sum.Sum(nil))), nil
}
