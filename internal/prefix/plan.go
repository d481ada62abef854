package prefix

import (
	"slices"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/nnet"
)

// Plan is what is left of a batch. Done ends it, or Drop, before the next one is made.
type Plan struct {
	nnet.MicroBatch         // with the segments of the whole batch, some empty now; no tokens: there is nothing to run
	Reused          []int32 // [R of the whole batch]: how many tokens of the read-out's text up to its segment's end were not computed

	cache  *Cache
	whole  *data.Batch
	paths  []path
	chains [][]*block // of each segment's text
	fresh  []*block   // reserved for this batch
	values []float64  // of the whole batch's read-outs
	left   []int      // of them, those to be computed
}

// path is where a segment lies in its text.
type path struct {
	parent     int
	start, end int   // positions
	first      int32 // token of the batch at start
	cover      int   // tokens of the text that are not computed for this segment: a multiple of Block
	live       bool  // a read-out is to be computed here or behind it
}

// Plan takes from a packed batch what the cache knows already.
func (c *Cache) Plan(b *data.Batch) *Plan {
	c.lastUse++
	p := &Plan{
		cache: c, whole: b, paths: make([]path, len(b.CuSeqlens)-1), chains: make([][]*block, len(b.CuSeqlens)-1),
		values: make([]float64, len(b.Reads)), Reused: make([]int32, len(b.Reads)),
	}
	p.lookUp()
	p.answer(segmentsOf(b))
	c.touch(p.chains) // what is used here makes no room
	p.reserve(p.trim())
	c.touch(p.chains)
	return p
}

// segmentsOf are the segments of the batch's read-outs.
func segmentsOf(b *data.Batch) []int {
	of, segments := make([]int, len(b.Tokens)), make([]int, len(b.Reads))
	for s := range len(b.CuSeqlens) - 1 {
		for t := b.CuSeqlens[s]; t < b.CuSeqlens[s+1]; t++ {
			of[t] = s
		}
	}
	for i, t := range b.Reads {
		segments[i] = of[t]
	}
	return segments
}

// lookUp finds the known blocks of each segment's text.
func (p *Plan) lookUp() {
	b := p.whole
	for s := range p.paths {
		at := &p.paths[s]
		at.parent, at.first = -1, b.CuSeqlens[s]
		if b.Parents != nil && b.Parents[s] >= 0 {
			at.parent = int(b.Parents[s])
			at.start, p.chains[s] = p.paths[at.parent].end, slices.Clone(p.chains[at.parent])
		}
		at.end = at.start + int(b.CuSeqlens[s+1]-at.first)
		for len(p.chains[s]) < at.end/Block {
			found := p.cache.find(p.key(s, p.chains[s]))
			if found == nil {
				break
			}
			p.chains[s] = append(p.chains[s], found)
		}
		at.cover = len(p.chains[s]) * Block
	}
}

// key names the block behind a chain in the text of segment s.
func (p *Plan) key(s int, chain []*block) key {
	var k key
	if len(chain) > 0 {
		k.before = chain[len(chain)-1].id
	}
	for i := range k.tokens {
		k.tokens[i] = p.whole.Tokens[p.tokenAt(s, len(chain)*Block+i)]
	}
	return k
}

// tokenAt is the token of the whole batch at a position of the text of segment s.
func (p *Plan) tokenAt(s, position int) int32 {
	for position < p.paths[s].start {
		s = p.paths[s].parent
	}
	return p.paths[s].first + int32(position-p.paths[s].start)
}

// answer gives the read-outs in known blocks their scores. Where one was never read, its text is computed from there on; and so is
// what a segment needs of its ancestors.
func (p *Plan) answer(segments []int) {
	b, c, paths := p.whole, p.cache, p.paths
	position := func(i int) int { return paths[segments[i]].start + int(b.Reads[i]-paths[segments[i]].first) }
	for i := range b.Reads {
		at, pos := &paths[segments[i]], position(i)
		if pos >= at.cover {
			continue
		}
		if _, ok := p.chains[segments[i]][pos/Block].score(pos%Block, c.kind(b.Kind[i])); !ok {
			at.cover = pos / Block * Block
		}
	}
	for s := len(paths) - 1; s >= 0; s-- {
		if parent := paths[s].parent; parent >= 0 {
			paths[parent].cover = min(paths[parent].cover, paths[s].cover)
		}
	}
	for i := range b.Reads {
		at, pos := &paths[segments[i]], position(i)
		if pos >= at.cover {
			at.live = true
			p.left = append(p.left, i)
			continue
		}
		p.values[i], _ = p.chains[segments[i]][pos/Block].score(pos%Block, c.kind(b.Kind[i]))
	}
	for s := len(paths) - 1; s >= 0; s-- {
		if at := &paths[s]; at.parent >= 0 && at.live {
			paths[at.parent].live = true
		}
	}
	for i, s := range segments {
		p.Reused[i] = int32(paths[s].cover)
		if !paths[s].live {
			p.Reused[i] = int32(paths[s].end)
		}
	}
}

