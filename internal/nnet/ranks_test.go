package nnet_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/dist"
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/nnet"
	"github.com/stretchr/testify/require"
)

// trained is what one rank has after some steps.
type trained struct {
	results []nnet.StepResult
	values  map[string][]float64
	state   map[string][]byte // as it is stored
	sent    int64
	early   int64 // exchanges of gradients that began before a backward pass was over
	rounds  int64 // of all
	err     error
}

// onRanks takes steps on the examples, dealt in turn to a world of goroutines, each with a backend of its own.
func onRanks(t *testing.T, spec nnet.Spec, world, stage, steps int, damage func(rank, step int, n *nnet.Network)) []trained {
	t.Helper()
	groups := []*dist.Group{nil}
	if world > 1 {
		groups = dist.Local(world, time.Minute)
	}
	openers := make([]*opener, world)
	for r := range openers {
		openers[r] = newOpener(t, "portable")
	}
	out := make([]trained, world)
	var work sync.WaitGroup
	for r, g := range groups {
		work.Go(func() { out[r] = oneRank(t, openers[r], spec, g, stage, steps, damage) })
	}
	work.Wait()
	return out
}

// share are the micro-batches of a rank, a single one in every second step.
func share(t *testing.T, rank, world, step int) []nnet.MicroBatch {
	var mine []*data.Example
	for i, e := range examples(10) {
		if i%world == rank {
			mine = append(mine, e)
		}
	}
	batches, err := data.Pack(mine, data.PackOptions{Tokens: 60 << (step % 2 * 5), N: 10, LambdaStep: 1, LambdaFinal: 0.5})
	require.NoError(t, err)
	var list []nnet.MicroBatch
	for _, b := range batches {
		list = append(list, nnet.MicroBatch{Batch: b})
	}
	return list
}

func oneRank(t *testing.T, o *opener, spec nnet.Spec, g *dist.Group, stage, steps int,
	damage func(rank, step int, n *nnet.Network)) trained {
	n := o.open(spec)
	out := trained{values: map[string][]float64{}, state: map[string][]byte{}}
	if out.err = n.Join(g, stage); out.err != nil {
		return out
	}
	for step := range steps {
		list := share(t, g.Number(), g.Size(), step)
		if damage != nil {
			damage(g.Number(), step, n)
		}
		r, err := n.TrainStep(context.Background(), list, nnet.AdamW{LR: 1e-2, HeadLR: 1e-2, Beta1: 0.9, Beta2: 0.99, Eps: 1e-8, WeightDecay: 0.1,
			Clip: 0.5, Seed: 3})
		if err != nil {
			out.err = err
			break
		}
		out.results = append(out.results, r)
	}
	for _, p := range n.Parameters() {
		v, err := n.Get(p.Name)
		require.NoError(t, err)
		out.values[p.Name] = v
	}
	tensors, _, err := n.State()
	require.NoError(t, err)
	for _, s := range tensors {
		var b bytes.Buffer
		require.NoError(t, s.Write(&b))
		out.state[s.Name] = b.Bytes()
	}
	out.early, out.rounds = n.Overlap()
	if g != nil {
		out.sent = g.Sent
	}
	return out
}

// farthest is the largest difference between two networks, relative to the value where that is above 1.
func farthest(t *testing.T, want, got map[string][]float64) float64 {
	t.Helper()
	worst := 0.0
	for name, w := range want {
		require.Len(t, got[name], len(w), name)
		for i, v := range w {
			worst = math.Max(worst, math.Abs(v-got[name][i])/math.Max(1, math.Abs(v)))
		}
	}
	return worst
}

