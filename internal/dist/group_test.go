package dist

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// onRanks runs f on every rank of a world of goroutines and returns their errors.
func onRanks(t testing.TB, world int, timeout time.Duration, f func(g *Group) error) []error {
	t.Helper()
	groups, errs := Local(world, timeout), make([]error, world)
	var work sync.WaitGroup
	for r, g := range groups {
		work.Go(func() { errs[r] = f(g) })
	}
	work.Wait()
	return errs
}

func requireAll(t testing.TB, errs []error) {
	t.Helper()
	for _, err := range errs {
		require.NoError(t, err)
	}
}

func TestCollectives(t *testing.T) {
	for world := 1; world <= 5; world++ {
		requireAll(t, onRanks(t, world, time.Minute, Exercise))
	}
}

// A sum of floats depends on its order: here it is that of ranks, which a sum of pairs or in another order would not give.
func TestSumsAreInTheOrderOfRanks(t *testing.T) {
	const world, n = 4, 1000
	in := make([][]float64, world)
	for r := range in {
		random := rand.New(rand.NewPCG(1, uint64(r)))
		for range n {
			in[r] = append(in[r], random.NormFloat64()*float64(int(1)<<random.IntN(40)))
		}
	}
	requireAll(t, onRanks(t, world, time.Minute, func(g *Group) error {
		got := append([]float64{}, in[g.Rank]...)
		if err := g.Sum(got); err != nil {
			return err
		}
		for i, v := range got {
			if want := ((in[0][i] + in[1][i]) + in[2][i]) + in[3][i]; v != want {
				return fmt.Errorf("number %d: %v, want %v", i, v, want)
			}
		}
		return nil
	}))
}

// A sum in f32 is that of exact numbers, rounded once.
func TestSumsOfF32AreRoundedOnce(t *testing.T) {
	const world, n = 3, 1000
	requireAll(t, onRanks(t, world, time.Minute, func(g *Group) error {
		of := func(rank int) []float32 {
			random, v := rand.New(rand.NewPCG(2, uint64(rank))), make([]float32, n)
			for i := range v {
				v[i] = random.Float32()
			}
			return v
		}
		b := make([]byte, 4*n)
		copy(numbers[float32](b), of(g.Rank))
		if err := g.AllReduce(b, F32); err != nil {
			return err
		}
		for i, v := range numbers[float32](b) {
			exact := new(big.Float)
			for r := range world {
				exact.Add(exact, big.NewFloat(float64(of(r)[i])))
			}
			if want, _ := exact.Float32(); v != want {
				return fmt.Errorf("number %d: %v, want %v", i, v, want)
			}
		}
		return nil
	}))
}

func TestARankThatStaysAwayEndsTheOthers(t *testing.T) {
	began := time.Now()
	errs := onRanks(t, 3, 50*time.Millisecond, func(g *Group) error {
		if g.Rank == 1 {
			return nil
		}
		err := g.Broadcast(make([]byte, 12), 0)
		if again := g.Barrier(); !errors.Is(again, err) {
			return fmt.Errorf("a call after the failure: %w", again)
		}
		return errors.Join(err, g.Close())
	})
	require.Less(t, time.Since(began), 5*time.Second)
	for _, r := range []int{0, 2} {
		require.ErrorIs(t, errs[r], ErrTimeout)
		require.ErrorContains(t, errs[r], fmt.Sprintf("rank %d of 3: broadcast of 12 bytes: ", r))
	}
}

func TestARankThatGivesUpEndsTheOthers(t *testing.T) {
	reason := errors.New("disk full")
	errs := onRanks(t, 3, time.Hour, func(g *Group) error {
		if g.Rank == 1 {
			g.Fail(reason)
		}
		return g.Barrier()
	})
	require.Equal(t, reason, errs[1])
	require.ErrorIs(t, errs[0], errGaveUp)
}

func TestDifferentCallsAreAnError(t *testing.T) {
	for _, err := range onRanks(t, 2, 100*time.Millisecond, func(g *Group) error {
		if g.Rank == 1 {
			return g.Barrier()
		}
		return g.Broadcast([]byte{1}, 0)
	}) {
		require.Error(t, err)
	}
}

func TestErrorsOfOneRankAreEverybodys(t *testing.T) {
	errs := onRanks(t, 3, time.Minute, func(g *Group) error {
		var err error
		if g.Rank > 0 {
			err = fmt.Errorf("no room on %d", g.Rank)
		}
		return g.Agree(err)
	})
	for rank, of := range []int{1, 1, 2} {
		require.EqualError(t, errs[rank], fmt.Sprintf("rank %d of 3: no room on %d", of, of))
	}
	errs = onRanks(t, 2, time.Minute, func(g *Group) error {
		var err error
		if g.Rank == 1 {
			err = fmt.Errorf("reading: %w", context.Canceled)
		}
		return g.Agree(g.Agree(err))
	})
	require.EqualError(t, errs[0], "rank 1 of 2: context canceled")
	require.EqualError(t, errs[1], "rank 1 of 2: reading: context canceled")
	require.ErrorIs(t, errs[0], context.Canceled)
	errs = onRanks(t, 2, time.Minute, func(g *Group) error { return g.First(func() error { return fmt.Errorf("from %d", g.Rank) }) })
	require.EqualError(t, errs[1], "rank 0 of 2: from 0")
	requireAll(t, onRanks(t, 3, time.Minute, func(g *Group) error {
		told, err := Told(g, map[string]float64{"rank": 0.1 + float64(g.Rank)})
		if err == nil && told["rank"] != 0.1 {
			err = fmt.Errorf("told %v", told)
		}
		return err
	}))
}

func TestSizesAreChecked(t *testing.T) {
	for _, err := range onRanks(t, 2, time.Minute, func(g *Group) error {
		for _, err := range []error{
			g.AllGather(make([]byte, 3), make([]byte, 8), []int{4, 4}),
			g.AllGather(make([]byte, 4), make([]byte, 9), []int{4, 4}),
			g.AllGather(make([]byte, 4), make([]byte, 4), []int{4}),
			g.ReduceScatter(make([]byte, 6), make([]byte, 12), []int{6, 6}, F32),
		} {
			if c := new(CallError); !errors.As(err, &c) {
				return fmt.Errorf("no error of a call: %v", err)
			}
		}
		return g.Barrier() // none of them reached the engine
	}) {
		require.NoError(t, err)
	}
}
