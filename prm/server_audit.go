package prm

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/modelfolder"
	"github.com/goprm/goprm/internal/served"
)

// auditLine is a scored trajectory with all that its score depends on.
type auditLine struct {
	Time       string           `json:"time"`
	Model      string           `json:"model"`    // hash of its files
	Settings   string           `json:"settings"` // hash of the server's
	Backend    string           `json:"backend"`
	DType      string           `json:"dtype"`
	Alpha      *float64         `json:"alpha,omitempty"`
	Parts      string           `json:"parts"`
	Trajectory *data.Trajectory `json:"trajectory"`
	Score      json.RawMessage  `json:"score"` // as prm score writes it
}

// audit writes a share of the scored trajectories.
type audit struct {
	line   auditLine // what all have in common
	below  uint64    // of the hash's first bytes
	logger *slog.Logger

	mu  sync.Mutex
	out io.Writer // nil after a failure
}

func newAudit(opt ServerOptions, s *servedModel) *audit {
	info := s.model.Info()
	a := &audit{out: opt.Audit, below: math.MaxUint64, logger: cmp.Or(opt.Logger, slog.Default()), line: auditLine{
		Model: s.info.Identity, Settings: s.info.Settings, Backend: info.Backend, DType: info.DType, Alpha: s.opt.Alpha, Parts: s.opt.Parts,
	}}
	if opt.AuditShare < 1 {
		a.below = uint64(opt.AuditShare * math.MaxUint64)
	}
	return a
}

// add writes a trajectory if its content's hash is among the share. A nil audit writes none.
func (a *audit) add(t *data.Trajectory, score *Score) {
	if a == nil {
		return
	}
	err := func() error {
		text, err := json.Marshal(t)
		if err != nil {
			return err
		}
		if sum := sha256.Sum256(text); binary.BigEndian.Uint64(sum[:]) > a.below {
			return nil
		}
		line := a.line
		line.Time, line.Trajectory = time.Now().UTC().Format(time.RFC3339Nano), t
		if line.Score, err = json.Marshal(score); err != nil {
			return err
		}
		text, err = json.Marshal(line)
		if err != nil {
			return err
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.out == nil {
			return nil
		}
		if _, err = a.out.Write(append(text, '\n')); err != nil {
			a.out = nil
		}
		return err
	}()
	if err != nil {
		a.logger.Warn(fmt.Sprintf("audit: %v", err))
	}
}

// settingsHash is the SHA-256 of everything beside the model's files that an answer depends on.
func (m *Model) settingsHash(opt ServerOptions, told served.Info) string {
	info := m.Info()
	text, _ := json.Marshal(map[string]any{ // of texts and numbers
		"alpha": fmt.Sprint(told.Alpha), "name": told.Name, "parts": opt.Parts, "beta": pointed(opt.Beta), "blend_scale": opt.BlendScale,
		"ungraded": opt.Ungraded, "too_long": opt.TooLong, "unscored": opt.Unscored, "max_tokens": opt.MaxTokens,
		"format": info.Format, "backend": info.Backend, "dtype": info.DType, "threshold": fmt.Sprint(info.Threshold),
		"version": modelfolder.ProgramVersion(""),
	})
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// pointed shows a number, or that there is none.
func pointed(v *float64) string {
	if v == nil {
		return ""
	}
	return fmt.Sprint(*v)
}

// Replayed is one line of an audit log, scored again.
type Replayed struct {
	ID            string
	Before, Now   json.RawMessage // as prm score writes them
	Same          bool            // to the last bit
	OtherModel    bool            // the log is of a model with other files
	BackendBefore string          // device, kernels and dtype of the log
}

// Replay scores the trajectories of a server's audit log again, as the server did.
func (m *Model) Replay(ctx context.Context, paths []string) iter.Seq2[*Replayed, error] {
	return func(yield func(*Replayed, error) bool) {
		hash, err := m.ContentHash()
		if err != nil {
			yield(nil, err)
			return
		}
		for line, err := range data.Lines(paths, data.ReadOptions{}) {
			var r *Replayed
			if err == nil {
				if r, err = m.replay(ctx, line.Text, hash); err != nil {
					err = fmt.Errorf("%s:%d: %w", line.File, line.Number, err)
				}
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

func (m *Model) replay(ctx context.Context, text []byte, hash string) (*Replayed, error) {
	var was auditLine
	if err := json.Unmarshal(text, &was); err != nil {
		return nil, err
	}
	if was.Trajectory == nil || was.Score == nil {
		return nil, errors.New("not a line of an audit log: trajectory or score is missing")
	}
	r := &Replayed{ID: was.Trajectory.ID, Before: was.Score, OtherModel: was.Model != hash, BackendBefore: was.Backend + " " + was.DType}
	options := ScoreOptions{Alpha: was.Alpha, Parts: was.Parts}
	for score, err := range m.ScoreAll(ctx, Slice([]*data.Trajectory{was.Trajectory}), options) {
		if err != nil {
			return nil, err
		}
		now, err := json.Marshal(score)
		if err != nil {
			return nil, err
		}
		r.Now, r.Same = now, bytes.Equal(now, was.Score)
	}
	return r, nil
}
