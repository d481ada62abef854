package prm

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/stretchr/testify/require"
)

// candidateSteps are candidates for the last step of some problems, one to five each, labelled there alone as in PRM800K's phase 1.
func candidateSteps(problems int, seed uint64) []*data.Trajectory {
	var list []*data.Trajectory
	for i, first := range sums(problems, seed) {
		for j, other := range sums(1+i%5, seed+uint64(100*i+1)) {
			t := &data.Trajectory{ID: fmt.Sprintf("%d.%d", i, j), Problem: first.Problem}
			t.ResponseSteps = append(append(t.ResponseSteps, first.ResponseSteps...), other.ResponseSteps[0])
			t.Labels.Steps = append(make([]*float64, len(first.ResponseSteps)), other.Labels.Steps[0])
			list = append(list, t)
		}
	}
	return list
}

// In one step of all trajectories both orders train the same function: weights within the rounding of f64, with fewer tokens.
func TestTreesTrainWhatTextsTrain(t *testing.T) {
	base := tiny(t, tinymodel.Options{})
	for _, mode := range []string{"full", "lora", "head"} {
		for _, tokens := range []int{60, 8192} {
			c := config(t, base)
			c.Train, c.DType, c.Optim.Epochs = mode, "f64", 3
			c.Data.Trajectories = Slice(candidateSteps(12, 5))
			c.Batch = Batch{Trajectories: 40, Tokens: tokens}
			apart := train(t, c)
			want := lastState(t, c.Out)
			c.Out, c.Batch.Group = filepath.Join(t.TempDir(), "run"), groupProblem
			c.Recompute = "layer"
			together := train(t, c)
			requireNear(t, want, lastState(t, c.Out), 1e-10)
			require.InDelta(t, apart.Last.Loss, together.Last.Loss, 1e-12)
			require.Equal(t, apart.Last.NStep, together.Last.NStep)
			if mode != "head" {
				require.Less(t, float64(together.Tokens), 0.7*float64(apart.Tokens))
			}
		}
	}
}

// Grouped runs are the same for any number of ranks and any micro-batches, with dropout, and a resumed one has the bits of one that was
// not interrupted.
func TestGroupedRunsOverRanksAndResumed(t *testing.T) {
	c := config(t, tiny(t, tinymodel.Options{}))
	c.Train, c.DType, c.LoRA.Dropout, c.Optim.Epochs = "lora", "f64", 0.2, 2
	c.Data.Trajectories = Slice(candidateSteps(12, 5))
	c.Batch = Batch{Trajectories: 10, Tokens: 60, Group: groupProblem}
	alone := requireTrained(t, c, 1)[0]
	want := lastState(t, c.Out)
	for _, world := range []int{2, 3} {
		several := c
		several.Out, several.Cache = filepath.Join(t.TempDir(), "run"), filepath.Join(t.TempDir(), "cache")
		requireTrained(t, several, world)
		requireNear(t, want, lastState(t, several.Out), 1e-12)
	}
	apart := c
	apart.Out, apart.Batch.Tokens = filepath.Join(t.TempDir(), "run"), 1
	require.Greater(t, train(t, apart).Tokens, alone.Tokens)
	requireNear(t, want, lastState(t, apart.Out), 1e-12)
	stopped := c
	stopped.Out = filepath.Join(t.TempDir(), "run")
	interrupt(t, stopped, alone.TotalSteps/2)
	train(t, again(stopped))
	require.Equal(t, weights(t, c.Out), weights(t, stopped.Out))
	require.Equal(t, rows(t, c.Out), rows(t, stopped.Out))
}

func TestStepsOfProblems(t *testing.T) {
	draw := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		n := 1 + draw.IntN(9)
		d, of, size := &dataset{}, map[*data.Example]int{}, map[int]int{}
		problems := 1 + draw.IntN(20)
		for range problems + draw.IntN(60) {
			p := draw.IntN(problems)
			e := &data.Example{Problem: data.KeyOf(fmt.Sprint(p))}
			d.train, of[e] = append(d.train, e), p
			size[p]++
		}
		c := DefaultTrainConfig()
		c.Batch.Trajectories, c.Batch.Group, c.Seed = n, groupProblem, new(draw.Uint64())
		perEpoch, first, differs := d.stepsPerEpoch(&c), d.batch(&c, 0), false
		least := 0
		for _, s := range size {
			least += s
		}
		require.GreaterOrEqual(t, perEpoch*n, least)
		for epoch := range 3 {
			seen, at := map[*data.Example]bool{}, map[int]map[int]int{}
			for s := range perEpoch {
				list := d.batch(&c, epoch*perEpoch+s)
				require.NotEmpty(t, list)
				require.LessOrEqual(t, len(list), n)
				for _, e := range list {
					require.False(t, seen[e])
					seen[e] = true
					if at[of[e]] == nil {
						at[of[e]] = map[int]int{}
					}
					at[of[e]][s]++
				}
				differs = differs || epoch > 0 && s == 0 && list[0] != first[0]
			}
			require.Len(t, seen, len(d.train), "each trajectory once an epoch")
			for p, steps := range at {
				require.Len(t, steps, (size[p]+n-1)/n, "as few steps as hold the problem")
			}
		}
		if perEpoch > 5 {
			require.True(t, differs, "every epoch has an order of its own")
		}
	}
}

// A problem's step is as full as its size lets it be: 5, 4, 3, 2, 1 and 1 trajectories make two steps of eight.
func TestStepsAreFilled(t *testing.T) {
	d := &dataset{}
	for p, size := range []int{1, 4, 2, 5, 1, 3} {
		for range size {
			d.train = append(d.train, &data.Example{Problem: data.KeyOf(fmt.Sprint(p))})
		}
	}
	c := DefaultTrainConfig()
	c.Batch.Trajectories, c.Batch.Group = 8, groupProblem
	require.Equal(t, 2, d.stepsPerEpoch(&c))
	require.Equal(t, []int{8, 8}, []int{len(d.batch(&c, 2)), len(d.batch(&c, 3))})
}

func TestGroupingRefusesSlidingWindows(t *testing.T) {
	c := config(t, goldenHead(t, "math_shepherd_mistral", configKeys(map[string]any{"sliding_window": 16})))
	c.Batch.Group = groupProblem
	_, err := Train(t.Context(), c)
	require.ErrorContains(t, err, "batch.group: problem: the model has a sliding window")
}
