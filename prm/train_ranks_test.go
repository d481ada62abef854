package prm

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/checkpoint"
	"github.com/goprm/goprm/internal/dist"
	"github.com/goprm/goprm/internal/safetensors"
	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/stretchr/testify/require"
)

// trainOn trains with so many ranks, goroutines here; change may give one of them another configuration or context.
func trainOn(t testing.TB, c TrainConfig, world int, change func(rank int, ctx context.Context, c *TrainConfig) context.Context) (
	[]*TrainResult, []error) {
	t.Helper()
	results, errs := make([]*TrainResult, world), make([]error, world)
	groups := []*dist.Group{nil}
	if world > 1 {
		groups = dist.Local(world, time.Minute)
	}
	var work sync.WaitGroup
	for rank, g := range groups {
		one, ctx := c, context.Background()
		one.ranks = g
		if change != nil {
			ctx = change(rank, ctx, &one)
		}
		work.Go(func() { results[rank], errs[rank] = trainAsRank(ctx, one) })
	}
	work.Wait()
	return results, errs
}

// requireTrained trains with so many ranks without an error.
func requireTrained(t testing.TB, c TrainConfig, world int) []*TrainResult {
	t.Helper()
	results, errs := trainOn(t, c, world, nil)
	for _, err := range errs {
		require.NoError(t, err)
	}
	return results
}

// lastState are the numbers of the newest checkpoint, of all files.
func lastState(t testing.TB, out string) map[string][]float64 {
	t.Helper()
	found, err := checkpoint.Newest(filepath.Join(out, checkpointsName), func(name, reason string) { t.Fatal(name, reason) })
	require.NoError(t, err)
	all := map[string][]float64{}
	for name := range found.Files() {
		if !strings.HasSuffix(name, ".safetensors") {
			continue
		}
		file, err := safetensors.Open(filepath.Join(found.Dir(), name))
		require.NoError(t, err)
		for _, info := range file.Tensors() {
			require.NotContains(t, all, info.Name)
			v, err := safetensors.AppendFloat64(nil, info, file.Bytes(info.Name))
			require.NoError(t, err)
			all[info.Name] = v
		}
		require.NoError(t, file.Close())
	}
	return all
}

func requireNear(t testing.TB, want, got map[string][]float64, bound float64) {
	t.Helper()
	require.Len(t, got, len(want))
	for name, w := range want {
		require.Len(t, got[name], len(w), name)
		for i := range w {
			require.InDelta(t, w[i], got[name][i], bound*math.Max(1, math.Abs(w[i])), name)
		}
	}
}

// requireSameNumbers compares metrics line by line: the same keys, numbers within the bound.
func requireSameNumbers(t testing.TB, want, got []string, bound float64) {
	t.Helper()
	require.Len(t, got, len(want))
	for i := range want {
		var a, b map[string]any
		require.NoError(t, json.Unmarshal([]byte(want[i]), &a))
		require.NoError(t, json.Unmarshal([]byte(got[i]), &b))
		requireSameValues(t, a, b, bound)
	}
}

func requireSameValues(t testing.TB, a, b map[string]any, bound float64) {
	t.Helper()
	require.Len(t, b, len(a))
	for key, v := range a {
		switch v := v.(type) {
		case float64:
			require.InDelta(t, v, b[key], bound, key)
		case map[string]any:
			requireSameValues(t, v, b[key].(map[string]any), bound)
		default:
			require.Equal(t, v, b[key], key)
		}
	}
}

