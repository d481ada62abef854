package prm

import (
	"context"
	"iter"
	"runtime"
	"sync"

	"github.com/goprm/goprm/data"
)

// renderAll renders what source yields, several rows at a time, and hands them to take in their order, row i counted from 0. Rows that
// are not wanted are passed over. Source, wanted and take run in the caller's goroutine.
func renderAll(ctx context.Context, source iter.Seq2[*data.Trajectory, error], r *data.Renderer, c *TrainConfig,
	wanted func(i int) bool, take func(i int, row renderedRow) error) error {
	type job struct {
		i, n int // n counts trajectories, from 1
		t    *data.Trajectory
		err  error
		out  chan renderedRow
	}
	jobs := make(chan job)
	var workers sync.WaitGroup
	defer workers.Wait()
	defer close(jobs)
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for j := range jobs {
				j.out <- c.render(j.t, j.err, j.n, r)
			}
		})
	}
	var open []job // handed to a worker and not taken yet, oldest first
	takeOldest := func() error {
		j := open[0]
		open = open[1:]
		return take(j.i, <-j.out)
	}
	i, n := -1, 0
	for t, err := range source {
		i++
		if err == nil && t != nil {
			n++
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if !wanted(i) {
			continue
		}
		if len(open) >= 4*runtime.GOMAXPROCS(0) {
			if err := takeOldest(); err != nil {
				return err
			}
		}
		j := job{i, n, t, err, make(chan renderedRow, 1)}
		open = append(open, j)
		jobs <- j
	}
	for len(open) > 0 {
		if err := takeOldest(); err != nil {
			return err
		}
	}
	return nil
}
