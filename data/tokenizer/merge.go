package tokenizer

import (
	"fmt"
	"unicode/utf8"
)

// merges are the rules of byte pair encoding: which neighbours become one token, and in which order.
type merges struct {
	byteID [256]int32       // token of a single byte, -1 if the vocabulary has none
	rank   map[uint64]int32 // pairKey of two ids -> rank; the lowest rank merges first
	result []int32          // rank -> id of the merged token
	chars  map[string]int32 // where words are merged from characters and not from bytes: the vocabulary, for those it has; else nil
	whole  map[string]int32 // with ignore_merges: words that are tokens as they are, by their bytes; else nil
}

func pairKey(left, right int32) uint64 { return uint64(uint32(left))<<32 | uint64(uint32(right)) }

func (m *merges) rankOf(left, right int32) int32 {
	if r, ok := m.rank[pairKey(left, right)]; ok {
		return r
	}
	return -1
}

// mergeWork is room for merging one word: a linked list over byte positions and a heap of candidate merges.
type mergeWork struct {
	id, prev, next []int32
	rank           []int32  // rank of the pair (this symbol, the next one), -1: none, or the symbol is gone
	heap           []uint64 // rank<<32 | position, smallest first; stale entries differ from rank
	out            []int32
}

const keepWork = 1 << 16 // symbols; larger rooms go back to the garbage collector

func (w *mergeWork) trim() {
	if cap(w.id) > keepWork {
		*w = mergeWork{}
	}
}

func (w *mergeWork) reset(n int) {
	if cap(w.id) < n {
		w.id, w.prev, w.next, w.rank = make([]int32, n), make([]int32, n), make([]int32, n), make([]int32, n)
	}
	w.id, w.prev, w.next, w.rank = w.id[:n], w.prev[:n], w.next[:n], w.rank[:n]
	w.heap, w.out = w.heap[:0], w.out[:0]
}

// merge returns the ids of a word: of all neighbours that have a rule, the pair of lowest rank merges, the leftmost
// first, until none has. O(n log n) in the word's bytes. The result is valid until the next call with the same w.
func (m *merges) merge(w *mergeWork, word string) ([]int32, error) {
	w.reset(len(word))
	if id, ok := m.whole[word]; ok {
		w.out = append(w.out, id)
		return w.out, nil
	}
	n, err := m.symbols(w, word)
	if err != nil {
		return nil, err
	}
	for i := range n - 1 {
		if w.rank[i] = m.rankOf(w.id[i], w.id[i+1]); w.rank[i] >= 0 {
			w.heap = append(w.heap, uint64(w.rank[i])<<32|uint64(i))
		}
	}
	for i := len(w.heap)/2 - 1; i >= 0; i-- {
		w.sift(i)
	}
	for len(w.heap) > 0 {
		top := w.pop()
		pos, rank := int32(uint32(top)), int32(top>>32)
		if w.rank[pos] != rank {
			continue
		}
		gone := w.next[pos]
		after := w.next[gone]
		w.id[pos], w.next[pos], w.rank[gone] = m.result[rank], after, -1
		if after < int32(n) {
			w.prev[after] = pos
		}
		m.rerank(w, pos)
		if before := w.prev[pos]; before >= 0 {
			m.rerank(w, before)
		}
	}
	for i := int32(0); i < int32(n); i = w.next[i] {
		w.out = append(w.out, w.id[i])
	}
	return w.out, nil
}

// symbols fills the room with what the word is merged from, and returns how many there are: its bytes; or its characters, those that
// no token has in bytes.
func (m *merges) symbols(w *mergeWork, word string) (n int, err error) {
	add := func(id int32) {
		w.id[n], w.prev[n], w.next[n], w.rank[n] = id, int32(n-1), int32(n+1), -1
		n++
	}
	for i := 0; i < len(word); {
		size := 1
		if m.chars != nil {
			_, size = utf8.DecodeRuneInString(word[i:])
		}
		if id, ok := m.chars[word[i:i+size]]; ok {
			add(id)
			i += size
			continue
		}
		for _, b := range []byte(word[i : i+size]) {
			if m.byteID[b] < 0 {
				return 0, fmt.Errorf("the vocabulary has no token for byte 0x%02x, which %.20q needs", b, word)
			}
			add(m.byteID[b])
		}
		i += size
	}
	w.id = w.id[:n]
	return n, nil
}

// rerank looks up the pair that now begins at pos.
func (m *merges) rerank(w *mergeWork, pos int32) {
	w.rank[pos] = -1
	if next := w.next[pos]; int(next) < len(w.id) {
		if w.rank[pos] = m.rankOf(w.id[pos], w.id[next]); w.rank[pos] >= 0 {
			w.push(uint64(w.rank[pos])<<32 | uint64(pos))
		}
	}
}

// The heap is written out since container/heap boxes every key.

func (w *mergeWork) push(key uint64) {
	w.heap = append(w.heap, key)
	for i := len(w.heap) - 1; i > 0; {
		parent := (i - 1) / 2
		if w.heap[parent] <= w.heap[i] {
			return
		}
		w.heap[parent], w.heap[i] = w.heap[i], w.heap[parent]
		i = parent
	}
}

func (w *mergeWork) pop() uint64 {
	top, last := w.heap[0], len(w.heap)-1
	w.heap[0] = w.heap[last]
	w.heap = w.heap[:last]
	w.sift(0)
	return top
}

// sift moves the key at i down to its place.
func (w *mergeWork) sift(i int) {
	for {
		child := 2*i + 1
		if child >= len(w.heap) {
			return
		}
		if child+1 < len(w.heap) && w.heap[child+1] < w.heap[child] {
			child++
		}
		if w.heap[i] <= w.heap[child] {
			return
		}
		w.heap[i], w.heap[child] = w.heap[child], w.heap[i]
		i = child
	}
}