// Two and four ranks train what one process trains, within the rounding of f64: weights, moments, metrics, evaluations. A world size
// repeats its bits, and run.json says who did what.
func TestRanksTrainTheSameModel(t *testing.T) {
	base := tiny(t, tinymodel.Options{})
	for _, mode := range []string{"full", "lora", "head"} {
		c := config(t, base)
		c.Train, c.DType, c.Optim.Epochs, c.LoRA.Dropout = mode, "f64", 1, 0.1
		c.Head.Init = map[string]string{"full": "zeros", "lora": "ridge", "head": "ridge"}[mode]
		alone := requireTrained(t, c, 1)[0]
		want, wantRows := lastState(t, c.Out), rows(t, c.Out)
		for _, world := range []int{2, 4} {
			for _, zero := range []int{1, 2} {
				if zero == 1 && world == 4 && mode != "lora" {
					continue // the time is for the others
				}
				several := c
				several.Out, several.Dist.Zero, several.Cache = filepath.Join(t.TempDir(), "run"), zero, filepath.Join(t.TempDir(), "cache")
				results := requireTrained(t, several, world)
				requireNear(t, want, lastState(t, several.Out), 1e-12)
				requireSameNumbers(t, wantRows, rows(t, several.Out), 1e-11)
				require.Equal(t, alone.Tokens, results[world-1].Tokens)
				require.Equal(t, world-1, results[world-1].Rank)
				requireWork(t, several, world, alone)

				again := several
				again.Out = filepath.Join(t.TempDir(), "again")
				requireTrained(t, again, world)
				require.Equal(t, weights(t, several.Out), weights(t, again.Out))
				require.Equal(t, rows(t, several.Out), rows(t, again.Out))
			}
		}
	}
}

func requireWork(t testing.TB, c TrainConfig, world int, alone *TrainResult) {
	t.Helper()
	record, err := readRecord(filepath.Join(c.Out, recordName))
	require.NoError(t, err)
	require.Len(t, record.Ranks, 1)
	r := record.Ranks[0]
	require.Equal(t, []any{world, "goroutines", c.Dist.Zero, world}, []any{r.World, r.Engine, r.Zero, len(r.Ranks)})
	tokens, evaluated := 0, 0
	for _, one := range r.Ranks {
		tokens, evaluated = tokens+one.Tokens, evaluated+one.Evaluated
		require.Positive(t, one.BytesSent)
		require.NotEmpty(t, one.Device)
	}
	require.Equal(t, alone.Tokens, tokens)
	require.Equal(t, 2*alone.Counts.EvalTrajectories, evaluated) // after step 5 and at the end
}

// A checkpoint of four ranks is resumed by one, two and three, and one of a single process by three.
func TestCheckpointsDoNotDependOnTheWorld(t *testing.T) {
	base := tiny(t, tinymodel.Options{})
	c := config(t, base)
	c.DType, c.Optim.Steps, c.Optim.Schedule, c.Optim.Warmup = "f64", 7, ScheduleConstant, new(0.0)
	requireTrained(t, c, 1)
	want := lastState(t, c.Out)
	for _, worlds := range [][2]int{{4, 1}, {4, 2}, {4, 3}, {1, 3}} {
		begun := c
		begun.Out, begun.Optim.Steps = filepath.Join(t.TempDir(), "run"), 4
		requireTrained(t, begun, worlds[0])
		if worlds[0] > 1 {
			dir := checkpoint.Dir(filepath.Join(begun.Out, checkpointsName), 4)
			files, err := filepath.Glob(filepath.Join(dir, "state-*-of-00004.safetensors"))
			require.NoError(t, err)
			require.Len(t, files, worlds[0]-1)
		}
		begun.Optim.Steps = 7
		requireTrained(t, again(begun), worlds[1])
		requireNear(t, want, lastState(t, begun.Out), 1e-12)
		record, err := readRecord(filepath.Join(begun.Out, recordName))
		require.NoError(t, err)
		last := record.Ranks[len(record.Ranks)-1]
		require.Equal(t, []int{4, worlds[1]}, []int{last.FromStep, last.World})
	}
}

// Interrupted at any step and resumed by as many ranks, a run has the bits of one that was not, wherever the signal came.
func TestRanksResumeToTheBit(t *testing.T) {
	base := tiny(t, tinymodel.Options{})
	c := config(t, base)
	c.Optim.Epochs, c.Dist.Zero = 1, 2
	requireTrained(t, c, 3)
	for _, steps := range []int{1, 5} {
		for _, signalled := range []int{0, 2} {
			stopped := c
			stopped.Out = filepath.Join(t.TempDir(), "run")
			results, errs := trainOn(t, stopped, 3, func(rank int, ctx context.Context, c *TrainConfig) context.Context {
				if rank == signalled {
					return stopAfter{ctx, c.Out, steps}
				}
				return ctx
			})
			for rank, err := range errs {
				require.NoError(t, err)
				require.True(t, results[rank].Interrupted, "rank %d", rank)
				require.Equal(t, results[0].Steps, results[rank].Steps)
			}
			requireTrained(t, again(stopped), 3)
			require.Equal(t, weights(t, c.Out), weights(t, stopped.Out))
			require.Equal(t, rows(t, c.Out), rows(t, stopped.Out))
		}
	}
}