// trim makes the batch of what is left, and returns where its tokens are there, −1 for those that are not.
func (p *Plan) trim() (index []int32) {
	b := p.whole
	t := &data.Batch{CuSeqlens: []int32{0}, Parents: b.Parents}
	index = make([]int32, len(b.Tokens))
	p.Cached = make([][]nnet.RowRange, len(p.paths))
	for s, at := range p.paths {
		for i := range int32(at.end - at.start) {
			index[at.first+i] = -1
			if at.live && at.start+int(i) >= at.cover {
				index[at.first+i] = int32(len(t.Tokens))
				t.Tokens, t.Positions = append(t.Tokens, b.Tokens[at.first+i]), append(t.Positions, b.Positions[at.first+i])
			}
		}
		t.CuSeqlens = append(t.CuSeqlens, int32(len(t.Tokens)))
		if at.live {
			p.Cached[s] = rowsOf(p.chains[s][:at.cover/Block])
		}
	}
	for _, i := range p.left {
		t.Reads = append(t.Reads, index[b.Reads[i]])
		t.Target, t.Weight, t.Kind = append(t.Target, b.Target[i]), append(t.Weight, b.Weight[i]), append(t.Kind, b.Kind[i])
		t.Trajectory, t.Read = append(t.Trajectory, b.Trajectory[i]), append(t.Read, b.Read[i])
	}
	p.Batch = t
	return index
}

// rowsOf are the rows of a chain, neighbours together.
func rowsOf(chain []*block) (list []nnet.RowRange) {
	for _, b := range chain {
		if n := len(list); n > 0 && list[n-1].To == b.row {
			list[n-1].To += Block
			continue
		}
		list = append(list, nnet.RowRange{From: b.row, To: b.row + Block})
	}
	return list
}

// reserve finds rows for the blocks that the batch computes, from the beginnings on.
func (p *Plan) reserve(index []int32) {
	for s, at := range p.paths {
		if !at.live {
			continue
		}
		chain := p.chains[s]
		if at.parent >= 0 && len(p.chains[at.parent]) > len(chain) {
			chain = slices.Clone(p.chains[at.parent])
		}
		for len(chain) < at.end/Block && (len(chain)+1)*Block > at.start {
			k := p.key(s, chain)
			next := p.cache.find(k) // another text of the batch may begin like this one
			if next == nil {
				if next = p.cache.reserve(k); next == nil {
					break
				}
				p.fresh = append(p.fresh, next)
				for i := range Block {
					p.Keep = append(p.Keep, nnet.Kept{Token: index[p.tokenAt(s, len(chain)*Block+i)], Row: next.row + int32(i)})
				}
			}
			chain = append(chain, next)
		}
		p.chains[s] = chain
	}
}

// Done takes the scores of what was left, remembers them and returns those of all read-outs.
func (p *Plan) Done(scores []float64) []float64 {
	for i, at := range p.left {
		p.values[at] = scores[i]
	}
	b := p.whole
	byToken := map[int32][]int{}
	for i, t := range b.Reads {
		byToken[t] = append(byToken[t], i)
	}
	for s, at := range p.paths {
		for pos := at.start / Block * Block; pos < len(p.chains[s])*Block && pos < at.end; pos++ {
			for _, i := range byToken[p.tokenAt(s, pos)] {
				p.chains[s][pos/Block].remember(pos%Block, p.cache.kind(b.Kind[i]), p.values[i])
			}
		}
	}
	p.fresh = nil
	return p.values
}

func (b *block) remember(offset int, kind uint8, value float64) {
	if _, ok := b.score(offset, kind); !ok {
		b.reads = append(b.reads, read{uint8(offset), kind, value})
	}
}

// Drop forgets what the batch was to bring, if it did not.
func (p *Plan) Drop() {
	for _, b := range p.fresh {
		p.cache.remove(p.cache.blocks[b.key])
	}
	p.fresh = nil
}