// Any number of ranks trains what one process trains, within rounding; all ranks end with the same bits, and every run repeats them.
func TestRanksTrainWhatOneProcessDoes(t *testing.T) {
	for _, c := range []struct {
		spec  nnet.Spec
		bound float64
	}{
		{nnet.Spec{Train: nnet.TrainFull, DType: engine.F64}, 1e-12},
		{nnet.Spec{Train: nnet.TrainLoRA, DType: engine.F64}, 1e-12},
		{nnet.Spec{Train: nnet.TrainFull}, 2e-4},
	} {
		alone := onRanks(t, c.spec, 1, 1, 3, nil)[0]
		require.NoError(t, alone.err)
		for _, world := range []int{2, 4, 7} { // seven sum by slices, as one of them owns much more than the others
			for _, stage := range []int{1, 2} {
				what := fmt.Sprintf("%s in %v, %d ranks, stage %d", c.spec.Train, c.spec.DType, world, stage)
				all := onRanks(t, c.spec, world, stage, 3, nil)
				states := map[string][]byte{}
				for r, one := range all {
					require.NoError(t, one.err, what)
					require.Less(t, farthest(t, alone.values, one.values), c.bound, what)
					require.Equal(t, all[0].values, one.values, "%s: rank %d", what, r)
					for i, s := range one.results {
						require.InDelta(t, alone.results[i].Loss, s.Loss, c.bound, what)
						require.InDelta(t, alone.results[i].GradNorm, s.GradNorm, 10*c.bound, what)
						require.Equal(t, alone.results[i].NumStep, s.NumStep, what)
					}
					for name, b := range one.state {
						require.NotContains(t, states, name, "%s: two ranks store it", what)
						states[name] = b
					}
				}
				require.Len(t, states, len(alone.state), what) // all ranks together store what one process stores
				if stage == 2 {
					again := onRanks(t, c.spec, world, stage, 3, nil)
					require.Equal(t, all[world-1].values, again[world-1].values, what)
				}
			}
		}
	}
}

// All ranks together send the gradients to their owners and the parameters back to all others: 2(W-1) times the bytes of what is trained.
func TestBytesOfAStep(t *testing.T) {
	const world, steps = 3, 2
	all := onRanks(t, nnet.Spec{Train: nnet.TrainFull}, world, 1, steps, nil)
	numbers, sent := 0, int64(0)
	for name, v := range all[0].values {
		if _, trained := all[0].state["param."+name]; trained {
			numbers += len(v)
		}
	}
	for _, one := range all {
		require.NoError(t, one.err)
		sent += one.sent
	}
	want := int64(steps * 2 * (world - 1) * 4 * numbers)
	require.GreaterOrEqual(t, sent, want)
	require.Less(t, sent, want+world*steps*2000, "besides them only losses and sums of squares")
}

// rounding is a backend that keeps rounded copies of weights, which follow what is written to a weight's beginning; it counts how often.
type rounding struct {
	engine.Backend
	renewed map[unsafe.Pointer]int
}

func (r rounding) KeepRounded(*engine.Tensor) error { return nil }

func (r rounding) Upload(dst *engine.Tensor, src []byte) error {
	if len(src) == 0 {
		r.renewed[dst.Ptr]++
	}
	return r.Backend.Upload(dst, src)
}

// What comes from other ranks comes in pieces, so the rounded copies of those weights are made anew after each step.
func TestRoundedCopiesFollowOtherRanks(t *testing.T) {
	const steps = 3
	groups, openers := dist.Local(2, time.Minute), []*opener{newOpener(t, "portable"), newOpener(t, "portable")}
	var work sync.WaitGroup
	out := make([]trained, 2)
	for r, o := range openers {
		o.backend = rounding{o.backend, map[unsafe.Pointer]int{}}
		work.Go(func() { out[r] = oneRank(t, o, nnet.Spec{Train: nnet.TrainFull}, groups[r], 1, steps, nil) })
	}
	work.Wait()
	all := 0
	for r, o := range openers {
		require.NoError(t, out[r].err)
		renewed := o.backend.(rounding).renewed
		all += len(renewed)
		for _, times := range renewed {
			require.Equal(t, steps, times)
		}
	}
	parameters := 0
	for name := range out[0].state {
		if strings.HasPrefix(name, "param.") {
			parameters++
		}
	}
	require.Equal(t, parameters, all, "each is another rank's on one of two")
}

// A NaN on one rank stops all before anything is applied, and all name the same tensor.
func TestNaNOnOneRankStopsAll(t *testing.T) {
	for _, stage := range []int{1, 2} {
		before := map[string][]float64{}
		all := onRanks(t, nnet.Spec{Train: nnet.TrainFull}, 3, stage, 3, func(rank, step int, n *nnet.Network) {
			if rank != 1 || step != 2 {
				return
			}
			for _, p := range n.Parameters() {
				v, err := n.Get(p.Name)
				require.NoError(t, err)
				before[p.Name] = v
			}
			bias, err := n.Get("score.bias")
			require.NoError(t, err)
			bias[0] = math.NaN()
			require.NoError(t, n.Set("score.bias", bias))
		})
		for r, one := range all {
			bad := new(nnet.NonFiniteError)
			require.True(t, errors.As(one.err, &bad), "rank %d: %v", r, one.err)
			require.Equal(t, all[0].err.Error(), one.err.Error())
			if r != 1 {
				require.Equal(t, before, one.values, "rank %d", r)
			}
		}
	}
}