// A signal to one rank while the hidden states are computed, or before, ends all in good order; the run can be started again.
func TestRanksInterruptedBeforeTheFirstStep(t *testing.T) {
	base := tiny(t, tinymodel.Options{})
	over, cancel := context.WithCancel(context.Background())
	cancel()
	for _, mode := range []string{"head", "full"} {
		c := config(t, base)
		c.Train, c.Optim.Epochs = mode, 1
		for signalled := range 3 {
			results, errs := trainOn(t, again(c), 3, func(rank int, ctx context.Context, _ *TrainConfig) context.Context {
				if rank == signalled {
					return over
				}
				return ctx
			})
			for rank, err := range errs {
				require.NoError(t, err, "%s, rank %d", mode, rank)
				require.Equal(t, []any{true, 0}, []any{results[rank].Interrupted, results[rank].Steps}, "%s, rank %d", mode, rank)
			}
		}
		requireTrained(t, again(c), 3)
	}
}

// What is wrong with one rank ends all: another configuration, a run folder that is not shared, a step that overflows.
func TestOneRankEndsAll(t *testing.T) {
	base := tiny(t, tinymodel.Options{})
	for want, change := range map[string]func(rank int, c *TrainConfig){
		"optim.lr is 0.5 here and 0.001 on rank 0": func(rank int, c *TrainConfig) {
			if rank == 1 {
				c.Optim.LR = new(0.5)
			}
		},
		"content of data.train is ": func(rank int, c *TrainConfig) {
			if rank == 1 {
				c.Data.Trajectories = Slice(sums(28, 6))
			}
		},
		"rank 2 of 3: model: ": func(rank int, c *TrainConfig) {
			if rank == 2 {
				c.Model = "absent"
			}
		},
		"NaN or Inf in ": func(_ int, c *TrainConfig) {
			list := sums(28, 5)
			list[6].Labels.Weights = []*float64{data.Float(1e300)}
			c.Data.Trajectories, c.Data.EvalShare = Slice(list), new(0.0)
		},
	} {
		c := config(t, base)
		_, errs := trainOn(t, c, 3, func(rank int, ctx context.Context, c *TrainConfig) context.Context {
			change(rank, c)
			return ctx
		})
		for rank, err := range errs {
			require.ErrorContains(t, err, want, "rank %d", rank)
		}
		if bad := new(NonFiniteStepError); errors.As(errs[0], &bad) {
			for _, err := range errs {
				require.ErrorContains(t, err, bad.Tensor)
			}
		}
	}
}

// A checkpoint that rank 0 cannot make is an error of every rank.
func TestACheckpointThatCannotBeMade(t *testing.T) {
	base := tiny(t, tinymodel.Options{})
	c := config(t, base)
	c.Optim.Epochs, c.Eval.Every = 1, new(0)
	_, errs := trainOn(t, c, 2, func(rank int, ctx context.Context, c *TrainConfig) context.Context {
		if rank == 0 {
			c.OnStep = func(s StepMetrics) {
				if s.Step == 6 {
					require.NoError(t, os.RemoveAll(filepath.Join(c.Out, checkpointsName)))
					require.NoError(t, os.WriteFile(filepath.Join(c.Out, checkpointsName), nil, 0o666))
				}
			}
		}
		return ctx
	})
	for rank, err := range errs {
		require.ErrorContains(t, err, "checkpoint of step 6: ", "rank %d", rank)
	}
}

