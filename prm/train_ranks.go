package prm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/dist"
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/nnet"
)

// DistConfig says how the ranks of a distributed run share it; see docs/scale.md. A single process ignores it.
type DistConfig struct {
	// Zero is the ZeRO stage: 1 (default), the optimizer's state is shared out among the ranks; or 2, the sum of the gradients too, for one
	// exchange each micro-batch instead of one each step. 2 takes more memory, as it keeps a micro-batch's gradients beside; it is for runs
	// that began with it, as their bits differ by rounding.
	Zero int `yaml:"zero"`
	// NCCL is whether gradients and parameters of GPUs go from device to device: auto (default), where the library is and every rank can;
	// off, through the host's memory; or required. The bits are the same.
	NCCL    string `yaml:"nccl"`
	Timeout int    `yaml:"timeout"` // seconds that a rank waits for the others before the run ends; 1800
}

// trainJoined makes the run that of all processes of the launch.
func trainJoined(ctx context.Context, c TrainConfig) (*TrainResult, error) {
	launch, err := dist.FromEnv(os.Getenv)
	if err != nil {
		return nil, err
	}
	c.Distributed = false // joined, from here on
	if c.ranks, err = dist.Join(launch, time.Duration(c.Dist.Timeout)*time.Second); err != nil {
		return nil, err
	}
	return trainAsRank(ctx, c)
}

// trainAsRank trains as the rank that the configuration has joined as, and leaves. A rank that fails leaves at once: the launcher ends the
// others, or they find out when they have waited for as long as dist.timeout allows.
func trainAsRank(ctx context.Context, c TrainConfig) (*TrainResult, error) {
	g := c.ranks
	if !g.IsFirst() { // one rank talks for all
		c.Progress, c.Quiet, c.Logger, c.OnStep, c.OnEvaluate = io.Discard, true, nil, nil, nil
	}
	result, err := Train(ctx, c)
	if err != nil {
		var named *dist.RankError
		var call *dist.CallError
		if g != nil && !errors.As(err, &named) && !errors.As(err, &call) {
			err = &dist.RankError{Rank: g.Rank, World: g.World, Err: err}
		}
		g.Fail(err)
		return nil, err
	}
	result.Rank = g.Number()
	if err := g.Close(); err != nil {
		return nil, err
	}
	return result, nil
}

// meet lets the GPUs of the ranks exchange gradients by themselves, where they can and may, and notes it for run.json.
func (s *session) meet(network *nnet.Network) error {
	if s.c.Dist.NCCL == "off" || s.c.ranks == nil {
		return nil
	}
	by, why, err := network.Meet()
	if err != nil {
		return err
	}
	if by == "" && s.c.Dist.NCCL == "required" {
		return fmt.Errorf("dist.nccl is required, but %s", cmp.Or(why, s.backend.Name()+" computes in the host's memory"))
	}
	if why != "" {
		s.log.warnf("gradients go through the host's memory: %s", why)
	}
	s.gradientsBy, s.noNCCL = by, why
	return nil
}

// openRankBackend opens the device of this rank: with device auto the GPU of its number on this machine, and its share of the threads.
// Where that is the CPU instead, noGPU says why.
func (c *TrainConfig) openRankBackend() (b engine.Backend, noGPU error, err error) {
	g, threads := c.ranks, c.Threads
	if g == nil || g.LocalRank < 0 {
		b, err = openBackend(c.Device, c.Backend, c.DType, threads)
		return b, nil, err
	}
	if threads == 0 && g.LocalWorld > 1 {
		threads = max(1, runtime.GOMAXPROCS(0)/g.LocalWorld)
	}
	if c.Device != "auto" {
		b, err = openBackend(c.Device, c.Backend, c.DType, threads)
		return b, nil, err
	}
	if b, noGPU = openBackend(fmt.Sprintf("cuda:%d", g.LocalRank), c.Backend, c.DType, threads); noGPU == nil {
		return b, nil, nil
	}
	b, err = openBackend("cpu", c.Backend, c.DType, threads)
	return b, noGPU, err
}

// ranksHere is how many ranks of the run this machine holds, as far as the launcher says.
func (c *TrainConfig) ranksHere() int64 {
	if c.ranks == nil {
		return 1
	}
	return int64(max(1, c.ranks.LocalWorld))
}

// sameOnAllRanks refuses ranks whose numbers would differ: by configuration, data, model or kernels.
func (s *session) sameOnAllRanks() error {
	g := s.c.ranks
	if g == nil {
		return nil
	}
	mine := flatten(s.c)
	for _, key := range []string{"model", "base", "cache", "threads", "tracking"} {
		delete(mine, key)
	}
	mine["device"], _, _ = strings.Cut(mine["device"], ":")
	r := &s.record
	mine["version"], mine["content of model"], mine["content of the tokenizer"] = r.Version, r.Model.SHA256, r.Tokenizer.SHA256
	mine["content of data.train"], mine["content of data.eval"] = r.Data.Train.SHA256, r.Data.evalHash().SHA256
	first, err := dist.Told(g, mine)
	if err != nil {
		return err
	}
	for key, value := range mine {
		if first[key] != value {
			return g.Agree(fmt.Errorf("%s is %s here and %s on rank 0", key, oneLine(value), oneLine(first[key])))
		}
	}
	return g.Agree(nil)
}

// sharedOut checks that this rank sees the run folder that rank 0 made.
func (s *session) sharedOut() error {
	if s.c.ranks == nil {
		return nil
	}
	_, err := os.Stat(filepath.Join(s.c.Out, recordName))
	if err != nil {
		host, _ := os.Hostname() // "" says less
		err = fmt.Errorf("out: on %s the run folder is not there: it must lie on a file system that all ranks share: %w", host, err)
	}
	return s.c.ranks.Agree(err)
}

// dealTokens gives examples to so many ranks by their tokens. The lists are indices, in order.
func dealTokens(list []*data.Example, ranks int) [][]int {
	tokens, dealt := make([]int64, len(list)), make([][]int, ranks)
	for i, e := range list {
		tokens[i] = int64(len(e.Tokens))
	}
	for i, rank := range dist.Deal(tokens, ranks) {
		dealt[rank] = append(dealt[rank], i)
	}
	return dealt
}

// share are the indices of the examples that this rank computes.
func (c *TrainConfig) share(list []*data.Example) []int {
	return dealTokens(list, c.ranks.Size())[c.ranks.Number()]
}

// pick lists examples, or what else, by index.
func pick[T any](list []T, indices []int) []T {
	picked := make([]T, len(indices))
	for i, at := range indices {
		picked[i] = list[at]
	}
	return picked
}

// stopped reports whether any rank's context has ended.
func (t *trainer) stopped(ctx context.Context) (bool, error) { return t.c.ranks.Any(ctx.Err() != nil) }
