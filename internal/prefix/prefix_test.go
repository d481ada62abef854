package prefix

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/rng"
	"github.com/stretchr/testify/require"
)

// machine stands for a network: a token's key is its whole text up to there, and so is what is read at it. Rows of its cache keep
// what they were given.
type machine struct {
	t     *testing.T
	own   bool // trajectories are read in a way of their own
	cache *Cache
	rows  []string
	ran   int // tokens
}

func newMachine(t *testing.T, rows int, own bool) *machine {
	return &machine{t: t, own: own, cache: New(rows, own), rows: make([]string, rows)}
}

// text are tokens as a key.
func text(tokens []int32) string {
	var b strings.Builder
	for _, t := range tokens {
		b.WriteRune('a' + t)
	}
	return b.String()
}

// score is a number for a text's read-out that no other has.
func (m *machine) score(key string, kind data.Kind) float64 {
	h := uint64(0)
	if m.own && kind == data.KindTrajectory {
		h = 1
	}
	for _, r := range key {
		h = rng.Mix(h ^ uint64(r))
	}
	return float64(h >> 11)
}

// run computes a batch behind the cache. Every token's context, put together from the cache and the batch, must be its text.
func (m *machine) run(b *data.Batch, fail bool) {
	plan := m.cache.Plan(b)
	defer plan.Drop()
	keys := make([]string, len(plan.Tokens))
	for s := range len(plan.CuSeqlens) - 1 {
		if plan.CuSeqlens[s] == plan.CuSeqlens[s+1] {
			continue
		}
		context, position := "", 0
		for _, r := range plan.Cached[s] {
			for row := r.From; row < r.To; row++ {
				position++
				require.Len(m.t, m.rows[row], position)
				require.True(m.t, strings.HasPrefix(m.rows[row], context), "row %d is of another text", row)
				context = m.rows[row]
			}
		}
		for _, a := range ancestors(plan.Parents, s) {
			for t := plan.CuSeqlens[a]; t < plan.CuSeqlens[a+1]; t++ {
				if int(plan.Positions[t]) >= position || a == s {
					require.EqualValues(m.t, position, plan.Positions[t])
					context += text(plan.Tokens[t : t+1])
					position++
				}
				if a == s {
					keys[t] = context
				} else if int(plan.Positions[t]) == position-1 {
					require.Equal(m.t, keys[t], context)
				}
			}
		}
	}
	m.ran += len(plan.Tokens)
	if fail {
		return
	}
	for _, k := range plan.Keep {
		m.rows[k.Row] = keys[k.Token]
	}
	scores := make([]float64, len(plan.Reads))
	for i, at := range plan.Reads {
		scores[i] = m.score(keys[at], plan.Kind[i])
	}
	require.Len(m.t, plan.Reused, len(b.Reads))
	for i, v := range plan.Done(scores) {
		s := segmentsOf(b)[i]
		whole := ""
		for _, a := range ancestors(b.Parents, s) {
			end := b.CuSeqlens[a+1]
			if a == s {
				end = b.Reads[i] + 1
			}
			whole += text(b.Tokens[b.CuSeqlens[a]:end])
		}
		require.Equal(m.t, m.score(whole, b.Kind[i]), v, "read-out %d", i)
	}
	m.check()
}

func ancestors(parents []int32, s int) []int {
	chain := []int{s}
	for p := parents[s]; p >= 0; p = parents[p] {
		chain = append(chain, int(p))
	}
	slices.Reverse(chain)
	return chain
}

// check makes sure that no row belongs to two blocks, that none is lost, and that every block can still be found from a text's beginning.
func (m *machine) check() {
	c, seen, ids := m.cache, map[int32]bool{}, map[uint64]bool{0: true}
	for e := c.recent.Front(); e != nil; e = e.Next() {
		b := e.Value.(*block)
		require.True(m.t, ids[b.before], "a block is older than the one that it goes on from, or that is gone")
		require.False(m.t, seen[b.row])
		require.Same(m.t, e, c.blocks[b.key])
		ids[b.id], seen[b.row] = true, true
	}
	require.Len(m.t, c.blocks, len(seen))
	for _, row := range c.free {
		require.False(m.t, seen[row])
		seen[row] = true
	}
	require.Len(m.t, seen, c.total)
	require.LessOrEqual(m.t, c.Tokens(), len(m.rows))
}

