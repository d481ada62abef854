package prm

import priority "container/heap" // heap is a name of this package

// worstFirst is a heap of contenders with the worst on top.
type worstFirst []contender

func (h worstFirst) Len() int           { return len(h) }
func (h worstFirst) Less(i, j int) bool { return h[i].compare(h[j].rank) > 0 }
func (h worstFirst) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push and Pop are heap.Interface's; add is what is used.
func (h *worstFirst) Push(c any) { *h = append(*h, c.(contender)) }

// Pop takes the last one off.
func (h *worstFirst) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// add takes up c; where there are as many as there may be, in place of the worst.
func (h *worstFirst) add(c contender, most int) {
	if len(*h) < most {
		priority.Push(h, c)
		return
	}
	(*h)[0] = c
	priority.Fix(h, 0)
}
