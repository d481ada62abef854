// Package prefix knows which beginnings of texts have their keys and values in a network's cache, and what was read there, so that
// a text which begins like an earlier one costs its own tokens alone. It holds no keys itself: it says which rows of the cache are
// whose. Beginnings are cut into blocks of tokens, as vLLM's are; a block is known by its tokens and the block before it, compared
// as they are, so no two texts are ever taken for each other. The least recently used blocks make room for new ones.
package prefix

import (
	"container/list"
	"slices"

	"github.com/goprm/goprm/data"
)

// Block is how many tokens a block has: a text's last Block-1 tokens at most are computed again.
const Block = 16

// Cache says what the rows of a cache of keys and values hold. It is not safe for concurrent use.
type Cache struct {
	own     bool // a trajectory's read-out is another one than a step's at the same token
	blocks  map[key]*list.Element
	recent  *list.List // of *block: a block is in front of all that go on from it, so the last one is nobody's beginning
	free    []int32    // first rows
	total   int
	lastID  uint64
	lastUse uint64
}

// key names a block: by what comes before it, too.
type key struct {
	before uint64 // id of the block; 0 at the beginning of a text
	tokens [Block]int32
}

type block struct {
	key
	id    uint64 // never given again, so that no block goes on from one that is gone
	row   int32  // of its first token
	reads []read
	use   uint64 // the last plan with it
}

// read is a read-out's score.
type read struct {
	offset, kind uint8
	value        float64
}

// New makes a table for a cache of so many rows. ownFinal tells whether trajectories have a head of their own.
func New(rows int, ownFinal bool) *Cache {
	c := &Cache{own: ownFinal, blocks: map[key]*list.Element{}, recent: list.New(), total: rows / Block}
	for i := c.total - 1; i >= 0; i-- {
		c.free = append(c.free, int32(i*Block)) // taken from the end: neighbours where it can be
	}
	return c
}

// Tokens is how many tokens' rows are in use.
func (c *Cache) Tokens() int { return (c.total - len(c.free)) * Block }

// kind of a read-out, as far as scores tell kinds apart.
func (c *Cache) kind(k data.Kind) uint8 {
	if c.own {
		return uint8(k)
	}
	return 0
}

func (b *block) score(offset int, kind uint8) (float64, bool) {
	for _, r := range b.reads {
		if int(r.offset) == offset && r.kind == kind {
			return r.value, true
		}
	}
	return 0, false
}

// find returns the block of these tokens behind another one.
func (c *Cache) find(k key) *block {
	if e := c.blocks[k]; e != nil {
		return e.Value.(*block)
	}
	return nil
}

// reserve gives a block rows, those of the block that was not used for longest if none are free; nil: all are used by this plan.
func (c *Cache) reserve(k key) *block {
	if len(c.free) == 0 {
		last := c.recent.Back()
		if last == nil || last.Value.(*block).use == c.lastUse {
			return nil
		}
		c.remove(last)
	}
	c.lastID++
	b := &block{key: k, id: c.lastID, row: c.free[len(c.free)-1], use: c.lastUse}
	c.free = c.free[:len(c.free)-1]
	c.blocks[k] = c.recent.PushFront(b)
	return b
}

func (c *Cache) remove(e *list.Element) {
	b := c.recent.Remove(e).(*block)
	delete(c.blocks, b.key)
	c.free = append(c.free, b.row)
}

// touch marks the blocks of texts as used now, each before the one that it goes on from.
func (c *Cache) touch(chains [][]*block) {
	for _, chain := range chains {
		for _, b := range slices.Backward(chain) {
			b.use = c.lastUse
			c.recent.MoveToFront(c.blocks[b.key])
		}
	}
}