// Texts that branch, grow, come back and push each other out, alone and together, packed as trees and side by side; some batches fail.
func TestEveryTokenSeesItsOwnText(t *testing.T) {
	rounds := 600
	if testing.Short() {
		rounds = 150
	}
	for _, blocks := range []int{1, 2, 7, 40} {
		for seed := range uint64(2) {
			m, at := newMachine(t, blocks*Block+5, seed == 1), uint64(0)
			draw := func(below int) int {
				at++
				return int(rng.New(seed, "texts").Uint64(at) % uint64(below))
			}
			var known [][]int32
			all := 0
			for range rounds {
				var list []*data.Example
				for i := range 1 + draw(4) {
					var tokens []int32
					if len(known) > 0 && draw(4) > 0 { // begins like an earlier text
						from := known[draw(len(known))]
						tokens = slices.Clone(from[:1+draw(len(from))])
					}
					for range draw(40) {
						tokens = append(tokens, int32(draw(3)))
					}
					if len(tokens) == 0 || len(tokens) > 200 {
						tokens = []int32{1}
					}
					known = append(known, tokens)
					e := &data.Example{ID: fmt.Sprint(i), Tokens: tokens}
					for pos := draw(9); pos < len(tokens); pos += 1 + draw(30) {
						e.Reads = append(e.Reads, data.ReadOut{Pos: int32(pos), Index: len(e.Reads)})
					}
					if draw(2) == 0 {
						e.Reads = append(e.Reads, data.ReadOut{Pos: int32(len(tokens) - 1), Kind: data.KindTrajectory})
					}
					list, all = append(list, e), all+len(tokens)
				}
				pack := data.PackTree
				if draw(2) == 0 {
					pack = data.PackAll
				}
				batches, err := pack(list, 150)
				require.NoError(t, err)
				for _, b := range batches {
					m.run(b, draw(10) == 0)
				}
				if len(known) > 20 {
					known = known[10:]
				}
			}
			require.Less(t, m.ran, all)
		}
	}
}

// A text that grows costs its new tokens and what the last block lacked; one that comes again costs nothing, or its last block.
func TestGrowingTextCostsItsNewTokens(t *testing.T) {
	m := newMachine(t, 1024, false)
	var tokens []int32
	for step := range 40 {
		before := len(tokens)
		for i := range 7 + step%23 {
			tokens = append(tokens, int32((step*step+i)%7))
		}
		// with an end of its own
		grown := &data.Example{Tokens: append(slices.Clone(tokens), 9, 9),
			Reads: []data.ReadOut{{Pos: int32(len(tokens) + 1), Kind: data.KindTrajectory}}}
		for pos := 6; pos < len(tokens); pos += 11 {
			grown.Reads = slices.Insert(grown.Reads, len(grown.Reads)-1, data.ReadOut{Pos: int32(pos)})
		}
		b, err := data.PackAll([]*data.Example{grown}, 0)
		require.NoError(t, err)
		ran := m.ran
		m.run(b[0], false)
		require.Equal(t, len(grown.Tokens)-before/Block*Block, m.ran-ran)
		ran = m.ran
		m.run(b[0], false)
		require.Equal(t, len(grown.Tokens)%Block, m.ran-ran)
	}
	// Another read-out within what is known has its block computed again, once.
	for _, want := range []int{len(tokens) - 32, 0} {
		b, err := data.PackAll([]*data.Example{{Tokens: tokens, Reads: []data.ReadOut{{Pos: 35}}}}, 0)
		require.NoError(t, err)
		ran := m.ran
		m.run(b[0], false)
		require.Equal(t, want, m.ran-ran)
	}
}

// What is not used for longest makes room, and no more than the room there is is used.
func TestLeastRecentlyUsedMakesRoom(t *testing.T) {
	m := newMachine(t, 4*Block, false)
	one := func(first int32, blocks int) int {
		tokens := slices.Repeat([]int32{first}, blocks*Block)
		b, err := data.PackAll([]*data.Example{{Tokens: tokens, Reads: []data.ReadOut{{Pos: int32(len(tokens) - 1)}}}}, 0)
		require.NoError(t, err)
		ran := m.ran
		m.run(b[0], false)
		return m.ran - ran
	}
	require.Equal(t, 2*Block, one(1, 2))
	require.Equal(t, 2*Block, one(2, 2))
	require.Zero(t, one(1, 2))
	require.Equal(t, Block, one(3, 1)) // in the place of the second block of 2
	require.Zero(t, one(1, 2))
	require.Equal(t, Block, one(2, 2))
	require.Equal(t, 9*Block, one(4, 9)) // more than fits: its beginning is kept
	require.Equal(t, 5*Block, one(4, 9))
	require.Equal(t, 4*Block, m.cache.Tokens())
}

// Where a trajectory is read in a way of its own, a step's score at the same token is not taken for it; else it is.
func TestKindsOfReadOuts(t *testing.T) {
	for _, own := range []bool{false, true} {
		m := newMachine(t, 4*Block, own)
		for _, kind := range []data.Kind{data.KindStep, data.KindTrajectory, data.KindStep, data.KindTrajectory} {
			b, err := data.PackAll([]*data.Example{{Tokens: make([]int32, Block), Reads: []data.ReadOut{{Pos: Block - 1, Kind: kind}}}}, 0)
			require.NoError(t, err)
			m.run(b[0], false)
		}
		require.Equal(t, map[bool]int{false: Block, true: 2 * Block}[own], m.ran)
	}
}
