package dist

import (
	"fmt"
	"unsafe"
)

// Type is what the bytes of a reduction are.
type Type int

// Types of numbers that are summed, in the machine's byte order.
const (
	F32 Type = 4
	F64 Type = 8
)

// ReduceScatter sums what every rank has for this one into dst: parts holds this rank's contribution to each rank's sum, one behind the
// other, counts their lengths in bytes. A sum is taken in float64, in the order of ranks, and rounded once.
func (g *Group) ReduceScatter(dst, parts []byte, counts []int, t Type) error {
	if g == nil {
		copy(dst, parts)
		return nil
	}
	if err := g.fits("reduce-scatter", len(parts), counts, len(dst)); err != nil {
		return err
	}
	mine, equal := len(dst), make([]int, g.World)
	if mine%int(t) != 0 || mine*g.World > MaxMessage {
		return &CallError{g.Rank, g.World, "reduce-scatter", len(parts), fmt.Errorf("a part of %d bytes of numbers of %d", mine, t)}
	}
	for r := range equal {
		equal[r] = mine
	}
	if len(g.scratch) < mine*g.World {
		g.scratch = make([]byte, mine*g.World)
	}
	got := g.scratch[:mine*g.World]
	g.Sent += int64(len(parts) - mine)
	if err := g.do("reduce-scatter", len(parts), func() error { return g.engine.Exchange(parts, counts, got, equal) }); err != nil {
		return err
	}
	if t == F32 {
		sum[float32](dst, got)
	} else {
		sum[float64](dst, got)
	}
	return nil
}

// sum adds arrays that lie one behind the other, as many as fit into parts.
func sum[T float32 | float64](dst, parts []byte) {
	to, from := numbers[T](dst), numbers[T](parts)
	for i := range to {
		total := float64(0)
		for at := i; at < len(from); at += len(to) {
			total += float64(from[at])
		}
		to[i] = T(total)
	}
}

func numbers[T float32 | float64](b []byte) []T {
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/int(unsafe.Sizeof(T(0))))
}

// AllReduce sums the numbers of all ranks, in place.
func (g *Group) AllReduce(b []byte, t Type) error {
	if g == nil {
		return nil
	}
	counts, count, from := make([]int, g.World), len(b)/int(t), 0
	for r := range counts {
		counts[r] = ((r+1)*count/g.World - r*count/g.World) * int(t)
		if r < g.Rank {
			from += counts[r]
		}
	}
	mine := make([]byte, counts[g.Rank])
	if err := g.ReduceScatter(mine, b, counts, t); err != nil {
		return err
	}
	return g.AllGather(mine, b, counts)
}

// Sum adds the numbers of all ranks, in place.
func (g *Group) Sum(v []float64) error {
	return g.AllReduce(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), 8*len(v)), F64)
}
