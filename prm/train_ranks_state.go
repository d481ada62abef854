package prm

import (
	"fmt"
	"os"

	"github.com/goprm/goprm/internal/checkpoint"
	"github.com/goprm/goprm/internal/dist"
	"github.com/goprm/goprm/internal/nnet"
)

// ranksRecord says in run.json which processes trained from a step on.
type ranksRecord struct {
	FromStep int    `json:"from_step"`
	World    int    `json:"world"`
	Launcher string `json:"launcher,omitempty"`
	Engine   string `json:"engine,omitempty"` // by which they communicated
	// GradientsBy is what GPUs exchange gradients and parameters by, such as NCCL 2.27.3; "": through the host's memory. NoNCCL says why.
	GradientsBy string     `json:"gradients_by,omitempty"`
	NoNCCL      string     `json:"no_nccl,omitempty"`
	Zero        int        `json:"zero,omitempty"`
	Ranks       []rankWork `json:"ranks,omitempty"` // in order; what they did is filled in when the session ends in good order
}

// rankWork is what one rank did.
type rankWork struct {
	Host         string `json:"host"`
	Device       string `json:"device"`
	Trajectories int    `json:"trajectories"` // trained on
	Tokens       int    `json:"tokens"`       // of them
	Evaluated    int    `json:"evaluated"`    // trajectories, in all evaluations
	BytesSent    int64  `json:"bytes_sent"`
	// Exchanges of gradients, and those of them that were due before the backward pass was over.
	Exchanges  int64 `json:"exchanges"`
	Overlapped int64 `json:"overlapped"`
}

// beginRanks records who will train.
func (s *session) beginRanks(from *checkpoint.Checkpoint) error {
	g, step := s.c.ranks, 0
	if from != nil {
		step = from.Step()
	}
	if g == nil {
		if n := len(s.record.Ranks); n > 0 && s.record.Ranks[n-1].World > 1 {
			s.record.Ranks = append(s.record.Ranks, ranksRecord{FromStep: step, World: 1})
		}
		return nil
	}
	ranks, err := s.gatherWork(rankWork{})
	if err != nil {
		return err
	}
	s.record.Ranks = append(s.record.Ranks, ranksRecord{
		FromStep: step, World: g.World, Launcher: g.Launcher, Engine: g.EngineName(), Zero: s.c.Dist.Zero, Ranks: ranks,
		GradientsBy: s.gradientsBy, NoNCCL: s.noNCCL,
	})
	by := g.EngineName()
	if s.gradientsBy != "" {
		by += ", gradients by " + s.gradientsBy
	}
	s.log.infof("%d ranks, started by %s, over %s; ZeRO stage %d", g.World, g.Launcher, by, s.c.Dist.Zero)
	return nil
}

// gatherWork lists what every rank did.
func (s *session) gatherWork(mine rankWork) ([]rankWork, error) {
	mine.Host, _ = os.Hostname() // "" where the system has no name
	mine.Device, mine.BytesSent = s.backend.Name(), s.c.ranks.Sent
	return dist.GatherValues(s.c.ranks, mine)
}

// endRanks records what every rank did, at the end of a session.
func (t *trainer) endRanks() error {
	if t.c.ranks == nil {
		return nil
	}
	t.work.Overlapped, t.work.Exchanges = t.network.Overlap()
	list, err := t.gatherWork(t.work)
	if err != nil {
		return err
	}
	t.record.Ranks[len(t.record.Ranks)-1].Ranks = list
	return t.c.ranks.First(t.saveDescriptions)
}

// resumedState is what rank 0 found in the run folder.
type resumedState struct {
	Meta      checkpointMeta
	Evaluated int
}

// tellState makes every rank's state that of rank 0.
func (t *trainer) tellState() error {
	told, err := dist.Told(t.c.ranks, resumedState{t.meta, t.evaluated})
	t.meta, t.evaluated = told.Meta, told.Evaluated
	return err
}

// countTokens adds up the tokens of a step over all ranks; with train: head, what the hidden states stand for. Idle micro-batches count
// only where all are, once.
func (t *trainer) countTokens(micros []nnet.MicroBatch) (int, error) {
	tokens, idle, examples := 0, 0, map[int32]bool{}
	for _, m := range micros {
		if m.Idle {
			idle = len(m.Tokens)
			continue
		}
		tokens += len(m.Tokens)
		for _, at := range m.Trajectory {
			examples[at] = true
		}
	}
	t.work.Tokens, t.work.Trajectories = t.work.Tokens+tokens, t.work.Trajectories+len(examples)
	sum := []float64{float64(tokens)}
	if err := t.c.ranks.Sum(sum); err != nil {
		return 0, err
	}
	if sum[0] == 0 {
		return idle, nil
	}
	return int(sum[0]), nil
}

// joinScores puts the scores of every rank's share of the evaluation data together.
func (t *trainer) joinScores(part *readScores) (*readScores, error) {
	g, list := t.c.ranks, t.data.eval
	t.work.Evaluated += len(part.values)
	if g == nil {
		return part, nil
	}
	all, err := g.Gather(part.encode())
	if err != nil {
		return nil, err
	}
	joined := newReadScores(list)
	for rank, share := range dealTokens(list, g.World) {
		if err := joined.decode(all[rank], share); err != nil {
			return nil, fmt.Errorf("the scores of rank %d: %w", rank, err)
		}
	}
	return joined, nil
}