// A rank that cannot write its part leaves nothing of the checkpoint behind.
func TestAPartThatCannotBeWritten(t *testing.T) {
	out, groups := t.TempDir(), dist.Local(2, time.Minute)
	root := filepath.Join(out, checkpointsName)
	first := &trainer{session: &session{c: TrainConfig{Out: out, ranks: groups[0]}}}
	second := &trainer{session: &session{c: TrainConfig{Out: filepath.Join(out, "absent"), ranks: groups[1]}}}
	failed := make(chan error)
	go func() { failed <- second.savePart(nil) }()
	together := func(dir string, own func() error) (map[string]checkpoint.Entry, error) {
		return first.gatherParts(filepath.Base(dir), own)
	}
	err := checkpoint.SaveTogether(root, 3, nil, nil, checkpoint.Keep{}, together)
	for _, err := range []error{err, <-failed} {
		require.ErrorContains(t, err, "rank 1 of 2: ")
		require.ErrorContains(t, err, "state-00001-of-00002.safetensors")
	}
	left, err := os.ReadDir(root)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestDealTokens(t *testing.T) {
	var list []*data.Example
	for _, n := range []int{5, 9, 1, 7, 7, 3} {
		list = append(list, &data.Example{Tokens: make([]int32, n)})
	}
	require.Equal(t, [][]int{{0, 1, 2, 3, 4, 5}}, dealTokens(list, 1))
	require.Equal(t, [][]int{{0, 1, 5}, {2, 3, 4}}, dealTokens(list, 2)) // 17 and 15 tokens
	require.Equal(t, [][]int{{0}, nil, nil}, dealTokens(list[:1], 3))
}

// What prm plan says of several ranks is what they do: the moments of the rank with most, and the bytes that all send.
func TestPlanOfRanks(t *testing.T) {
	c := config(t, tiny(t, tinymodel.Options{}))
	c.Optim.Epochs, c.Eval.Max = 1, 1
	const world, steps = 4, 7
	requireTrained(t, c, world)
	plan, err := Plan(PlanOptions{Model: c.Model, Train: "full", DType: "f32", Tokens: 120, World: world, MicroBatches: world})
	require.NoError(t, err)
	alone, err := Plan(PlanOptions{Model: c.Model, Train: "full", DType: "f32", Tokens: 120})
	require.NoError(t, err)

	dir, most := checkpoint.Dir(filepath.Join(c.Out, checkpointsName), steps), int64(0)
	files, err := filepath.Glob(filepath.Join(dir, "state*.safetensors"))
	require.NoError(t, err)
	require.Len(t, files, world)
	for _, path := range files {
		file, err := safetensors.Open(path)
		require.NoError(t, err)
		bytes := int64(0)
		for _, info := range file.Tensors() {
			if !strings.HasPrefix(info.Name, "param.") {
				bytes += info.Bytes()
			}
		}
		most = max(most, bytes)
		require.NoError(t, file.Close())
	}
	require.Equal(t, most, plan.Moments)
	require.Less(t, plan.Moments, alone.Moments)

	record, err := readRecord(filepath.Join(c.Out, recordName))
	require.NoError(t, err)
	sent := int64(0)
	for _, r := range record.Ranks[0].Ranks {
		sent += r.BytesSent
	}
	planned := int64(world * steps * plan.Ranks.Bytes)
	start := alone.Trained * 4 * (world - 1) // rank 0 gives its parameters to all
	require.InEpsilon(t, planned+start, sent, 0.05, "beside them go scalars, scores and what the ranks agree on")
}

// A rank that finds no GPU of its number says why it computes on the CPU; a device that was asked for is an error.
func TestRankWithoutItsGPU(t *testing.T) {
	c := DefaultTrainConfig()
	c.Device, c.ranks = "auto", &dist.Group{Launch: dist.Launch{Rank: 3, World: 4, LocalRank: 99, LocalWorld: 1}}
	b, noGPU, err := c.openRankBackend()
	require.NoError(t, err)
	defer func() { require.NoError(t, b.Close()) }()
	require.ErrorContains(t, noGPU, "cuda:99")
	c.Device = "cuda:99"
	_, _, err = c.openRankBackend()
	require.ErrorContains(t, err, "cuda:99")
}
