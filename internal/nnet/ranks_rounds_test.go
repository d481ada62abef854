package nnet

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// Slices take every byte of all gradients once, in order and as much for each rank, none before its gradient is done.
func TestSlicesTakeWhatIsDone(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		world, piece, total := 1+random.IntN(9), 8*(1+random.IntN(50)), 0
		sizes := make([]int, 1+random.IntN(40))
		for i := range sizes {
			sizes[i] = 4 * (1 + random.IntN(90))
			total += sizes[i]
		}
		at := 0
		rounds := slicedRounds(sizes, world, piece)
		for k, r := range rounds {
			done := 0
			for _, n := range sizes[:r.upto] {
				done += n
			}
			for rank, n := range r.counts {
				require.Equal(t, at, r.from[rank])
				require.LessOrEqual(t, n, piece)
				if k < len(rounds)-1 {
					require.Equal(t, piece, n)
				}
				at += n
			}
			require.LessOrEqual(t, at, done)
		}
		require.Equal(t, total, at)
	}
}

// Rounds take every byte of every rank once, in order, none before its gradient is done, and a round that does not wait for the last
// gradient is seven eighths full.
func TestRoundsTakeWhatIsDone(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	early := 0
	for range 300 {
		world, piece := 1+random.IntN(9), 1+random.IntN(50)
		owners, sizes := make([]int, 1+random.IntN(40)), []int(nil)
		for i := range owners {
			owners[i] = random.IntN(world)
			sizes = append(sizes, 1+random.IntN(120))
		}
		at := make([]int, world)
		upto := 0
		for _, r := range roundsOf(owners, sizes, world, piece) {
			require.GreaterOrEqual(t, r.upto, upto)
			upto = r.upto
			done, taken := make([]int, world), 0
			for i, owner := range owners[:upto] {
				done[owner] += sizes[i]
			}
			for rank, n := range r.counts {
				require.Equal(t, at[rank], r.from[rank])
				require.LessOrEqual(t, n, piece)
				at[rank] += n
				taken += n
				require.LessOrEqual(t, at[rank], done[rank])
			}
			if upto < len(owners) {
				require.GreaterOrEqual(t, 8*taken, 7*piece*world)
				early++
			}
		}
		for i, owner := range owners {
			at[owner] -= sizes[i]
		}
		require.Equal(t, make([]int, world), at)
	}
	require.Greater(t, early, 300)
}
