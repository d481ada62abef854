package prm

import (
	"cmp"
	"errors"
	"slices"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/dist"
	"github.com/goprm/goprm/internal/nnet"
)

// groupProblem is the value of batch.group with which the trajectories of a problem share an optimizer step.
const groupProblem = "problem"

// checkGroup refuses batch.group for models that cannot train on prefix trees.
func (s *session) checkGroup() error {
	if s.c.Batch.Group == groupProblem && s.c.Train != nnet.TrainHead && s.folder.Config.SlidingWindow > 0 {
		return errors.New("batch.group: problem: the model has a sliding window, and its texts cannot share their beginnings; use none")
	}
	return nil
}

// pack says how the examples of an optimizer step are laid out and weighed.
func (d *dataset) pack(c *TrainConfig) data.PackOptions {
	return data.PackOptions{Tokens: c.Batch.Tokens, N: c.Batch.Trajectories, LambdaStep: *c.Loss.LambdaStep, LambdaFinal: d.lambdaFinal,
		Tree: c.Batch.Group == groupProblem}
}

// stepsPerEpoch counts optimizer steps, as many in every epoch.
func (d *dataset) stepsPerEpoch(c *TrainConfig) int {
	if c.Batch.Group == groupProblem {
		return len(d.epochOf(c, d.epoch))
	}
	return (len(d.train) + c.Batch.Trajectories - 1) / c.Batch.Trajectories
}

// batch lists the examples of optimizer step s, counted from 0.
func (d *dataset) batch(c *TrainConfig, s int) []*data.Example {
	perEpoch := d.stepsPerEpoch(c)
	return pick(d.train, d.epochOf(c, s/perEpoch)[s%perEpoch])
}

// epochOf lists the indices of each optimizer step of an epoch.
func (d *dataset) epochOf(c *TrainConfig, epoch int) [][]int {
	if d.steps != nil && d.epoch == epoch {
		return d.steps
	}
	n := c.Batch.Trajectories
	d.epoch, d.steps = epoch, nil
	order := data.Order(*c.Seed, epoch, len(d.train))
	if c.Batch.Group == groupProblem {
		d.steps = stepsOfProblems(d.train, order, n)
		d.steps = pick(d.steps, data.Order(^*c.Seed, epoch, len(d.steps)))
		return d.steps
	}
	for lo := 0; lo < len(order); lo += n {
		d.steps = append(d.steps, order[lo:min(lo+n, len(order))])
	}
	return d.steps
}

// stepsOfProblems puts examples into steps of at most n, those of a problem into one step, or where they are more than n into full steps
// and one for the rest. Problems are taken the largest first, equal ones by order, each into the step with least room that has enough
// (best-fit decreasing). So the sizes of problems alone decide how many steps there are, and order which problems meet.
func stepsOfProblems(list []*data.Example, order []int, n int) [][]int {
	at := map[data.ProblemKey]int{} // the part of a problem that is not full
	var parts [][]int
	for _, i := range order {
		key := list[i].Problem
		k, begun := at[key]
		if !begun || len(parts[k]) == n {
			k, parts = len(parts), append(parts, nil)
			at[key] = k
		}
		parts[k] = append(parts[k], i)
	}
	slices.SortStableFunc(parts, func(a, b []int) int { return cmp.Compare(len(b), len(a)) })
	var steps [][]int
	room := make([][]int, n+1) // steps by how many more they take
	for _, part := range parts {
		left := len(part)
		for left <= n && len(room[left]) == 0 {
			left++
		}
		step := len(steps)
		if left > n {
			left, steps = n, append(steps, nil)
		} else {
			step, room[left] = room[left][0], room[left][1:]
		}
		steps[step] = append(steps[step], part...)
		left -= len(part)
		room[left] = append(room[left], step)
	}
	return steps
}

// share are the indices of the examples of an optimizer step that this rank computes. Those that share their beginnings stay together.
func (d *dataset) share(c *TrainConfig, list []*data.Example) ([]int, error) {
	if c.Batch.Group != groupProblem || c.ranks.Size() == 1 {
		return c.share(list), nil
	}
	at := map[data.ProblemKey]int{}
	var problems [][]int
	for i, e := range list {
		k, seen := at[e.Problem]
		if !seen {
			k, problems = len(problems), append(problems, nil)
			at[e.Problem] = k
		}
		problems[k] = append(problems[k], i)
	}
	tokens := make([]int64, len(problems))
	for k, of := range problems {
		trees, err := data.PackTree(pick(list, of), 0)
		if err != nil {
			return nil, err
		}
		tokens[k] = int64(len(trees[0].Tokens))
	}
	var mine []int
	for k, rank := range dist.Deal(tokens, c.ranks.Size()) {
		if rank == c.ranks.Number() {
			mine = append(mine, problems[k]...)
		}
	}
	slices.Sort(mine)
	return mine, nil
}

// measuredSteps is how many optimizer steps tokensPerStep looks at.
const measuredSteps = 64

// tokensPerStep is how many tokens an optimizer step computes, the mean over the first ones.
func (d *dataset) tokensPerStep(c *TrainConfig) (float64, error) {
	perEpoch := d.stepsPerEpoch(c)
	if c.Batch.Group != groupProblem {
		return float64(d.counts.Tokens) / float64(perEpoch), nil
	}
	steps, tokens := min(perEpoch, measuredSteps), 0
	for s := range steps {
		batches, err := data.Pack(d.batch(c, s), d.pack(c))
		if err != nil {
			return 0, err
		}
		for _, b := range batches {
			tokens += len(b.Tokens)
		}
	}
	return float64(tokens) / float64(steps), nil
}
